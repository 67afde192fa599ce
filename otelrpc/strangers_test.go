package otelrpc_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/otelrpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	spanID  = "b7ad6b7169203331"
)

// A stranger's trace is linked to, and does not decide what is recorded; a trusted
// peer's goes on.
func TestStrangers(t *testing.T) {
	t.Parallel()
	roots := map[string]sdktrace.Sampler{"all": sdktrace.AlwaysSample(), "none": sdktrace.NeverSample()}
	for root, sampler := range roots {
		for _, flags := range []string{"00", "01"} {
			for _, trusted := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, flags %s, trusted %v", root, flags, trusted), func(t *testing.T) {
					t.Parallel()
					rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
						server := newSide(t, sdktrace.WithSampler(sdktrace.ParentBased(sampler)))
						s := tr.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{server.server(otelrpc.WithTrust(func(peer.ID) bool { return trusted }))}})
						var n int
						ctx := rpc.AppendMetadata(rig.Context(t), "traceparent", "00-"+traceID+"-"+spanID+"-"+flags, "tracestate", "vendor=1")
						if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil {
							t.Fatal(err)
						}
						rig.Eventually(t, "the call is over", func() bool { return len(server.points(t, serverDuration)) == 1 })
						want := root == "all"
						if trusted {
							want = flags == "01"
						}
						if !want {
							server.ended(t, 0)
							return
						}
						span := server.one(t)
						if trusted {
							if span.Parent().SpanID().String() != spanID || span.SpanContext().TraceID().String() != traceID || len(span.Links()) > 0 ||
								span.SpanContext().TraceState().String() != "vendor=1" {
								t.Errorf("the parent is %v, with links %v", span.Parent(), span.Links())
							}
							return
						}
						if span.Parent().IsValid() || span.SpanContext().TraceID().String() == traceID || len(span.Links()) != 1 {
							t.Fatalf("the parent is %v, with links %v", span.Parent(), span.Links())
						}
						if l := span.Links()[0].SpanContext; l.TraceID().String() != traceID || l.SpanID().String() != spanID || l.IsSampled() || l.TraceState().Len() > 0 {
							t.Errorf("the link is to %+v", l)
						}
					})
				})
			}
		}
	}
}

// What is no trace context makes a root, without a link.
func TestNonsense(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{"", "00-x", "00-" + strings.Repeat("0", 32) + "-" + spanID + "-01", "ff-" + traceID + "-" + spanID + "-01", strings.Repeat("\xff", 1000)} {
		server := newSide(t)
		s := rig.Session.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{server.server()}})
		var n int
		ctx := rpc.AppendMetadata(rig.Context(t), "traceparent", sent)
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil {
			t.Fatal(err)
		}
		if span := server.one(t); span.Parent().IsValid() || len(span.Links()) > 0 {
			t.Errorf("%.20q: the parent is %v, with links %v", sent, span.Parent(), span.Links())
		}
	}
}

// Baggage goes along with the propagator that writes it, to those who trust the caller.
func TestBaggage(t *testing.T) {
	t.Parallel()
	both := otelrpc.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}))
	for _, trusted := range []bool{false, true} {
		client, server := newSide(t), newSide(t)
		seen := make(chan string, 1)
		s := rig.Session.With(t, rig.Arith{}, rig.Options{
			Client: []rpc.ClientOption{client.client(both)},
			Server: []rpc.ServerOption{server.server(both, otelrpc.WithTrust(func(peer.ID) bool { return trusted })), rpc.WithServerInterceptors(
				func(next rpc.Handler) rpc.Handler {
					return func(ctx context.Context, call *rpc.CallInfo) error {
						seen <- baggage.FromContext(ctx).Member("who").Value()
						return next(ctx, call)
					}
				})},
		})
		who, err := baggage.NewMember("who", "me")
		if err != nil {
			t.Fatal(err)
		}
		all, err := baggage.New(who)
		if err != nil {
			t.Fatal(err)
		}
		var n int
		if err := s.Client.CallContext(baggage.ContextWithBaggage(rig.Context(t), all), s.Dest, "Svc", "Multiply", rig.Args{}, &n); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; (got == "me") != trusted {
			t.Errorf("trusted %v: the method has %q", trusted, got)
		}
	}
}

