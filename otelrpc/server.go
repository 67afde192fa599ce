package otelrpc

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// served is the stats handler of a server, which is told of the calls that no
// interceptor sees, too.
type served struct{ *instrument }

// WantsPayloads lets the server keep no values.
func (s *served) WantsPayloads() bool { return false }

type servedKey struct{}

// servedCall is a call that is being served.
type servedCall struct {
	info   *rpc.CallInfo
	method *method
	span   trace.Span
	begun  time.Time
}

// TagRPC begins the span of a call, which the method's context then has.
func (s *served) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	info, ok := rpc.CallInfoFromContext(ctx)
	if !ok || info.Local && !s.local {
		return ctx
	}
	c := &servedCall{info: info, method: s.other, begun: time.Now()}
	if info.Registered() {
		c.method = s.method(info.ID())
	}
	parent, linked := s.extract(ctx, info)
	start := c.method.start
	if linked != nil {
		start = append(start[:len(start):len(start)], linked...)
	}
	ctx, c.span = s.tracer.Start(parent, c.method.name, start...)
	if c.method == s.other && c.span.IsRecording() {
		c.span.SetAttributes(attribute.String(MethodOriginalKey, clean(info.Service+"/"+info.Method)))
	}
	return context.WithValue(ctx, servedKey{}, c)
}

// HandleRPC ends it.
func (s *served) HandleRPC(ctx context.Context, event stats.RPCStats) {
	end, ok := event.(*stats.End)
	if !ok {
		return
	}
	info, _ := rpc.CallInfoFromContext(ctx)
	// A local call that is not recorded may be made by a method whose call is.
	if c, ok := ctx.Value(servedKey{}).(*servedCall); ok && c.info == info {
		s.record(ctx, c.method, c.begun, end.Error)
		s.end(c.span, c.method, c.info, end.Error)
	}
}

// extract reads the trace context that came with a call: a trusted caller's span is the
// parent, and a stranger's is linked to, by its IDs alone.
func (s *served) extract(ctx context.Context, info *rpc.CallInfo) (context.Context, []trace.SpanStartOption) {
	if info.Local {
		return ctx, nil
	}
	md := rpc.MetadataFromContext(ctx)
	if len(md) == 0 {
		return ctx, nil
	}
	if s.trusts(info.Peer) {
		return s.propagator.Extract(ctx, propagation.MapCarrier(md)), nil
	}
	sent := trace.SpanContextFromContext(s.propagator.Extract(context.Background(), propagation.MapCarrier(md)))
	if !sent.IsValid() {
		return ctx, nil
	}
	return ctx, []trace.SpanStartOption{trace.WithNewRoot(), trace.WithLinks(trace.Link{
		SpanContext: trace.NewSpanContext(trace.SpanContextConfig{TraceID: sent.TraceID(), SpanID: sent.SpanID(), Remote: true}),
	})}
}
