package rpc

import (
	"context"
	"io"
	"iter"
	"reflect"

	"github.com/libp2p/go-libp2p/core/peer"
)

// typedEnds makes the ends of one call of a typed streaming method.
type typedEnds func(ctx context.Context, call *CallInfo, buffer int) methodEnds

// typedMethod is the ends of a typed method, and the method.
type typedMethod[A, R any] struct {
	in  pipe[A]
	out pipe[R]
	ctx context.Context
	one bool
	f   func(context.Context, *Receiver[A], *Sender[R]) error
}

func newTypedMethod[A, R any](ctx context.Context, call *CallInfo, buffer int, one bool, f func(context.Context, *Receiver[A], *Sender[R]) error) *typedMethod[A, R] {
	m := &typedMethod[A, R]{ctx: ctx, one: one, f: f}
	id := call.ID()
	m.in.init(id, buffer, firstSize(call.Local))
	m.out.init(id, buffer, firstSize(call.Local))
	over := func() error {
		if ctx.Err() != nil {
			return contextError(ctx, id)
		}
		return io.EOF
	}
	m.out.call, m.out.over = ctx.Done(), over
	m.in.call, m.in.done, m.in.gave = ctx.Done(), ctx.Done(), over
	return m
}

// firstSize is what items are taken to be long before there was one.
func firstSize(local bool) int {
	if local {
		return 0
	}
	return pipeBytes / 4
}

func (m *typedMethod[A, R]) args() lateSink {
	if m.one {
		return &onlyArgument[A]{pipe: &m.in}
	}
	return &m.in
}

func (m *typedMethod[A, R]) replies() source { return &m.out }

func (m *typedMethod[A, R]) record(r *recorder) { m.in.stats, m.out.stats = r, r }

func (m *typedMethod[A, R]) run(ctx context.Context) error {
	defer m.out.close(io.EOF)
	return noTypedNil(m.f(ctx, &Receiver[A]{&m.in}, &Sender[R]{&m.out}))
}

func (m *typedMethod[A, R]) refused(err error) <-chan struct{} {
	told := m.in.refuse(err)
	if m.one { // who has the one does not come back
		return closedChan
	}
	return told
}

func (m *typedMethod[A, R]) noMore(err error) {
	switch {
	case err == nil:
		err = io.EOF
	case !isCallError(err) && m.ctx.Err() != nil:
		err = contextError(m.ctx, m.in.id)
	}
	m.in.close(err)
}

func (m *typedMethod[A, R]) halt() {
	m.in.halt()
	m.out.halt()
}

// discard makes sends fail: nobody need take anything.
func (m *typedMethod[A, R]) discard(<-chan struct{}) { m.out.halt() }

// onlyArgument is the sink of a method that takes one argument.
type onlyArgument[A any] struct {
	*pipe[A]
	had bool
}

func (o *onlyArgument[A]) put(it item) error {
	if o.had {
		return serverError(CodeInvalidArgument, o.id, "the method takes one argument, and a second was sent")
	}
	err := o.pipe.put(it)
	o.had = err == nil
	return err
}

// only returns the argument of a method that takes one.
func (r *Receiver[T]) only(ctx context.Context) (T, error) {
	arg, err := r.Receive(ctx)
	if err == io.EOF {
		err = serverError(CodeInvalidArgument, r.pipe.id, "the method takes one argument, and none was sent")
	}
	return arg, err
}

// typedCall is a typed streaming call, in a client.
type typedCall[A, R any] struct {
	args    pipe[A]
	replies pipe[R]
	cancel  context.CancelFunc
	over    chan struct{} // closed when it is
}

// openStream starts a streaming call.
func openStream[A, R any](ctx context.Context, c *Client, dest peer.ID, id ServiceID, config *methodConfig, opts []CallOption) *typedCall[A, R] {
	t := &typedCall[A, R]{over: make(chan struct{})}
	given := ctx.Done()
	ctx, t.cancel = context.WithCancel(ctx)
	t.args.init(id, 0, firstSize(c.isLocal(dest)))
	t.replies.init(id, 0, firstSize(c.isLocal(dest)))
	t.args.call, t.args.over = ctx.Done(), func() error { return io.EOF }
	t.replies.call = ctx.Done() // what is there is received all the same

	call := c.newCall(dest, id.Name, id.Method, Streaming)
	call.options, call.typed = c.settled(config.calls, opts), true
	t.args.peer, t.replies.peer = call.Peer, call.Peer
	call.stream = &streamEnds{
		in: callerArgs[A, R]{&t.args, &t.replies, given}, out: callerReplies[R]{&t.replies},
		args: reflect.TypeFor[A](), replies: reflect.TypeFor[R](),
	}
	go func() {
		var err error = exited(call)
		defer func() { t.finish(err) }() // an interceptor may end this goroutine
		err = c.do(ctx, call)
		call.release()
	}()
	return t
}

// finish is called when the call is over.
func (t *typedCall[A, R]) finish(err error) {
	t.cancel()
	switch err {
	case nil:
		err = io.EOF
	case io.EOF:
		// A method of this process has returned it, which is no good end: the
		// caller gets what one of another would, with the error itself in it.
		err = &Error{Code: CodeUnknown, Message: err.Error(), cause: err}
	}
	t.replies.close(err)
	t.replies.halt()
	t.args.halt()
	close(t.over)
}

func (t *typedCall[A, R]) closeSend() error {
	t.args.close(io.EOF)
	return nil
}

func (t *typedCall[A, R]) close() error {
	t.cancel()
	<-t.over
	return nil
}

// only returns the reply of a method that replies once.
func (t *typedCall[A, R]) only(ctx context.Context) (reply R, err error) {
	if reply, err = t.replies.receive(ctx); err == io.EOF {
		err = t.failed(CodeInternal, "the method ended without a reply, and one is expected")
	} else if err == nil {
		if _, err = t.replies.receive(ctx); err == nil {
			return reply, t.failed(CodeInternal, "the method replied more than once, and one reply is expected; a Duplex takes several")
		} else if err == io.EOF {
			err = nil
		}
	}
	return reply, err
}

// failed is an error that the typed end of a call makes.
func (t *typedCall[A, R]) failed(c Code, what string) error {
	id := t.replies.id
	return clientError(c, id, "%s", what).named(id, t.replies.peer)
}

// callerArgs is the source of a caller's arguments. As with channels, to halt
// it is to halt the replies too.
type callerArgs[A, R any] struct {
	*pipe[A]
	replies *pipe[R]
	given   <-chan struct{} // of the caller's context, which ends before those made from it
}

// next makes no good end of a program's that closes because its context has
// ended.
func (c callerArgs[A, R]) next(wait bool, into sink) (item, state, error) {
	it, st, err := c.pipe.next(wait, into)
	if st == stateEnd && err == nil && (isClosed(c.given) || isClosed(c.call)) {
		<-c.call // which is about to end too, and tells why
		err = errStopped
	}
	return it, st, err
}

func (c callerArgs[A, R]) halt() {
	c.pipe.halt()
	c.replies.halt()
}

// callerReplies is the sink of a caller's replies, whose end is that of the
// call, which knows of errors.
type callerReplies[R any] struct{ *pipe[R] }

func (callerReplies[R]) end() error { return nil }

// all is a loop over what a pipe has.
func all[T any](ctx context.Context, p *pipe[T]) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			v, err := p.receive(ctx)
			if err == io.EOF || !yield(v, err) || err != nil {
				return
			}
		}
	}
}
