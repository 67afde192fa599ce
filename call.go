package rpc

import (
	"context"
	"log/slog"
	"reflect"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// ServiceID names a method.
type ServiceID struct {
	Name   string
	Method string
}

// String returns "Name.Method".
func (id ServiceID) String() string { return id.Name + "." + id.Method }

// LogValue makes slog's handlers write what String returns.
func (id ServiceID) LogValue() slog.Value { return slog.StringValue(id.String()) }

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

// Call calls svc.method on dest with args and waits for the reply, which it
// stores where reply, a pointer, points to. It is [Client.CallContext] with a
// background context.
func (c *Client) Call(dest peer.ID, svc, method string, args, reply any) error {
	return c.CallContext(context.Background(), dest, svc, method, args, reply)
}

// CallContext calls svc.method on dest with args, a value of the method's
// type or a pointer to one, and waits for the reply, which it stores where
// reply points to. The reply is there beside a method's error too. When ctx
// ends, CallContext returns at once and the method's context is cancelled; the
// reply is not written to after the return. An answer replaces what reply points
// to, by a zero value if it holds no reply; without an answer, or with one that
// does not decode, that stays as it was.
//
// The error is the method's own, the context's, or an [*Error] of the library's,
// which tells by [IsServerError], [IsClientError], [IsAuthorizationError] and
// [CodeOf] what failed. The context's has its text and wraps an [*Error] that says
// more. It panics if reply is no pointer or nil.
func (c *Client) CallContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any) error {
	id := ServiceID{svc, method}
	checkReply(id, reply)
	return c.call(ctx, dest, id, args, reply)
}

// Go is [Client.GoContext] with a background context.
func (c *Client) Go(dest peer.ID, svc, method string, args, reply any, done chan *Call) error {
	return c.GoContext(context.Background(), dest, svc, method, args, reply, done)
}

// GoContext starts what [Client.CallContext] does and returns. When the call
// is over it is sent on done, exactly once; until then what args and reply
// point to is the call's. done must have room for it: it panics if done has no
// capacity, and a result that finds the channel full is dropped, with a line in
// the log, as in net/rpc. With a nil done nobody is told. The error returned is
// always nil; that of the call is in [Call].Error.
func (c *Client) GoContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any, done chan *Call) error {
	id := ServiceID{svc, method}
	checkReply(id, reply)
	checkDone(id, done)
	call := &Call{Dest: dest, SvcID: id, Args: args, Reply: reply, Done: done}
	call.start(ctx, c, args)
	return nil
}

// Stream calls the streaming method svc.method on dest. It sends what it receives from
// argsChan (a chan A or <-chan A), no faster than the method takes it, and puts the
// replies into repliesChan (a chan R or chan<- R), which it always closes. It returns
// when the method has returned, with its error, when the call fails, and at once when
// ctx ends. It panics if a channel is nil or of another type. Another goroutine has to
// read the replies meanwhile. Close argsChan, also after an error, and use it for no
// other call: while it is open and the call is over, one goroutine drops what is still
// sent, until [Client.Close]. docs/calling.md, "Streams by name", says more.
func (c *Client) Stream(ctx context.Context, dest peer.ID, svc, method string, argsChan, repliesChan any) error {
	id := ServiceID{svc, method}
	args, replies := flow.Channels(id.String(), argsChan, repliesChan)
	caller := flow.NewEnds(args, replies, ctx.Done(), nil)
	defer func() {
		caller.Finish()
		caller.Src.Drain(c.over.Done(), &c.tally.Draining)
	}()
	return c.stream(ctx, dest, id, caller, args.Type().Elem(), replies.Type().Elem())
}

// stream makes a streaming call by name. The caller finishes the ends.
func (c *Client) stream(ctx context.Context, dest peer.ID, id ServiceID, caller *flow.Ends, arg, reply reflect.Type) error {
	call := c.newCall(dest, id, Streaming)
	call.stream = &streamEnds{in: &caller.Src, out: &caller.Dst, fresh: caller.Dst.Fresh, args: arg, replies: reply}
	err := c.doStream(ctx, call)
	call.release(err)
	return err
}

// start makes the call and finishes it, exactly once. A call of another peer is
// made in this goroutine, and nobody waits for it: its carrier finishes it. All that
// may go around a call, interceptors and the like, needs a goroutine, and so does a
// local method. args are those of the call, or the same encoded.
func (k *Call) start(ctx context.Context, c *Client, args any) {
	if k.Done == nil {
		k.Done = make(chan *Call, 1)
	}
	if c.watched || c.options != nil || c.isLocal(k.Dest) {
		go k.make(ctx, c, args)
		return
	}
	own := c.newUnary(nil, k.Dest, k.SvcID, args, k.Reply)
	own.remote.Done = func(err error) {
		if err != nil {
			err = plainContextError(own.ended(ctx, err))
		}
		c.finish(own, err, true)
		k.finish(err)
	}
	if err := c.do(ctx, own); err != call.ErrPending {
		k.finish(err)
	}
}

func (k *Call) make(ctx context.Context, c *Client, args any) {
	var err error = exited(&CallInfo{Service: k.SvcID.Name, Method: k.SvcID.Method, Client: true})
	defer func() { k.finish(err) }() // a local method may end this goroutine
	err = c.call(ctx, k.Dest, k.SvcID, args, k.Reply)
}

func (k *Call) finish(err error) {
	k.Error = err
	select {
	case k.Done <- k:
	default:
		// As in net/rpc: room in the channel is the caller's promise, and
		// a goroutine that waits for it might wait for ever.
		slog.Warn("rpc: result dropped, the done channel is full", "method", k.SvcID.String())
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

// clientCall is a call in a client.
type clientCall struct {
	CallInfo
	options *callConfig // nil where nothing is set
	tries   int32       // so far, where somebody asks
	typed   bool        // of a method value, unless local has a frame
	spare   bool        // of spareCalls
	sent    bool        // the peer may have seen it, where interceptors have
	stream  *streamEnds // of a streaming call
	stats   *recorder   // nil where nobody asks
	local   *localCall  // of a local call
	remote  call.Call   // of any other, as it is carried
	tally   tally.Call  // and what is counted of it
	entry   admit.Entry[*clientCall]
}

// toCarry returns the call of another peer as its carrier needs it.
func (c *clientCall) toCarry(ctx context.Context) *call.Call {
	k := &c.remote
	k.ID, k.Peer, k.Kind, k.Metadata = call.ID(c.ID()), c.Peer, wire.Kind(c.Kind), outgoing(ctx)
	if c.stats != nil {
		k.Observer = c.stats
	}
	if c.options != nil && c.options.wait {
		k.Wait, k.Told = true, c.told
	}
	if c.Kind == Streaming {
		hooks := c.hooks(recovered)
		k.Transfer = &call.Transfer{
			In: hooks.Source(c.stream.in, true), Out: hooks.Sink(c.stream.out, false),
			Fresh: c.stream.fresh, Item: c.stream.replies,
		}
	} else {
		k.Args, k.NoArg, k.Reply = c.Args, isNil(c.Args), c.Reply
	}
	return k
}
