package otelrpc_test

import (
	"context"
	"runtime"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	otelcodes "go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/otelrpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func everybody(peer.ID) bool { return true }

// overAll runs f over every transport, with both sides instrumented.
func overAll(t *testing.T, svc any, o rig.Options, f func(t *testing.T, s rig.Setup, client, server *side)) {
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		client, server := newSide(t), newSide(t)
		own := rig.Options{
			Client: append([]rpc.ClientOption{client.client(otelrpc.WithLocalCalls(true))}, o.Client...),
			Server: append([]rpc.ServerOption{server.server(otelrpc.WithLocalCalls(true), otelrpc.WithTrust(everybody))}, o.Server...),
		}
		f(t, with(svc, own), client, server)
	})
}

// wayOf is what spans say of the way of a setup's calls.
func wayOf(s rig.Setup, peer peer.ID) []string {
	if s.Dest == s.Sender {
		return []string{"libp2p.peer.id", peer.String()}
	}
	return []string{"libp2p.peer.id", peer.String(), "libp2p.transport", "tcp", "libp2p.relayed", "false"}
}

// checkCall fails the test unless one call of a method was recorded on both sides.
func checkCall(t *testing.T, s rig.Setup, client, server *side, method string) {
	t.Helper()
	common := []string{"rpc.system.name", "gorpc", "rpc.method", "Svc/" + method, "server.address", string(rig.Protocol), "rpc.status_code", "OK"}
	c, v := client.one(t), server.one(t)
	if c.Name() != "Svc/"+method || v.Name() != "Svc/"+method || c.SpanKind() != trace.SpanKindClient || v.SpanKind() != trace.SpanKindServer {
		t.Errorf("the spans are %s (%v) and %s (%v)", c.Name(), c.SpanKind(), v.Name(), v.SpanKind())
	}
	if v.Parent().SpanID() != c.SpanContext().SpanID() || v.Parent().TraceID() != c.SpanContext().TraceID() || len(v.Links()) > 0 {
		t.Errorf("the server's span is a child of %v, with links %v, and not of %v", v.Parent(), v.Links(), c.SpanContext())
	}
	if v.Parent().IsRemote() == (s.Dest == s.Sender) {
		t.Error("the parent is remote where the call is local, or the other way")
	}
	hasAttrs(t, "the client's span", c.Attributes(), append(common, wayOf(s, s.Dest)...)...)
	hasAttrs(t, "the server's span", v.Attributes(), append(common, wayOf(s, s.Sender)...)...)
	if c.Status().Code != otelcodes.Unset || v.Status().Code != otelcodes.Unset {
		t.Errorf("the status is %v, and %v", c.Status(), v.Status())
	}
	client.duration(t, clientDuration, 1, common...)
	server.duration(t, serverDuration, 1, common...)
}

func TestUnaryCalls(t *testing.T) {
	t.Parallel()
	for what, call := range map[string]func(context.Context, rig.Setup) error{
		"by name": func(ctx context.Context, s rig.Setup) error {
			var n int
			return s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n)
		},
		"typed": func(ctx context.Context, s rig.Setup) error {
			_, err := rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, &rig.Args{A: 2, B: 3})
			return err
		},
		"in the background": func(ctx context.Context, s rig.Setup) error {
			var n int
			done := make(chan *rpc.Call, 1)
			if err := s.Client.GoContext(ctx, s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n, done); err != nil {
				return err
			}
			return (<-done).Error
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			overAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup, client, server *side) {
				if err := call(rig.Context(t), s); err != nil {
					t.Fatal(err)
				}
				checkCall(t, s, client, server, "Multiply")
			})
		})
	}
}

func TestStreams(t *testing.T) {
	t.Parallel()
	overAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup, client, server *side) {
		args := make(chan rig.Args, 2)
		args <- rig.Args{A: 7, B: 2}
		args <- rig.Args{A: 8, B: 2}
		close(args)
		got, err := rig.Stream(rig.Context(t), t, s, "Divides", args, rig.Quotient{})
		if err != nil || len(got) != 2 {
			t.Fatalf("got %v, %v", got, err)
		}
		checkCall(t, s, client, server, "Divides")
	})
}

