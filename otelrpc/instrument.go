package otelrpc

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// instrument is what a client's and a server's calls have in common.
type instrument struct {
	*config
	tracer   trace.Tracer
	duration metric.Float64Histogram
	kind     trace.SpanKind
	address  attribute.KeyValue
	fails    func(codes.Code) bool

	known sync.Map // ServiceID -> *method
	count atomic.Int64
	other *method // of names that a peer made up
}

func newInstrument(h histogram, p protocol.ID, c *config) *instrument {
	i := &instrument{
		config: c, kind: trace.SpanKindClient, fails: func(c codes.Code) bool { return c != codes.OK },
		address: attribute.String(ServerAddressKey, string(p)),
		tracer:  c.tracers.Tracer(ScopeName, trace.WithSchemaURL(schemaURL)),
	}
	if h == serverDuration {
		i.kind, i.fails = trace.SpanKindServer, failsServer
	}
	var err error
	i.duration, err = c.meters.Meter(ScopeName, metric.WithSchemaURL(schemaURL)).Float64Histogram(h.name,
		metric.WithUnit("s"), metric.WithDescription(h.what), metric.WithExplicitBucketBoundaries(boundaries...))
	if err != nil {
		otel.Handle(err)
	}
	i.other = i.newMethod(SystemName, Other)
	return i
}

// failsServer reports whether a server has failed that ends a call with c; the other
// codes say that the caller has. The conventions for gRPC's codes say so.
func failsServer(c codes.Code) bool {
	switch c {
	case codes.Unknown, codes.DeadlineExceeded, codes.Unimplemented, codes.Internal, codes.Unavailable, codes.DataLoss:
		return true
	}
	return c > codes.Unauthenticated
}

// maxMethods is how many methods an instrument remembers: a client may make up names
// without end.
const maxMethods = 1 << 10

// method has what all calls of a method have in common, made once.
type method struct {
	name    string
	start   []trace.SpanStartOption
	attempt []trace.SpanStartOption
	ended   [codes.Unauthenticated + 2]ended // by code, the last for those without a name
}

// ended has what all calls that ended alike have in common.
type ended struct {
	record []metric.RecordOption
	span   []attribute.KeyValue
}

func (i *instrument) method(id rpc.ServiceID) *method {
	if m, ok := i.known.Load(id); ok {
		return m.(*method)
	}
	name := clean(id.Name + "/" + id.Method)
	m := i.newMethod(name, name)
	if i.count.Add(1) <= maxMethods {
		i.known.Store(id, m)
	}
	return m
}

func (i *instrument) newMethod(span, name string) *method {
	common := []attribute.KeyValue{attribute.String(SystemNameKey, SystemName), attribute.String(MethodKey, name), i.address}
	m := &method{
		name:    span,
		start:   []trace.SpanStartOption{trace.WithSpanKind(i.kind), trace.WithAttributes(common...)},
		attempt: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(common...)},
	}
	for n := range m.ended {
		c, status := codes.Code(n), Other
		if n < len(m.ended)-1 {
			status = c.String()
		}
		e := &m.ended[n]
		e.span = []attribute.KeyValue{attribute.String(StatusCodeKey, status)}
		if i.fails(c) {
			e.span = append(e.span, attribute.String(ErrorTypeKey, status))
		}
		all := attribute.NewSet(slices.Concat(e.span, common)...)
		e.record = []metric.RecordOption{metric.WithAttributeSet(all)}
	}
	return m
}

// of returns what calls of the method that end with c have in common.
func (m *method) of(c codes.Code) *ended { return &m.ended[min(c, codes.Unauthenticated+1)] }

// record records how long a call took that ended with err.
func (i *instrument) record(ctx context.Context, m *method, begun time.Time, err error) {
	i.duration.Record(ctx, time.Since(begun).Seconds(), m.of(rpc.CodeOf(err)).record...)
}

// end ends the span of a call that ended with err.
func (i *instrument) end(span trace.Span, m *method, call *rpc.CallInfo, err error) {
	if span.IsRecording() {
		code := rpc.CodeOf(err)
		span.SetAttributes(m.of(code).span...)
		if i.fails(code) {
			span.SetStatus(otelcodes.Error, clean(err.Error()))
		}
		span.SetAttributes(way(call)...)
	}
	span.End()
}

// way says who is at the other end of a call, and over which way.
func way(call *rpc.CallInfo) []attribute.KeyValue {
	conn := call.Conn()
	if conn == nil {
		return []attribute.KeyValue{attribute.String(PeerKey, call.Peer.String())}
	}
	relayed := false
	if _, err := conn.RemoteMultiaddr().ValueForProtocol(multiaddr.P_CIRCUIT); err == nil {
		relayed = true
	}
	return []attribute.KeyValue{
		attribute.String(PeerKey, call.Peer.String()), attribute.String(TransportKey, conn.ConnState().Transport), attribute.Bool(RelayedKey, relayed),
	}
}

// maxText is how much of an error's text a span has, in bytes: a peer may have written
// it.
const maxText = 1 << 10

// clean makes of what may be a peer's text one that exporters take: a byte that is no
// UTF-8 would lose them a whole batch.
func clean(s string) string {
	if len(s) > maxText {
		s = s[:maxText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
