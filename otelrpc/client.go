package otelrpc

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// call is the interceptor of whole calls.
func (i *instrument) call(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) (err error) {
		if call.Local && !i.local {
			return next(ctx, call)
		}
		m, begun := i.method(call.ID()), time.Now()
		ctx, span := i.tracer.Start(ctx, m.name, m.start...)
		err = errExited
		defer func() {
			i.record(ctx, m, begun, err)
			i.end(span, m, call, err)
		}()
		if call.MayRetry() {
			err = next(ctx, call)
		} else {
			err = next(i.inject(ctx, call), call)
		}
		return err
	}
}

// errExited is the error of a call whose goroutine has ended, or panics.
var errExited = rpc.Errorf(codes.Internal, "the call ended its goroutine, or panicked")

// attempt is the interceptor of the attempts of a call that may have several.
func (i *instrument) attempt(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) (err error) {
		if call.Local && !i.local || !call.MayRetry() {
			return next(ctx, call)
		}
		m := i.method(call.ID())
		ctx, span := i.tracer.Start(ctx, "Attempt."+m.name, m.attempt...)
		span.SetAttributes(attribute.Int(AttemptKey, call.Attempt))
		err = errExited
		defer func() { i.end(span, m, call, err) }()
		err = next(i.inject(ctx, call), call)
		return err
	}
}

// inject writes the trace context into the metadata of a call, if there is a trace.
func (i *instrument) inject(ctx context.Context, call *rpc.CallInfo) context.Context {
	if call.Local || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx
	}
	var written pairs
	i.propagator.Inject(ctx, &written)
	return rpc.AppendMetadata(ctx, written...)
}

// pairs are a carrier that is written to.
type pairs []string

func (p *pairs) Set(key, value string) { *p = append(*p, key, value) }
func (p *pairs) Get(string) string     { return "" }
func (p *pairs) Keys() []string        { return nil }