// A method's context has the span of its call, and so the calls that it makes are
// children.
func TestTheMethodsContextHasTheSpan(t *testing.T) {
	t.Parallel()
	overAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup, client, server *side) {
		seen := make(chan trace.SpanContext, 1)
		m := rig.MustHandle(t, s.Server, rpc.NewMethod[int, int]("Own", "Look"), func(ctx context.Context, n int) (int, error) {
			seen <- trace.SpanContextFromContext(ctx)
			return n, nil
		})
		ctx, span := client.tracer.Start(rig.Context(t), "outer")
		if _, err := m.Call(ctx, s.Client, s.Dest, 1); err != nil {
			t.Fatal(err)
		}
		span.End()
		outer := client.ended(t, 2)
		if got := <-seen; !got.Equal(server.one(t).SpanContext()) || got.TraceID() != span.SpanContext().TraceID() {
			t.Errorf("the method has span %v", got)
		}
		if outer["Own/Look"].Parent().SpanID() != span.SpanContext().SpanID() {
			t.Error("the call is no child of the span that it was made in")
		}
	})
}

// Errors have their code on both sides; the server's span has failed only if the server
// has.
func TestErrors(t *testing.T) {
	t.Parallel()
	for code, failed := range map[codes.Code]bool{
		codes.NotFound: false, codes.InvalidArgument: false, codes.Internal: true, codes.DataLoss: true, codes.Unimplemented: true, 77: true,
	} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			overAll(t, rig.Failing{Errs: map[string]func(context.Context) error{
				"fail": rig.AlwaysErr(&rpc.Error{Code: code, Message: "so it \xff is"}),
			}}, rig.Options{}, func(t *testing.T, s rig.Setup, client, server *side) {
				var n int
				if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Unary", "fail", &n); rpc.CodeOf(err) != code {
					t.Fatal(err)
				}
				name := code.String()
				if code == 77 {
					name = "_OTHER"
				}
				want := []string{"rpc.system.name", "gorpc", "rpc.method", "Svc/Unary", "server.address", string(rig.Protocol), "rpc.status_code", name}
				ended := []string{"error.type", name}
				c, v := client.one(t), server.one(t)
				if st := c.Status(); st.Code != otelcodes.Error || st.Description != "so it \uFFFD is" {
					t.Errorf("the client's status is %+v", st)
				}
				hasAttrs(t, "the client's", client.points(t, clientDuration)[0].Attributes.ToSlice(), append(want, ended...)...)
				if failed {
					want = append(want, ended...)
				}
				if st := v.Status(); (st.Code == otelcodes.Error) != failed {
					t.Errorf("the server's status is %+v", st)
				}
				hasAttrs(t, "the server's", server.points(t, serverDuration)[0].Attributes.ToSlice(), want...)
				hasAttrs(t, "the server's span", v.Attributes(), append(want, wayOf(s, s.Sender)...)...)
			})
		})
	}
}

// A long text of a peer is cut.
func TestLongErrors(t *testing.T) {
	t.Parallel()
	overAll(t, rig.Failing{Errs: map[string]func(context.Context) error{
		"fail": rig.AlwaysErr(&rpc.Error{Code: codes.Internal, Message: strings.Repeat("é", 10<<10)}),
	}}, rig.Options{}, func(t *testing.T, s rig.Setup, client, server *side) {
		var n int
		_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Unary", "fail", &n)
		for _, side := range []*side{client, server} {
			if got := side.one(t).Status().Description; len(got) > 1100 || len(got) < 1000 {
				t.Errorf("%d bytes of text", len(got))
			}
		}
	})
}

// A call whose goroutine ends, or that panics, ends its span.
func TestCallsThatPanic(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]func(){"panic": func() { panic("in an interceptor") }, "exit": runtime.Goexit} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			inner := rpc.WithClientInterceptors(func(rpc.Handler) rpc.Handler {
				return func(context.Context, *rpc.CallInfo) error { end(); return nil }
			})
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				client := newSide(t)
				s := tr.With(t, rig.Arith{}, rig.Options{Client: []rpc.ClientOption{client.client(), inner}})
				done := make(chan *rpc.Call, 1)
				var n int
				if err := s.Client.Go(s.Dest, "Svc", "Multiply", rig.Args{}, &n, done); err != nil {
					t.Fatal(err)
				}
				if c := rig.Take(t, "the call ends", done); c.Error == nil {
					t.Error("no error")
				}
				if got := attrs(client.one(t).Attributes()); got["rpc.status_code"] != "Internal" {
					t.Errorf("got %v", got)
				}
			})
		})
	}
}

