package rpc

import (
	"context"
	"io"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// directMethod runs a method of one argument, who sends its replies to to itself. It
// reports whether one could not be sent.
type directMethod func(ctx context.Context, arg flow.Item, to *directCall) (failed bool, err error)

// directCall is a streaming call without pumps.
type directCall struct {
	call.Direct
	server *Server
	call   *servedCall
	ctx    context.Context // the method's
	fault  error           // why a reply cannot be sent
}

// invokeDirect runs the method, whose argument is there.
func (s *Server) invokeDirect(ctx context.Context, c *servedCall, d call.Direct, arg flow.Item) (err error) {
	defer s.catch(&c.CallInfo, &err)
	r := &directCall{Direct: d, server: s, call: c, ctx: ctx}
	c.remote.methods.begin()
	failed, err := c.method.direct(ctx, arg, r)
	switch {
	case r.fault != nil: // the caller has it, instead of what the method made of it
		return r.fault
	case err != nil || !failed:
		return err
	case ctx.Err() != nil:
		f := call.Ended(ctx)
		f.Origin = call.OfServer
		return f
	}
	return call.ErrCallerGone
}

// outlet returns where a method sends its replies to.
func outlet[T any](r *directCall) *flow.Outlet[T] {
	o := &flow.Outlet[T]{To: r.call.sink, Of: r}
	if own, ok := r.ctx.(*serverContext); ok {
		o.Call = own.Context.Done() // without a watch for the caller's going, of which the sink tells
	} else {
		o.Call = r.ctx.Done()
	}
	return o
}

// Before is that of [flow.OutletCall].
func (r *directCall) Before() error { return r.call.remote.methods.release() }

// Failed is that of [flow.OutletCall]. The call is over; the method learns it by its
// context, too.
func (r *directCall) Failed(err error) {
	if call.IsFault(err) {
		r.fault = err
		_ = r.server.respond(r.call, err)
		r.call.remote.carried.Cancel(err)
	}
}

// Over is that of [flow.OutletCall].
func (r *directCall) Over() error {
	if r.ctx.Err() != nil {
		return r.Ended(r.ctx)
	}
	return io.EOF
}

// Ended is that of [flow.OutletCall].
func (r *directCall) Ended(ctx context.Context) error { return contextError(ctx, r.call.ID(), "") }
