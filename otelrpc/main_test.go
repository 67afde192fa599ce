package otelrpc_test

import (
	"context"
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/otelrpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// side is what one side of calls has recorded.
type side struct {
	spans  *tracetest.SpanRecorder
	reader *sdkmetric.ManualReader
	tracer trace.Tracer
	opts   []otelrpc.Option
}

func newSide(t testing.TB, opts ...sdktrace.TracerProviderOption) *side {
	s := &side{spans: tracetest.NewSpanRecorder(), reader: sdkmetric.NewManualReader()}
	traces := sdktrace.NewTracerProvider(append(opts, sdktrace.WithSpanProcessor(s.spans))...)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	t.Cleanup(func() {
		_ = traces.Shutdown(context.Background())
		_ = meters.Shutdown(context.Background())
	})
	s.tracer = traces.Tracer("test")
	s.opts = []otelrpc.Option{otelrpc.WithTracerProvider(traces), otelrpc.WithMeterProvider(meters)}
	return s
}

func (s *side) client(opts ...otelrpc.Option) rpc.ClientOption {
	return otelrpc.Client(rig.Protocol, append(s.opts, opts...)...)
}

func (s *side) server(opts ...otelrpc.Option) rpc.ServerOption {
	return otelrpc.Server(rig.Protocol, append(s.opts, opts...)...)
}

// ended waits until n spans have ended, and returns them by name.
func (s *side) ended(t testing.TB, n int) map[string]sdktrace.ReadOnlySpan {
	t.Helper()
	rig.Eventually(t, "the spans have ended", func() bool { return len(s.spans.Ended()) >= n })
	all := s.spans.Ended()
	if len(all) != n || len(s.spans.Started()) != n {
		t.Fatalf("%d spans have ended and %d begun, not %d: %v", len(all), len(s.spans.Started()), n, names(all))
	}
	named := make(map[string]sdktrace.ReadOnlySpan)
	for _, span := range all {
		named[span.Name()] = span
	}
	return named
}

// one is ended, of one span.
func (s *side) one(t testing.TB) sdktrace.ReadOnlySpan {
	t.Helper()
	for _, span := range s.ended(t, 1) {
		return span
	}
	return nil
}

func names(all []sdktrace.ReadOnlySpan) (names []string) {
	for _, span := range all {
		names = append(names, span.Name())
	}
	return names
}

// points returns what a histogram of durations has.
func (s *side) points(t testing.TB, name string) []metricdata.HistogramDataPoint[float64] {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := s.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == name && m.Unit == "s" && scope.Scope.Name == otelrpc.ScopeName {
				return h.DataPoints
			}
		}
	}
	return nil
}

// attrs are attributes as text.
func attrs(all []attribute.KeyValue) map[string]string {
	m := make(map[string]string)
	for _, kv := range all {
		m[string(kv.Key)] = kv.Value.String()
	}
	return m
}

// hasAttrs fails the test unless the attributes are exactly those.
func hasAttrs(t testing.TB, what string, got []attribute.KeyValue, want ...string) {
	t.Helper()
	m := attrs(got)
	if len(m) != len(got) || len(m) != len(want)/2 {
		t.Errorf("%s: got %v, and want %q", what, m, want)
		return
	}
	for pair := range slices.Chunk(want, 2) {
		if m[pair[0]] != pair[1] {
			t.Errorf("%s: %s is %q, not %q", what, pair[0], m[pair[0]], pair[1])
		}
	}
}

// duration fails the test unless n calls were recorded, all alike.
func (s *side) duration(t testing.TB, name string, n uint64, want ...string) {
	t.Helper()
	points := s.points(t, name)
	if len(points) != 1 || points[0].Count != n {
		t.Errorf("%s: got %+v, and want %d calls", name, points, n)
		return
	}
	p := points[0]
	if !slices.Equal(p.Bounds, []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}) {
		t.Errorf("the boundaries are %v", p.Bounds)
	}
	if p.Sum <= 0 || p.Sum > 60 {
		t.Errorf("the calls took %v s", p.Sum)
	}
	hasAttrs(t, name, p.Attributes.ToSlice(), want...)
}

const (
	clientDuration = "rpc.client.call.duration"
	serverDuration = "rpc.server.call.duration"
)
