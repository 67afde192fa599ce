// Package otelrpc makes spans and metrics of the calls of go-libp2p-gorpc's clients and
// servers, with the OpenTelemetry API and by its semantic conventions for RPC:
//
//	server := rpc.NewServer(h, "/store/1.0", otelrpc.Server("/store/1.0"))
//	client := rpc.NewClient(h, "/store/1.0", otelrpc.Client("/store/1.0"))
//
// Without a provider, the package's options' or the program's own ([otel.SetTracerProvider],
// [otel.SetMeterProvider]), nothing is recorded. docs/observing.md lists what is.
package otelrpc

import (
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// ScopeName is the name of the instrumentation scope of all spans and metrics.
const ScopeName = "github.com/libp2p/go-libp2p-gorpc/otelrpc"

// Option configures [Client] and [Server].
type Option func(*config)

type config struct {
	tracers    trace.TracerProvider
	meters     metric.MeterProvider
	propagator propagation.TextMapPropagator
	trusts     func(peer.ID) bool
	local      bool
}

func newConfig(opts []Option) *config {
	c := &config{propagator: propagation.TraceContext{}, trusts: func(peer.ID) bool { return false }}
	for _, opt := range opts {
		opt(c)
	}
	if c.tracers == nil {
		c.tracers = otel.GetTracerProvider()
	}
	if c.meters == nil {
		c.meters = otel.GetMeterProvider()
	}
	return c
}

// WithTracerProvider makes spans come from p. Default: the program's.
func WithTracerProvider(p trace.TracerProvider) Option { return func(c *config) { c.tracers = p } }

// WithMeterProvider makes metrics come from p. Default: the program's.
func WithMeterProvider(p metric.MeterProvider) Option { return func(c *config) { c.meters = p } }

// WithPropagator makes p write a call's trace context into its metadata, and read it.
// Default: [propagation.TraceContext], that of the W3C.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *config) { c.propagator = p }
}

// WithTrust makes a server believe the trace context of the peers that trusted is true
// for: a call's span is a child of the caller's, sampled if that is, and the method's
// context has what else the propagator reads. trusted is called by several goroutines
// at once. By default no peer is trusted: a call's span is the root of a trace of the
// server's own, which the server's sampler decides on, and has a link to the caller's.
func WithTrust(trusted func(caller peer.ID) bool) Option {
	return func(c *config) { c.trusts = trusted }
}

// WithLocalCalls makes spans and metrics of local calls, too. They then take the way of
// calls that somebody looks at, which is slower. Default false.
func WithLocalCalls(on bool) Option { return func(c *config) { c.local = on } }

// Client returns an option that instruments a client of protocol p: each call has a
// span, one that [rpc.CallRetry] may repeat has one for each attempt below it, and the
// duration of the call, attempts and all, is in the histogram rpc.client.call.duration.
// The call's trace context goes along in its metadata.
func Client(p protocol.ID, opts ...Option) rpc.ClientOption {
	i := newInstrument(clientDuration, p, newConfig(opts))
	return func(c *rpc.Client) {
		rpc.WithCallInterceptors(i.call)(c)
		rpc.WithClientInterceptors(i.attempt)(c)
	}
}

// Server returns an option that instruments a server of protocol p: each call that
// names a method has a span, and its duration is in the histogram
// rpc.server.call.duration, whether it is allowed, found and served or not. Calls that
// are turned away before, because their peer has too many under way, or in a shutdown,
// are not seen: the server's state counts them.
func Server(p protocol.ID, opts ...Option) rpc.ServerOption {
	return rpc.WithServerStatsHandler(&served{newInstrument(serverDuration, p, newConfig(opts))})
}
