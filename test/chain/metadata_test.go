package chain_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// seenContext is what a method finds in its context.
type seenContext struct {
	Metadata rpc.Metadata
	Sender   string
	Deadline time.Time
	HasTime  bool
}

func whatIsSeen(ctx context.Context) (seen seenContext, err error) {
	p, err := rpc.GetRequestSender(ctx)
	seen.Metadata, seen.Sender = rpc.MetadataFromContext(ctx), string(p)
	seen.Deadline, seen.HasTime = ctx.Deadline()
	return seen, err
}

// seeing has methods that return what they see, and methods that return what
// those see when they call them with their own context.
type seeing struct {
	onward *rpc.Client
	dest   peer.ID
}

func (s *seeing) See(ctx context.Context, _ struct{}, seen *seenContext) (err error) {
	*seen, err = whatIsSeen(ctx)
	return err
}

func (s *seeing) SeeAll(ctx context.Context, in <-chan struct{}, out chan<- seenContext) error {
	defer close(out)
	for range in {
		seen, err := whatIsSeen(ctx)
		if err != nil {
			return err
		}
		out <- seen
	}
	return nil
}

func (s *seeing) Onward(ctx context.Context, pass bool, seen *seenContext) error {
	if pass {
		ctx = rpc.ContextWithMetadata(ctx, rpc.MetadataFromContext(ctx))
	}
	return s.onward.CallContext(ctx, s.dest, "Svc", "See", struct{}{}, seen)
}

// see returns what a unary and a streaming method see of ctx.
func see(t *testing.T, ctx context.Context, s rig.Setup, f func(*testing.T, seenContext)) {
	t.Helper()
	t.Run("unary", func(t *testing.T) {
		var seen seenContext
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "See", struct{}{}, &seen); err != nil {
			t.Fatal(err)
		}
		f(t, seen)
	})
	t.Run("streaming", func(t *testing.T) {
		args, replies := make(chan struct{}), make(chan seenContext)
		rig.SendAll(rig.Context(t), args, struct{}{}, struct{}{})
		got := rig.Collect(replies)
		err := s.Client.Stream(ctx, s.Dest, "Svc", "SeeAll", args, replies)
		all := got()
		if err != nil || len(all) != 2 {
			t.Fatalf("%d replies, %v", len(all), err)
		}
		for _, seen := range all {
			f(t, seen)
		}
	})
}

// metadataOverhead is what one pair with a key of one byte may count for
// beside its value: the key, and at most five bytes before each of the two.
const metadataOverhead = 11

func TestMetadataTravels(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, &seeing{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for name, md := range map[string]rpc.Metadata{
			"none": nil, "empty": {}, "one": {"trace": "1"},
			"odd":  {"": "empty key", "empty": "", "Trace": "a", "trace": "b", "bytes": "\x00\xff\xc1", "ключ": "значение"},
			"most": {"k": strings.Repeat("v", 8<<10-metadataOverhead)},
		} {
			t.Run(name, func(t *testing.T) {
				see(t, rpc.ContextWithMetadata(rig.Context(t), md), s, func(t *testing.T, seen seenContext) {
					if !maps.Equal(seen.Metadata, md) {
						t.Fatalf("%v arrives as %v", md, seen.Metadata)
					}
				})
			})
		}
	})
}

func TestLaterMetadataTakesThePlaceOfTheFirst(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, &seeing{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rpc.ContextWithMetadata(rig.Context(t), rpc.Metadata{"a": "1"})
		see(t, rpc.ContextWithMetadata(ctx, rpc.Metadata{"b": "2"}), s, func(t *testing.T, seen seenContext) {
			if !maps.Equal(seen.Metadata, rpc.Metadata{"b": "2"}) {
				t.Fatalf("got %v", seen.Metadata)
			}
		})
		see(t, rpc.ContextWithMetadata(ctx, nil), s, func(t *testing.T, seen seenContext) {
			if len(seen.Metadata) > 0 {
				t.Fatalf("got %v", seen.Metadata)
			}
		})
	})
}

func TestDeadlineTravels(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, &seeing{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		see(t, context.Background(), s, func(t *testing.T, seen seenContext) {
			if seen.HasTime {
				t.Errorf("a call without deadline has %v", seen.Deadline)
			}
		})
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		want, _ := ctx.Deadline()
		see(t, ctx, s, func(t *testing.T, seen seenContext) {
			// It travels as the time left, so the way there is added to it.
			if d := seen.Deadline.Sub(want); !seen.HasTime || d < -time.Second || d > time.Minute {
				t.Errorf("the deadline arrives %v late", d)
			}
		})
	})
}

func TestMetadataIsNotInheritedUnlessPassedOn(t *testing.T) {
	t.Parallel()
	md := rpc.Metadata{"trace": "1"}
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			svc := &seeing{}
			overOne := tr.With(t, svc, rig.Options{})
			for _, next := range rig.Transports {
				t.Run("and "+next.Name, func(t *testing.T) {
					second := next.Setup(t, rig.Options{})
					if err := second.Server.RegisterName("Svc", &seeing{}); err != nil {
						t.Fatal(err)
					}
					svc.onward, svc.dest = second.Client, second.Dest
					ctx := rpc.ContextWithMetadata(rig.Context(t), md)
					for _, pass := range []bool{false, true} {
						var seen seenContext
						if err := overOne.Client.CallContext(ctx, overOne.Dest, "Svc", "Onward", pass, &seen); err != nil {
							t.Fatal(err)
						}
						if pass != maps.Equal(seen.Metadata, md) || !pass && len(seen.Metadata) > 0 {
							t.Errorf("passed on: %v; the second method sees %v", pass, seen.Metadata)
						}
						if seen.Sender != string(second.Sender) {
							t.Errorf("the second method sees another sender")
						}
						if !seen.HasTime {
							t.Error("the deadline was not inherited")
						}
					}
				})
			}
		})
	}
}

