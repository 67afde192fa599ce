package main

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	protocolid "github.com/libp2p/go-libp2p/core/protocol"
	"go.opentelemetry.io/contrib/instrumentation/google.golang.org/grpc/otelgrpc"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
	"google.golang.org/grpc"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
	"github.com/libp2p/go-libp2p-gorpc/otelrpc"
)

const (
	instrumentedTCP   = "Instrumented calls over TCP"
	aboutInstrumented = "Calls of 64 B whose two sides OpenTelemetry instruments: without providers, and with an SDK that records every span " +
		"and metric and exports none. Ratios are of the first row's time."
)

// instrumentation is what both sides of a call are instrumented with.
type instrumentation struct {
	name    string // added to that of a system
	path    string // and to its protocol
	tracers trace.TracerProvider
	meters  metric.MeterProvider
	metrics *sdkmetric.ManualReader // of an SDK
	close   func()
}

// discard takes the spans that are over, and leaves them.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }

const (
	byNoop = ", no-op providers"
	bySDK  = ", SDK"
)

func instrumentations() []instrumentation {
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(discard{}))
	metrics := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(metrics))
	return []instrumentation{
		{byNoop, "/no-op", tracenoop.NewTracerProvider(), metricnoop.NewMeterProvider(), nil, func() {}},
		{bySDK, "/sdk", tracers, meters, metrics, func() {
			_ = tracers.Shutdown(context.Background())
			_ = meters.Shutdown(context.Background())
		}},
	}
}

// otelrpc and otelgrpc do the same: they propagate a trace context, which the server
// believes.
func (i instrumentation) otelrpc() []otelrpc.Option {
	return []otelrpc.Option{otelrpc.WithTracerProvider(i.tracers), otelrpc.WithMeterProvider(i.meters), otelrpc.WithTrust(func(peer.ID) bool { return true })}
}

func (i instrumentation) otelgrpc() []otelgrpc.Option {
	return []otelgrpc.Option{otelgrpc.WithTracerProvider(i.tracers), otelgrpc.WithMeterProvider(i.meters), otelgrpc.WithPropagators(propagation.TraceContext{})}
}

func (i instrumentation) serve(h host.Host) (func(), error) {
	server := rpc.NewServer(h, i.at(protocol), rpc.WithServerLimits(raised), otelrpc.Server(i.at(protocol), i.otelrpc()...))
	stop, err := serveGRPCAs(h, i.at(grpcProtocol), &grpcService, grpc.ForceServerCodecV2(grpcCodec{}), grpc.StatsHandler(otelgrpc.NewServerHandler(i.otelgrpc()...)))
	return func() {
		_ = server.Close()
		if stop != nil {
			stop()
		}
	}, errors.Join(err, server.Register(Echo{}))
}

// at is where a system is that is served so.
func (i instrumentation) at(p protocolid.ID) protocolid.ID { return p + protocolid.ID(i.path) }

func (i instrumentation) session(_ context.Context, from host.Host, to peer.ID) (system, error) {
	client := rpc.NewClient(from, i.at(protocol), rpc.WithClientLimits(raised), otelrpc.Client(i.at(protocol), i.otelrpc()...))
	return ourSystem(nameSession+i.name, client, to), nil
}

func (i instrumentation) grpc(_ context.Context, from host.Host, to peer.ID) (system, error) {
	conn, err := dialGRPCAs(from, to, i.at(grpcProtocol), grpcBare, grpc.WithStatsHandler(otelgrpc.NewClientHandler(i.otelgrpc()...)))
	if err != nil {
		return system{}, err
	}
	return grpcSystem(nameGRPC+i.name, conn), nil
}

// instrumented compares calls with and without instrumentation, on one connection.
func instrumented(ctx context.Context, callers int) ([]cell, func(), error) {
	with := instrumentations()
	session, theirs := []openSystem{newSession}, []openSystem{newGRPC}
	var more []serve
	for _, i := range with {
		session, theirs, more = append(session, i.session), append(theirs, i.grpc), append(more, i.serve)
	}
	cells, done, err := unary(ctx, together(rig.OverTCP, more...), []int{1, callers}, []int{64}, [][]openSystem{session, theirs})
	closeAll := func() {
		if done != nil {
			done()
		}
		for _, i := range with {
			i.close()
		}
	}
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return cells, closeAll, nil
}

// instrumentedTargets ask for what otelgrpc does.
func (b *bench) instrumentedTargets(t *targets) {
	for _, c := range b.cells[instrumentedTCP] {
		added := func(system, by string) result {
			bare, _ := c.of(system)
			with, _ := c.of(system + by)
			return result{ns: with.ns - bare.ns, allocs: with.allocs - bare.allocs}
		}
		for _, by := range []string{byNoop, bySDK} {
			ours, theirs := added(nameSession, by), added(nameGRPC, by)
			t.add("otelrpc"+by+", "+c.name, "adds at most what otelgrpc adds",
				fmt.Sprintf("%s and %s against %s and %s", timeText(ours.ns), allocations(ours.allocs), timeText(theirs.ns), allocations(theirs.allocs)),
				ours.ns <= theirs.ns && math.Round(ours.allocs) <= math.Round(theirs.allocs))
		}
	}
}