// Local calls are recorded only if asked for.
func TestLocalCallsAreLeftOut(t *testing.T) {
	t.Parallel()
	client, server := newSide(t), newSide(t)
	s := rig.Local.With(t, rig.Arith{}, rig.Options{Client: []rpc.ClientOption{client.client()}, Server: []rpc.ServerOption{server.server()}})
	_, err := rig.MultiplyMethod.Call(rig.Context(t), s.Client, s.Dest, &rig.Args{A: 2, B: 3}, rig.Quickly(2))
	if err != nil {
		t.Fatal(err)
	}
	client.ended(t, 0)
	server.ended(t, 0)
	if client.points(t, clientDuration) != nil || server.points(t, serverDuration) != nil {
		t.Error("a local call is recorded")
	}
}

// A local call that a method makes does not end the method's own span.
func TestLocalCallsOfAMethod(t *testing.T) {
	t.Parallel()
	server := newSide(t)
	s := rig.Session.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{server.server()}})
	own := rig.ClientWithServer(t, nil, s.Server)
	m := rig.MustHandle(t, s.Server, rpc.NewMethod[int, int]("Own", "Ask"), func(ctx context.Context, n int) (int, error) {
		if n, err := rig.MultiplyMethod.Call(ctx, own, "", &rig.Args{A: n, B: n}); err != nil {
			return n, err
		}
		if len(server.spans.Ended()) > 0 {
			t.Error("the call's span has ended")
		}
		return n, nil
	})
	if _, err := m.Call(rig.Context(t), s.Client, s.Dest, 2); err != nil {
		t.Fatal(err)
	}
	if span := server.one(t); span.Name() != "Own/Ask" {
		t.Errorf("got %s", span.Name())
	}
	if p := server.points(t, serverDuration); len(p) != 1 || p[0].Count != 1 {
		t.Errorf("got %+v", p)
	}
}

// A call that may be made again has a span for each attempt, and is one call.
func TestAttempts(t *testing.T) {
	t.Parallel()
	overAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup, client, server *side) {
		f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
		f.Times.Store(1)
		m := f.Method(t, s.Server, rig.Quickly(3), rpc.CallIdempotent(true))
		if n, err := m.Call(rig.Context(t), s.Client, s.Dest, 1); err != nil || n != 42 {
			t.Fatal(n, err)
		}
		rig.Eventually(t, "all spans have ended", func() bool { return len(client.spans.Ended()) == 3 && len(server.spans.Ended()) == 2 })
		mine, theirs := client.spans.Ended(), server.spans.Ended()
		call := mine[2]
		if call.Name() != "Svc/Try" || call.SpanKind() != trace.SpanKindClient || attrs(call.Attributes())["rpc.status_code"] != "OK" {
			t.Errorf("the call is %s: %v", call.Name(), call.Attributes())
		}
		for i, code := range []string{"Unavailable", "OK"} {
			a := mine[i]
			got := attrs(a.Attributes())
			if a.Name() != "Attempt.Svc/Try" || a.SpanKind() != trace.SpanKindInternal || a.Parent().SpanID() != call.SpanContext().SpanID() ||
				got["rpc.status_code"] != code || got["gorpc.attempt"] != string(rune('0'+i)) {
				t.Errorf("attempt %d is %s: %v", i, a.Name(), got)
			}
			if theirs[i].Parent().SpanID() != a.SpanContext().SpanID() {
				t.Errorf("what the server did in attempt %d is a child of %v", i, theirs[i].Parent())
			}
		}
		if p := client.points(t, clientDuration); len(p) != 1 || p[0].Count != 1 {
			t.Errorf("the client has %+v", p)
		}
	})
}

// A call through a relay says so, on its spans alone.
func TestRelayedCalls(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	client, server := newSide(t), newSide(t)
	rig.Serve(t, b, rig.Arith{}, server.server())
	var n int
	ctx := network.WithAllowLimitedConn(rig.Context(t), "test")
	if err := rig.Client(t, a, client.client()).CallContext(ctx, b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil {
		t.Fatal(err)
	}
	for _, span := range []sdktrace.ReadOnlySpan{client.one(t), server.one(t)} {
		if got := attrs(span.Attributes()); got["libp2p.relayed"] != "true" {
			t.Errorf("got %v", got)
		}
	}
}
