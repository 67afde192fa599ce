package rpc

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/libp2p/go-libp2p/core/peer"
)

// ServiceID names a method.
type ServiceID struct {
	Name   string
	Method string
}

// String returns "Name.Method".
func (id ServiceID) String() string { return id.Name + "." + id.Method }

// Call is a call made by [Client.Go] or [Client.MultiGo], which send it on its
// Done channel when it is over, with Error set. Until then its fields are the
// library's.
type Call struct {
	// Dest is the peer that was called.
	Dest peer.ID
	// SvcID is what was called.
	SvcID ServiceID
	// Args is the argument, as it was passed.
	Args any
	// Reply points to the reply.
	Reply any
	// StreamArgs and StreamReplies are v0.6's fields for streaming calls,
	// which never arrive on Done; they are not set.
	StreamArgs    reflect.Value
	StreamReplies reflect.Value
	// Done receives the call, once.
	Done chan *Call
	// Error is what the call ended with.
	Error error
}

// start makes the call and finishes it, exactly once: without a goroutine that
// waits, if there is a session to make it on, and else in one. args are those of
// the call, or the same encoded.
func (call *Call) start(ctx context.Context, c *Client, args any) {
	if call.Done == nil {
		call.Done = make(chan *Call, 1)
	}
	if !c.startOnSession(ctx, call, args) {
		go call.make(ctx, c, args)
	}
}

func (call *Call) make(ctx context.Context, c *Client, args any) {
	var err error = exited(&CallInfo{Service: call.SvcID.Name, Method: call.SvcID.Method, Client: true})
	defer func() { call.finish(err) }() // a local method may end this goroutine
	err = c.call(ctx, call.Dest, call.SvcID.Name, call.SvcID.Method, args, call.Reply)
}

func (call *Call) finish(err error) {
	call.Error = err
	select {
	case call.Done <- call:
	default:
		// As in net/rpc: room in the channel is the caller's promise, and
		// a goroutine that waits for it might wait for ever.
		slog.Warn("rpc: result dropped, the done channel is full", "method", call.SvcID.String())
	}
}

// checkReply panics unless reply can be written to, as v0.6 does: the program
// is wrong, and its own stack says where.
func checkReply(id ServiceID, reply any) {
	v := reflect.ValueOf(reply)
	if v.Kind() != reflect.Pointer {
		panic("rpc: " + id.String() + ": the reply must be a pointer, not " + typeName(reflect.TypeOf(reply)))
	}
	if v.IsNil() {
		panic("rpc: " + id.String() + ": the reply is a nil " + v.Type().String() + "; pass a pointer to a variable")
	}
}

// checkDone panics if done could never take a call, as v0.6 does.
func checkDone(id ServiceID, done chan *Call) {
	if done != nil && cap(done) == 0 {
		panic("rpc: " + id.String() + ": the done channel has no capacity: make it with room for each of its calls")
	}
}

func typeName(t reflect.Type) string {
	if t == nil {
		return "nil"
	}
	return t.String()
}
