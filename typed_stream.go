package rpc

import (
	"context"
	"iter"
	"reflect"
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// ServerStream is a streaming method as a value, as [Method] is a unary one:
// it takes one argument and replies any number of times.
//
//	var List = rpc.NewServerStream[string, Entry]("Store", "List")
//
//	err := List.Handle(server, func(ctx context.Context, prefix string, out *rpc.Sender[Entry]) error {
//		for _, e := range entries {
//			if err := out.Send(ctx, e); err != nil {
//				return err
//			}
//		}
//		return nil
//	})
//
//	for entry, err := range List.Call(ctx, client, dest, "a/") {
//		...
//	}
//
// The three typed streams ([ClientStream] and [Duplex] are the others) and
// streaming methods of receivers, called by [Client.Stream], are the same to
// one another: either side may use any, and cannot tell what the other does.
type ServerStream[A, R any] struct {
	id     ServiceID
	config methodConfig
}

// NewServerStream declares the streaming method service.method, under the rules
// of [NewMethod].
func NewServerStream[A, R any](service, method string, opts ...CallOption) *ServerStream[A, R] {
	return &ServerStream[A, R]{declared(service, method), configured(opts)}
}

// ID returns the method's names.
func (m *ServerStream[A, R]) ID() ServiceID { return m.id }

// String returns "Service.Method".
func (m *ServerStream[A, R]) String() string { return m.id.String() }

// Handle makes f serve the method at s, under the rules of [Method.Handle]. f
// gets the argument as soon as it is there, and sends the replies to out; when
// it returns, the call is over, with the error of f. A caller that sends no
// argument, or a second one, gets an error that says so.
func (m *ServerStream[A, R]) Handle(s *Server, f func(ctx context.Context, arg A, out *Sender[R]) error) error {
	return handleStream(s, m.id, &m.config, true, f, func(ctx context.Context, in *Receiver[A], out *Sender[R]) error {
		arg, err := in.only(ctx)
		if err != nil {
			return err
		}
		return f(ctx, arg, out)
	})
}

// Call calls the method on dest and returns what it replies, as it arrives.
// The call begins when the loop does, and is over when the loop is: to leave
// the loop cancels the call. The loop's second variable is nil but for the
// last time, where the call has failed; the first is then zero. To range over
// it again makes another call.
//
// dest, opts, and the end of ctx, mean what they do for [Method.Call].
func (m *ServerStream[A, R]) Call(ctx context.Context, c *Client, dest peer.ID, arg A, opts ...CallOption) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		if !c.isLocal(dest) {
			loopStream(ctx, c, dest, m.id, &m.config, opts, arg, yield)
			return
		}
		call := openStream[A, R](ctx, c, dest, m.id, &m.config, opts)
		defer call.close()
		_ = call.args.Send(ctx, arg)
		call.closeSend()
		told := false
		for r, err := range all(ctx, &call.replies) {
			if !told || err != nil {
				call.options.tellBack(&call.back)
				told = true
			}
			if !yield(r, err) {
				return
			}
		}
		call.options.tellBack(&call.back)
	}
}

// ClientStream is a streaming method as a value that takes any number of
// arguments and replies once; see [ServerStream].
//
//	err := Put.Handle(server, func(ctx context.Context, in *rpc.Receiver[[]byte]) (Sum, error) {
//		hash := sha256.New()
//		for chunk, err := range in.All(ctx) {
//			if err != nil {
//				return Sum{}, err
//			}
//			hash.Write(chunk)
//		}
//		return Sum(hash.Sum(nil)), nil
//	})
//
//	call := Put.Open(ctx, client, dest)
//	defer call.Close()
//	for ... {
//		if err := call.Send(ctx, chunk); err != nil {
//			break // Finish tells why
//		}
//	}
//	sum, err := call.Finish(ctx)
//
// Finish tells why because Send has the context of Open: where that ends, so
// does the call. If Send has one of its own that ends before, the call goes on
// without the item, and Finish would end the arguments there: Close it instead.
type ClientStream[A, R any] struct {
	id     ServiceID
	config methodConfig
}

