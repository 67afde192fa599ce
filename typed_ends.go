package rpc

import (
	"context"
	"io"
	"iter"
	"reflect"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// typedEnds makes the ends of one call of a typed streaming method.
type typedEnds func(ctx context.Context, call *servedCall, buffer int) methodEnds

// typedMethod is the ends of a typed method, and the method.
type typedMethod[A, R any] struct {
	id  ServiceID
	in  flow.Pipe[A]
	out flow.Pipe[R]
	ctx context.Context
	one bool
	f   func(context.Context, *Receiver[A], *Sender[R]) error
}

func newTypedMethod[A, R any](ctx context.Context, call *servedCall, buffer int, one bool, f func(context.Context, *Receiver[A], *Sender[R]) error) *typedMethod[A, R] {
	m := &typedMethod[A, R]{id: call.ID(), ctx: ctx, one: one, f: f}
	done := ctx.Done()
	config := flow.Config{
		Most: buffer, Size: firstSize(call.Local), Call: done, Ended: m.ended,
		Over: func() error {
			if ctx.Err() != nil {
				return m.ended(ctx)
			}
			return io.EOF
		},
	}
	m.out.Init(config)
	config.Done, config.Gave = done, config.Over
	m.in.Init(config)
	return m
}

// firstSize is what items are taken to be long before there was one.
func firstSize(local bool) int {
	if local {
		return 0
	}
	return flow.PipeBytes / 4
}

// ended is the error of a context that has ended.
func (m *typedMethod[A, R]) ended(ctx context.Context) error { return contextError(ctx, m.id, "") }

func (m *typedMethod[A, R]) args() flow.LateSink {
	if m.one {
		return &onlyArgument[A]{Pipe: &m.in, id: m.id}
	}
	return &m.in
}

func (m *typedMethod[A, R]) replies() flow.Source { return &m.out }

func (m *typedMethod[A, R]) observe(o flow.Observer) {
	m.in.Observe(o)
	m.out.Observe(o)
}

func (m *typedMethod[A, R]) run(ctx context.Context) error {
	defer m.out.Close(io.EOF)
	return noTypedNil(m.f(ctx, &Receiver[A]{&m.in, m.id}, &Sender[R]{&m.out}))
}

func (m *typedMethod[A, R]) refused(err error) <-chan struct{} {
	told := m.in.Refuse(err)
	if m.one { // who has the one does not come back
		return closedChan
	}
	return told
}

func (m *typedMethod[A, R]) noMore(err error) {
	switch {
	case err == nil:
		err = io.EOF
	case !call.IsFault(err) && m.ctx.Err() != nil:
		err = contextError(m.ctx, m.id, "")
	}
	m.in.Close(err)
}

func (m *typedMethod[A, R]) Halt() {
	m.in.Halt()
	m.out.Halt()
}

// discard makes sends fail: nobody need take anything.
func (m *typedMethod[A, R]) discard(<-chan struct{}) { m.out.Halt() }

// onlyArgument is the sink of a method that takes one argument.
type onlyArgument[A any] struct {
	*flow.Pipe[A]
	id  ServiceID
	had bool
}

func (o *onlyArgument[A]) Put(it flow.Item) error {
	if o.had {
		return call.Fail(call.OfServer, codes.InvalidArgument, "the method takes one argument, and a second was sent")
	}
	err := o.Pipe.Put(it)
	o.had = err == nil
	return err
}

// only returns the argument of a method that takes one.
func (r *Receiver[T]) only(ctx context.Context) (T, error) {
	arg, err := r.Receive(ctx)
	if err == io.EOF {
		err = rendered(r.id, call.Fail(call.OfServer, codes.InvalidArgument, "the method takes one argument, and none was sent"))
	}
	return arg, err
}

// typedCall is a typed streaming call, in a client.
type typedCall[A, R any] struct {
	id      ServiceID
	peer    peer.ID
	args    flow.Pipe[A]
	replies flow.Pipe[R]
	cancel  context.CancelFunc
	back    call.Back     // the metadata that the method sends back
	options *callConfig   // nil where nothing is set
	over    chan struct{} // closed when it is
	err     error         // with which; nil if it has ended well
}

// openStream starts a streaming call.
func openStream[A, R any](ctx context.Context, c *Client, dest peer.ID, id ServiceID, config *methodConfig, opts []CallOption) *typedCall[A, R] {
	t := &typedCall[A, R]{id: id, over: make(chan struct{})}
	given := ctx.Done()
	ctx, t.cancel = context.WithCancel(ctx)
	pipes := flow.Config{Size: firstSize(c.isLocal(dest)), Call: ctx.Done(), Ended: t.ended}
	t.replies.Init(pipes) // what is there is received though the call is over
	pipes.Over = func() error { return io.EOF }
	t.args.Init(pipes)

	k := c.newCall(dest, id, Streaming)
	k.options, k.typed = c.settled(config.calls, opts), true
	k.remote.Back, t.options, t.peer = &t.back, k.options, k.Peer
	t.back.Ask(nil)
	k.stream = &streamEnds{
		in: callerArgs[A, R]{&t.args, &t.replies, given}, out: callerReplies[R]{&t.replies}, fresh: t.replies.Fresh,
		args: reflect.TypeFor[A](), replies: reflect.TypeFor[R](),
	}
	go func() {
		var err error = exited(&k.CallInfo)
		defer func() { t.finish(err) }() // an interceptor may end this goroutine
		err = c.doStream(ctx, k)
		k.release(err)
	}()
	return t
}

// loop is a typed call of one argument of another peer, whose replies are taken in the
// caller's goroutine.
type loop[A, R any] struct {
	in      flow.One[A]
	out     flow.Loop[R]
	ends    streamEnds
	back    call.Back
	options *callConfig // nil where nobody asks for metadata
}

// Before is that of [flow.Loop].
func (l *loop[A, R]) Before() { l.options.tellBack(&l.back) }

// loopStream makes such a call, and hands its replies to yield.
func loopStream[A, R any](ctx context.Context, c *Client, dest peer.ID, id ServiceID, config *methodConfig, opts []CallOption, arg A, yield func(R, error) bool) {
	l := new(loop[A, R])
	k := c.newCall(dest, id, Streaming)
	k.options, k.typed = c.settled(config.calls, opts), true
	if k.options != nil && k.options.wantsBack() {
		k.remote.Back, l.options = &l.back, k.options
	}
	l.in.V = arg
	l.out.Yield, l.out.Of, l.out.Guard = yield, l, c.watched
	l.ends = streamEnds{in: &l.in, out: &l.out, fresh: l.out.Fresh, args: reflect.TypeFor[A](), replies: reflect.TypeFor[R]()}
	k.stream = &l.ends
	err := noEnd(c.doStream(ctx, k))
	switch {
	case l.out.Panic != nil:
		panic(l.out.Panic)
	case l.out.Left:
		return
	case err != nil:
		var none R
		l.Before()
		yield(none, err)
		return
	}
	l.Before()
}

// noEnd returns what a typed stream's call ends with. io.EOF that a method of this
// process has returned is no good end: the caller gets what one of another would, with
// the error itself in it.
func noEnd(err error) error {
	if err == io.EOF {
		return &Error{Code: codes.Unknown, Message: err.Error(), cause: err}
	}
	return err
}

// finish is called when the call is over.
func (t *typedCall[A, R]) finish(err error) {
	t.cancel()
	err = noEnd(err)
	if t.err = err; err == nil {
		err = io.EOF
	}
	t.replies.Close(err)
	t.replies.Halt()
	t.args.Halt()
	close(t.over)
}

// header waits until so much is known, and returns the metadata that is there.
func (t *typedCall[A, R]) header(ctx context.Context, known <-chan struct{}) (Metadata, error) {
	select {
	case <-known:
	case <-t.over:
	case <-ctx.Done():
		return nil, t.ended(ctx)
	}
	if !flow.IsClosed(known) {
		return nil, t.err
	}
	return t.back.Header(), nil
}

func (t *typedCall[A, R]) closeSend() error {
	t.args.Close(io.EOF)
	return nil
}

func (t *typedCall[A, R]) close() error {
	t.cancel()
	<-t.over
	return nil
}

// only returns the reply of a method that replies once.
func (t *typedCall[A, R]) only(ctx context.Context) (reply R, err error) {
	if reply, err = t.replies.Receive(ctx); err == io.EOF {
		err = t.failed(codes.Internal, "the method ended without a reply, and one is expected")
	} else if err == nil {
		if _, err = t.replies.Receive(ctx); err == nil {
			return reply, t.failed(codes.Internal, "the method replied more than once, and one reply is expected; a Duplex takes several")
		} else if err == io.EOF {
			err = nil
		}
	}
	return reply, err
}

// failed is an error that the typed end of a call makes.
func (t *typedCall[A, R]) failed(c codes.Code, what string) error {
	return fail(t.id, t.peer, c, "%s", what)
}

// ended is the error of a typed end whose own context has ended.
func (t *typedCall[A, R]) ended(ctx context.Context) error {
	return contextError(ctx, t.id, t.peer)
}

// callerArgs is the source of a caller's arguments. As with channels, to halt
// it is to halt the replies too.
type callerArgs[A, R any] struct {
	*flow.Pipe[A]
	replies *flow.Pipe[R]
	given   <-chan struct{} // of the caller's context, which ends before those made from it
}

// Next does not take it for the end of the arguments when the program closes them
// because its context has ended.
func (c callerArgs[A, R]) Next(wait bool) (flow.Item, flow.State, error) {
	it, st, err := c.Pipe.Next(wait)
	if st == flow.AtEnd && err == nil && (flow.IsClosed(c.given) || flow.IsClosed(c.Call)) {
		<-c.Call // which is about to end too, and tells why
		err = flow.ErrStopped
	}
	return it, st, err
}

func (c callerArgs[A, R]) Halt() {
	c.Pipe.Halt()
	c.replies.Halt()
}

// callerReplies is the sink of a caller's replies, whose end is that of the
// call, which knows of errors.
type callerReplies[R any] struct{ *flow.Pipe[R] }

func (callerReplies[R]) End() error { return nil }

// all is a loop over what a pipe has.
func all[T any](ctx context.Context, p *flow.Pipe[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := p.Receive(ctx)
			if err == io.EOF || !yield(v, err) || err != nil {
				return
			}
		}
	}
}