// Calls that are denied are recorded, and names that a peer made up are one method.
func TestDeniedAndUnknownNames(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, denied := range []bool{false, true} {
			client, server := newSide(t), newSide(t)
			s := tr.With(t, rig.Arith{}, rig.Options{
				Client: []rpc.ClientOption{client.client()},
				Server: []rpc.ServerOption{server.server(), rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return !denied })},
			})
			names := []string{"Multiply", "None", "\xff", strings.Repeat("x", 200)}
			for _, name := range names {
				var n int
				_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", name, rig.Args{A: 2, B: 3}, &n)
			}
			rig.Eventually(t, "the spans have ended", func() bool { return len(server.spans.Ended()) == len(names) })
			for i, span := range server.spans.Ended() {
				got := attrs(span.Attributes())
				switch original := "Svc/" + strings.ToValidUTF8(names[i], "\uFFFD"); {
				case denied && got["rpc.status_code"] != "PermissionDenied" || !denied && i > 0 && got["rpc.status_code"] != "Unimplemented":
					t.Errorf("%q: got %v", names[i], got)
				case i == 0 && (span.Name() != "Svc/Multiply" || got["rpc.method"] != "Svc/Multiply" || got["rpc.method_original"] != ""):
					t.Errorf("a method that is there: %s, %v", span.Name(), got)
				case i > 0 && (span.Name() != "gorpc" || got["rpc.method"] != "_OTHER" || got["rpc.method_original"] != original):
					t.Errorf("a name that was made up: %s, %v", span.Name(), got)
				}
			}
			points := server.points(t, serverDuration)
			if len(points) != 2 {
				t.Fatalf("got %d series: %+v", len(points), points)
			}
			for _, p := range points {
				if got := attrs(p.Attributes.ToSlice()); got["rpc.method"] == "_OTHER" && p.Count != 3 || got["rpc.method_original"] != "" || got["libp2p.peer.id"] != "" {
					t.Errorf("%d calls of %v", p.Count, got)
				}
			}
		}
	})
}

// No two attributes differ only in a dot or an underscore, which exporters make one.
func TestAttributesStayApart(t *testing.T) {
	t.Parallel()
	client, server := newSide(t), newSide(t)
	s := rig.Session.With(t, rig.Arith{}, rig.Options{Client: []rpc.ClientOption{client.client()}, Server: []rpc.ServerOption{server.server()}})
	var n int
	for _, name := range []string{"Multiply", "None"} {
		_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", name, rig.Args{}, &n)
	}
	rig.Eventually(t, "the spans have ended", func() bool { return len(server.spans.Ended()) == 2 })
	for _, span := range append(client.spans.Ended(), server.spans.Ended()...) {
		seen := make(map[string]string)
		for key := range attrs(span.Attributes()) {
			plain := strings.NewReplacer(".", "_").Replace(key)
			if seen[plain] != "" {
				t.Errorf("%s and %s", key, seen[plain])
			}
			seen[plain] = key
		}
	}
}

// A peer with the plain protocol is called as before: its library knows no metadata.
func TestPlainPeers(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.PlainServer(t, b)
	client := newSide(t)
	var reply []byte
	if err := rig.Client(t, a, client.client()).CallContext(rig.Context(t), b.ID(), "Svc", "Any", make([]byte, 1<<17), &reply); err != nil {
		t.Fatal(err)
	}
	if got := attrs(client.one(t).Attributes()); got["rpc.status_code"] != "OK" {
		t.Errorf("got %v", got)
	}
}