// NewClientStream declares the streaming method service.method, under the
// rules of [NewMethod].
func NewClientStream[A, R any](service, method string, opts ...CallOption) *ClientStream[A, R] {
	return &ClientStream[A, R]{declared(service, method), configured(opts)}
}

// ID returns the method's names.
func (m *ClientStream[A, R]) ID() ServiceID { return m.id }

// String returns "Service.Method".
func (m *ClientStream[A, R]) String() string { return m.id.String() }

// Handle makes f serve the method at s, under the rules of [Method.Handle]. f
// receives the arguments from in, and need not take all of them: when it
// returns, the call is over. What it returns beside an error is not sent.
func (m *ClientStream[A, R]) Handle(s *Server, f func(ctx context.Context, in *Receiver[A]) (R, error)) error {
	return handleStream(s, m.id, &m.config, false, f, func(ctx context.Context, in *Receiver[A], out *Sender[R]) error {
		r, err := f(ctx, in)
		if err = noTypedNil(err); err != nil {
			return err
		}
		return out.Send(ctx, r)
	})
}

// Open calls the method on dest and returns the call, for the arguments to be
// sent. It does not wait: how the call fares, its beginning included, the
// call's Finish tells. The call is over when Finish or Close has returned, or
// ctx has ended: one of these must come.
//
// dest, opts, and the end of ctx, mean what they do for [Method.Call].
func (m *ClientStream[A, R]) Open(ctx context.Context, c *Client, dest peer.ID, opts ...CallOption) *ClientStreamCall[A, R] {
	return &ClientStreamCall[A, R]{call: openStream[A, R](ctx, c, dest, m.id, &m.config, opts)}
}

// ClientStreamCall is a call of a [ClientStream]. Its methods are safe for
// concurrent use.
type ClientStreamCall[A, R any] struct {
	call     *typedCall[A, R]
	finished atomic.Bool // the result is another's
}

// Send sends an argument, under the rules of [Sender.Send]. It returns io.EOF
// when the call is over, well or not; Finish tells.
func (c *ClientStreamCall[A, R]) Send(ctx context.Context, arg A) error {
	return c.call.args.Send(ctx, arg)
}

// Finish ends the arguments, waits for the reply, and returns it, or the error
// of the call. When ctx ends before, it closes the call. It does so once: later
// calls of it return an error with [codes.FailedPrecondition].
func (c *ClientStreamCall[A, R]) Finish(ctx context.Context) (R, error) {
	if c.finished.Swap(true) {
		var none R
		return none, c.call.failed(codes.FailedPrecondition, "Finish was called before, and the result is returned once")
	}
	defer c.call.close()
	if ctx.Err() == nil { // or that may be why there are no more arguments
		c.call.closeSend()
	}
	return c.call.only(ctx)
}

// Begun waits until the method runs, and returns the metadata that it sent first
// ([SetHeader]), nil if it sent none within 50 ms. One of a v0.6 peer is known to run when
// it replies. If the call is over before, Begun returns its error; when ctx ends, its: the
// call goes on.
func (c *ClientStreamCall[A, R]) Begun(ctx context.Context) (Metadata, error) {
	return c.call.header(ctx, c.call.back.Begun())
}

// Header returns the metadata that the method sends before its reply ([SetHeader]),
// nil if there is none. It waits until that is known, or the call is over, and then
// returns its error, or until ctx ends: the call goes on.
func (c *ClientStreamCall[A, R]) Header(ctx context.Context) (Metadata, error) {
	return c.call.header(ctx, c.call.back.Known())
}

// Trailer returns the metadata that came with the end of the call ([SetTrailer]), nil
// if there is none and until that end has been returned by Finish.
func (c *ClientStreamCall[A, R]) Trailer() Metadata { return c.call.back.Trailer() }