func TestMetadataOverTheClientsLimitIsRefusedThere(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	served := make(chan struct{}, 10)
	rig.Serve(t, b, &seeing{}, rpc.WithServerStatsHandler(tagCounter(served)))
	for _, c := range []struct {
		name  string
		limit int
		size  int // of a value, beside its key and headers
		ok    bool
	}{
		{"default, below", 0, 8<<10 - metadataOverhead, true},
		{"default, over", 0, 8 << 10, false},
		{"smaller, over", 100, 100, false},
		{"smaller, below", 100, 100 - metadataOverhead, true},
		{"none allowed", -1, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client := rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{MetadataSize: c.limit}))
			ctx := rpc.ContextWithMetadata(rig.Context(t), rpc.Metadata{"k": strings.Repeat("v", c.size)})
			errs := []error{client.CallContext(ctx, b.ID(), "Svc", "See", struct{}{}, new(seenContext))}
			args, replies := make(chan struct{}), make(chan seenContext)
			close(args)
			errs = append(errs, client.Stream(ctx, b.ID(), "Svc", "SeeAll", args, replies))
			for _, err := range errs {
				if c.ok {
					if err != nil {
						t.Fatal(err)
					}
					rig.Take(t, "the method has run", served)
				} else if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "Limits.MetadataSize") {
					t.Errorf("got %v", err)
				}
			}
			if n := len(served); n > 0 {
				t.Errorf("%d calls reached the server", n)
			}
		})
	}
}

// tagCounter counts the calls that reach a server.
type tagCounter chan struct{}

func (c tagCounter) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	c <- struct{}{}
	return ctx
}

func (tagCounter) HandleRPC(context.Context, stats.RPCStats) {}

func TestMetadataOverTheServersLimitIsRefusedByIt(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	client := rig.Client(t, a)
	rig.Serve(t, b, &seeing{}, rpc.WithServerLimits(rpc.Limits{MetadataSize: 100}))
	for size, ok := range map[int]bool{100 - metadataOverhead: true, 100: false, 200: false, 4000: false, 8000: false} {
		ctx := rpc.ContextWithMetadata(rig.Context(t), rpc.Metadata{"k": strings.Repeat("v", size)})
		args, replies := make(chan struct{}), make(chan seenContext)
		close(args)
		for kind, err := range []error{
			client.CallContext(ctx, b.ID(), "Svc", "See", struct{}{}, new(seenContext)),
			client.Stream(ctx, b.ID(), "Svc", "SeeAll", args, replies),
		} {
			if ok && err != nil {
				t.Errorf("%d bytes, kind %d: %v", size, kind, err)
			}
			if !ok && (!rpc.IsServerError(err) || rpc.CodeOf(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "Limits.MetadataSize")) {
				t.Errorf("%d bytes, kind %d: got %v", size, kind, err)
			}
		}
	}
}

func TestRequestSender(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, &seeing{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		see(t, rig.Context(t), s, func(t *testing.T, seen seenContext) {
			if seen.Sender != string(s.Sender) {
				t.Fatalf("the sender is %q, not %q", seen.Sender, s.Sender)
			}
		})
	})
}

func TestRequestSenderOutsideAMethodIsAnError(t *testing.T) {
	t.Parallel()
	for name, ctx := range map[string]context.Context{
		"background":   context.Background(),
		"metadata":     rpc.ContextWithMetadata(context.Background(), rpc.Metadata{"k": "v"}),
		"another type": context.WithValue(context.Background(), rpc.ContextKeyRequestSender, "a string"),
	} {
		if p, err := rpc.GetRequestSender(ctx); err == nil || p != "" {
			t.Errorf("%s: the sender is %q", name, p)
		}
		if md := rpc.MetadataFromContext(ctx); md != nil {
			t.Errorf("%s: the metadata is %v", name, md)
		}
	}
	// A test of a method may say who calls.
	ctx := context.WithValue(context.Background(), rpc.ContextKeyRequestSender, peer.ID("me"))
	if p, err := rpc.GetRequestSender(ctx); err != nil || p != "me" {
		t.Errorf("the sender is %q, %v", p, err)
	}
}

// changing changes the metadata that it was given.
type changing struct{}

func (changing) Change(ctx context.Context, _ struct{}, left *[]string) error {
	md := rpc.MetadataFromContext(ctx)
	if len(md) == 0 {
		return errors.New("no metadata")
	}
	delete(md, "a")
	md["new"] = "x"
	*left = slices.Sorted(maps.Keys(rpc.MetadataFromContext(ctx)))
	return nil
}

func TestMetadataFromContextIsACopy(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, changing{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		md := rpc.Metadata{"a": "1", "b": "2"}
		var left []string
		if err := s.Client.CallContext(rpc.ContextWithMetadata(rig.Context(t), md), s.Dest, "Svc", "Change", struct{}{}, &left); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(left, []string{"a", "b"}) {
			t.Errorf("the second look at it finds %v", left)
		}
		if !maps.Equal(md, rpc.Metadata{"a": "1", "b": "2"}) {
			t.Errorf("the caller's was changed to %v", md)
		}
	})
}
