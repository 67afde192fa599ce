package main

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// ended are spans, as they end.
type ended chan sdktrace.ReadOnlySpan

func (e ended) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (e ended) OnEnd(s sdktrace.ReadOnlySpan)                   { e <- s }
func (e ended) Shutdown(context.Context) error                  { return nil }
func (e ended) ForceFlush(context.Context) error                { return nil }

// What does not record would be measured as cheap.
func TestBothSidesOfInstrumentedCallsAreRecorded(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	with := instrumentations()[1]
	defer with.close()
	const calls = 3
	spans := make(ended, 100)
	with.tracers.(*sdktrace.TracerProvider).RegisterSpanProcessor(spans)
	p, err := newPair(ctx, rig.OverTCP, with.serve)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	all, done, err := newSystems(ctx, p.a, p.b.ID(), []openSystem{with.session, with.grpc})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	for _, s := range all {
		for range calls {
			if err := s.echo(ctx, newMessage(64), func([]byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	type side struct {
		library string
		kind    trace.SpanKind
	}
	seen := make(map[side]int)
	for enough := 0; enough < 2*len(all); {
		select {
		case s := <-spans:
			of := side{s.InstrumentationScope().Name, s.SpanKind()}
			if seen[of]++; seen[of] == calls {
				enough++
			}
			if s.SpanKind() == trace.SpanKindServer && !s.Parent().IsRemote() {
				t.Errorf("%s: the span of a server has no parent", of.library)
			}
		case <-ctx.Done():
			t.Fatalf("spans %v of %d calls", seen, calls)
		}
	}
	var metrics metricdata.ResourceMetrics
	if err := with.metrics.Collect(ctx, &metrics); err != nil {
		t.Fatal(err)
	}
	recorded := 0
	for _, scope := range metrics.ScopeMetrics {
		for _, m := range scope.Metrics {
			if h, ok := m.Data.(metricdata.Histogram[float64]); ok && len(h.DataPoints) > 0 && h.DataPoints[0].Count > 0 {
				recorded++
			}
		}
	}
	if recorded < 2*len(all) {
		t.Errorf("%d histograms of durations: %+v", recorded, metrics.ScopeMetrics)
	}
}