// Close cancels the call unless it is over, and waits until nothing of it
// remains here. It always returns nil, and may be called several times.
func (c *ClientStreamCall[A, R]) Close() error { return c.call.close() }

// Duplex is a streaming method as a value, with any number of arguments and
// of replies, both at once; see [ServerStream].
//
//	err := Chat.Handle(server, func(ctx context.Context, in *rpc.Receiver[Line], out *rpc.Sender[Line]) error {
//		for line, err := range in.All(ctx) {
//			if err == nil {
//				err = out.Send(ctx, answer(line))
//			}
//			if err != nil {
//				return err
//			}
//		}
//		return nil
//	})
//
//	call := Chat.Open(ctx, client, dest)
//	defer call.Close()
//	err = call.Send(ctx, line)
//	line, err := call.Receive(ctx)
type Duplex[A, R any] struct {
	id     ServiceID
	config methodConfig
}

// NewDuplex declares the streaming method service.method, under the rules of
// [NewMethod].
func NewDuplex[A, R any](service, method string, opts ...CallOption) *Duplex[A, R] {
	return &Duplex[A, R]{declared(service, method), configured(opts)}
}

// ID returns the method's names.
func (m *Duplex[A, R]) ID() ServiceID { return m.id }

// String returns "Service.Method".
func (m *Duplex[A, R]) String() string { return m.id.String() }

// Handle makes f serve the method at s, under the rules of [Method.Handle]. f
// receives the arguments from in and sends the replies to out, at will. When
// it returns, the call is over, with the error of f.
func (m *Duplex[A, R]) Handle(s *Server, f func(ctx context.Context, in *Receiver[A], out *Sender[R]) error) error {
	return handleStream(s, m.id, &m.config, false, f, f)
}

// Open calls the method on dest and returns the call. It does not wait: how
// the call fares, its beginning included, the call's Receive tells. The call
// is over when Receive has returned an error that is not that of its own
// context, when Close has returned, or when ctx has ended: one of these must
// come.
//
// dest, opts, and the end of ctx, mean what they do for [Method.Call].
func (m *Duplex[A, R]) Open(ctx context.Context, c *Client, dest peer.ID, opts ...CallOption) *DuplexCall[A, R] {
	return &DuplexCall[A, R]{openStream[A, R](ctx, c, dest, m.id, &m.config, opts)}
}

// DuplexCall is a call of a [Duplex]. Its methods are safe for concurrent use:
// mostly one goroutine sends and another receives.
type DuplexCall[A, R any] struct{ call *typedCall[A, R] }

// Send sends an argument, under the rules of [Sender.Send]. It returns io.EOF
// when the call is over, well or not, or CloseSend was called; Receive tells.
func (c *DuplexCall[A, R]) Send(ctx context.Context, arg A) error { return c.call.args.Send(ctx, arg) }

// CloseSend ends the arguments: the method is told when it has received the
// last. It always returns nil, and may be called several times.
func (c *DuplexCall[A, R]) CloseSend() error { return c.call.closeSend() }

// Receive returns the next reply, under the rules of [Receiver.Receive]. After
// the last it returns io.EOF, or the error of the call.
func (c *DuplexCall[A, R]) Receive(ctx context.Context) (R, error) {
	return c.call.replies.Receive(ctx)
}

// All returns the replies that have not been received, for a loop, as
// [Receiver.All] does. To leave the loop does not end the call.
func (c *DuplexCall[A, R]) All(ctx context.Context) iter.Seq2[R, error] {
	return all(ctx, &c.call.replies)
}

// Begun waits until the method runs, under the rules of [ClientStreamCall.Begun].
// Nothing need have been received.
func (c *DuplexCall[A, R]) Begun(ctx context.Context) (Metadata, error) {
	return c.call.header(ctx, c.call.back.Begun())
}

// Header returns the metadata that the method sends before its first reply, under
// the rules of [ClientStreamCall.Header]. Nothing need have been received.
func (c *DuplexCall[A, R]) Header(ctx context.Context) (Metadata, error) {
	return c.call.header(ctx, c.call.back.Known())
}

