package chain_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// infoLog is a stats handler that notes, for each call, what it finds of it in the
// contexts of TagRPC and HandleRPC.
type infoLog struct {
	t     *testing.T
	mu    sync.Mutex
	calls []string
}

type infoTag struct{ l *infoLog }

func words(call *rpc.CallInfo) string {
	return fmt.Sprintf("%v of %v, %v, client %v, local %v, attempt %d", call.ID(), call.Peer, call.Kind, call.Client, call.Local, call.Attempt)
}

func (l *infoLog) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	call, ok := rpc.CallInfoFromContext(ctx)
	if !ok || info.FullMethodName != "/"+call.Service+"."+call.Method {
		l.t.Errorf("TagRPC of %s finds %v", info.FullMethodName, call)
		return ctx
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, words(call))
	return context.WithValue(ctx, infoTag{l}, call)
}

func (l *infoLog) HandleRPC(ctx context.Context, s stats.RPCStats) {
	call, ok := rpc.CallInfoFromContext(ctx)
	if !ok || call != ctx.Value(infoTag{l}) || call.Client != s.IsClient() {
		l.t.Errorf("%T finds %v, and TagRPC had %v", s, call, ctx.Value(infoTag{l}))
	}
}

func (l *infoLog) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	calls := l.calls
	l.calls = nil
	return calls
}

func TestStatsHandlersFindTheirCall(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		client, server := &infoLog{t: t}, &infoLog{t: t}
		s := with(noted{new(journal)}, rig.Options{
			Client: []rpc.ClientOption{rpc.WithClientStatsHandler(client)},
			Server: []rpc.ServerOption{rpc.WithServerStatsHandler(server)},
		})
		local := s.Dest == s.Sender
		doubling(t, s, func(t *testing.T, kind rpc.Kind, replies []int, err error) {
			doubled(t, replies, err)
			method := map[rpc.Kind]string{rpc.Unary: "Double", rpc.Streaming: "Doubles"}[kind]
			want := fmt.Sprintf("Svc.%s of %v, %v, client true, local %v, attempt 0", method, s.Dest, kind, local)
			if got := client.take(); !slices.Equal(got, []string{want}) {
				t.Errorf("the client's finds %q, not %q", got, want)
			}
			want = fmt.Sprintf("Svc.%s of %v, %v, client false, local %v, attempt 0", method, s.Sender, kind, local)
			if got := server.take(); !slices.Equal(got, []string{want}) {
				t.Errorf("the server's finds %q, not %q", got, want)
			}
		})
	})
}

func TestStatsHandlersFindTheAttempt(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		client := &infoLog{t: t}
		s := with(new(flaky), rig.Options{Client: []rpc.ClientOption{
			rpc.WithClientStatsHandler(client), rpc.WithCallOptions(rig.Quickly(3), rpc.CallIdempotent(true)),
		}})
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Try", 100, new(int)); err != nil {
			t.Fatal(err)
		}
		var want []string
		for i := range 3 {
			want = append(want, fmt.Sprintf("Svc.Try of %v, unary, client true, local %v, attempt %d", s.Dest, s.Dest == s.Sender, i))
		}
		if got := client.take(); !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

// inMethods has methods that reply what they find of their call.
type inMethods struct{}

func (inMethods) Find(ctx context.Context, _ int, r *string) error {
	call, ok := rpc.CallInfoFromContext(ctx)
	if ok {
		*r = words(call)
	}
	return nil
}

func (m inMethods) FindAll(ctx context.Context, in <-chan int, out chan<- string) error {
	var r string
	for i := range in {
		_ = m.Find(ctx, i, &r)
		out <- r
	}
	return nil
}

// A method finds the call that it serves, and never the one of its caller's side.
func TestMethodsFindTheirCall(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		client := &infoLog{t: t}
		s := with(inMethods{}, rig.Options{Client: []rpc.ClientOption{rpc.WithClientStatsHandler(client)}})
		ctx := rig.Context(t)
		want := func(method string, kind rpc.Kind) string {
			return fmt.Sprintf("Svc.%s of %v, %v, client false, local %v, attempt 0", method, s.Sender, kind, s.Dest == s.Sender)
		}
		var got string
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "Find", 1, &got); err != nil || got != want("Find", rpc.Unary) {
			t.Errorf("got %q, %v", got, err)
		}
		got, err := rpc.NewMethod[int, string]("Svc", "Find").Call(ctx, s.Client, s.Dest, 1)
		if err != nil || got != want("Find", rpc.Unary) {
			t.Errorf("typed: got %q, %v", got, err)
		}
		args := make(chan int)
		rig.SendAll(ctx, args, 1)
		all, err := rig.Stream(ctx, t, s, "FindAll", args, "")
		if err != nil || !slices.Equal(all, []string{want("FindAll", rpc.Streaming)}) {
			t.Errorf("streaming: got %q, %v", all, err)
		}
	})
	if call, ok := rpc.CallInfoFromContext(context.Background()); ok || call != nil {
		t.Errorf("a background context has %v", call)
	}
}