// Trailer returns the metadata that came with the end of the call ([SetTrailer]), nil
// if there is none and until that end has been received.
func (c *DuplexCall[A, R]) Trailer() Metadata { return c.call.back.Trailer() }

// Close cancels the call unless it is over, and waits until nothing of it
// remains here. It always returns nil, and may be called several times.
func (c *DuplexCall[A, R]) Close() error { return c.call.close() }

// Sender is where a method sends its replies to. It is safe for concurrent
// use.
type Sender[T any] struct{ to sender[T] }

// sender is a pipe, or an outlet.
type sender[T any] interface {
	Send(ctx context.Context, item T) error
}

// Send sends an item. It waits only where the other side is behind: up to 64
// items are held (or [WithStreamBufferSize] in a server, if that is more), and
// no more than make 256 KiB, but always one; in a [ServerStream] on a session those of
// 128 KiB. They go out at once, together when several have come meanwhile. The item belongs to the call then: what it
// points to must not be changed. That Send returns nil does not say that it
// has arrived.
//
// Send returns an error when the call is over: that of the method's context
// if this has ended, and else io.EOF; or when ctx ends while it waits. The
// item is then not sent, and the call goes on.
func (s *Sender[T]) Send(ctx context.Context, item T) error { return s.to.Send(ctx, item) }

// Receiver is where a method receives its arguments from. It is safe for
// concurrent use; each item is received once.
type Receiver[T any] struct {
	pipe *flow.Pipe[T]
	id   ServiceID
}

// Receive returns the next item, and waits for it. After the last it returns
// io.EOF. Any other error is that of ctx, after which the next Receive goes on,
// or says why no more can come: the caller has gone, or the server closes, of
// which the method's context tells too; or an item cannot be decoded or is
// over a limit, and then the caller gets that error whatever the method
// returns. What a pointer points to is new and belongs to the method, or, in a
// local call, is the caller's own.
func (r *Receiver[T]) Receive(ctx context.Context) (T, error) { return r.pipe.Receive(ctx) }

// All returns the items that have not been received, for a loop. The second
// variable is nil but for the last time, where an error has come in place of
// io.EOF; the first is then zero. The loop may be left, and another begun.
func (r *Receiver[T]) All(ctx context.Context) iter.Seq2[T, error] { return all(ctx, r.pipe) }

// handleStream registers a streaming method, a handler that f calls; one says
// that it takes no more than one argument.
func handleStream[A, R any](s *Server, id ServiceID, config *methodConfig, one bool, handler any, f func(context.Context, *Receiver[A], *Sender[R]) error) error {
	m := &method{
		id: id, kind: Streaming, arg: reflect.TypeFor[A](), reply: reflect.TypeFor[R](),
		handler: handler, sentinels: sentinelsOf(config),
		stream: func(ctx context.Context, call *servedCall, buffer int) methodEnds {
			return newTypedMethod(ctx, call, buffer, one, f)
		},
	}
	if f, ok := handler.(func(context.Context, A, *Sender[R]) error); ok && one {
		m.fresh = func() flow.Item { return flow.NewItem(m.arg) }
		m.direct = func(ctx context.Context, arg flow.Item, to *directCall) (failed bool, err error) {
			o := outlet[R](to)
			defer func() { failed = o.Close() }()
			return false, noTypedNil(f(ctx, flow.ValueOf[A](arg), &Sender[R]{o}))
		}
	}
	return s.handle(m)
}

// Info describes the method as it is declared. LocalOnly is nil.
func (m *ServerStream[A, R]) Info() MethodInfo { return methodInfo[A, R](m.id, Streaming) }

// Info describes the method as it is declared. LocalOnly is nil.
func (m *ClientStream[A, R]) Info() MethodInfo { return methodInfo[A, R](m.id, Streaming) }

// Info describes the method as it is declared. LocalOnly is nil.
func (m *Duplex[A, R]) Info() MethodInfo { return methodInfo[A, R](m.id, Streaming) }
