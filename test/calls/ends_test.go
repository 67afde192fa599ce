package calls_test

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// wellEnded returns nil for a stream's good end.
func wellEnded(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// breaks has methods that do something, and then panic or end their goroutines.
type breaks struct {
	first func(ctx context.Context)
	how   string
}

func breakOff(how string) {
	switch how {
	case "panics":
		panic("on purpose")
	case "exits":
		runtime.Goexit()
	}
}

func (b breaks) One(ctx context.Context, n int, r *int) error {
	b.first(ctx)
	breakOff(b.how)
	*r = n
	return nil
}

func (b breaks) Many(ctx context.Context, _ <-chan int, out chan<- int) error {
	b.first(ctx)
	breakOff(b.how)
	out <- 1
	return nil
}

// endings counts beginnings, and notes with which codes calls end. It panics when
// it is told of an event of the name panics, or when it tags a call.
type endings struct {
	panics string

	mu     sync.Mutex
	begun  int
	ended  []codes.Code
	change chan struct{}
}

func newEndings(panics string) *endings {
	return &endings{panics: panics, change: make(chan struct{}, 100)}
}

func (e *endings) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	e.fail("TagRPC")
	return ctx
}

func (e *endings) fail(event string) {
	if e.panics == event {
		panic("a handler's")
	}
}

func (e *endings) HandleRPC(_ context.Context, event stats.RPCStats) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch event := event.(type) {
	case *stats.Begin:
		e.begun++
	case *stats.End:
		e.ended = append(e.ended, rpc.CodeOf(event.Error))
		e.change <- struct{}{}
	}
	e.fail(fmt.Sprintf("%T", event))
}

// check waits for the end of n calls, and expects them to have that code.
func (e *endings) check(t *testing.T, where string, n int, code codes.Code) {
	t.Helper()
	for range n {
		rig.Take(t, "an end at the "+where, e.change)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := slices.Repeat([]codes.Code{code}, n); e.begun != n || !slices.Equal(e.ended, want) {
		t.Errorf("%d beginnings at the %s, and the ends %v, not %v", e.begun, where, e.ended, want)
	}
}

// intercepts returns an interceptor that breaks off before, or after, the call.
func intercepts(how string, after bool) rpc.Interceptor {
	return func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			if after {
				_ = next(ctx, call)
			}
			breakOff(how)
			return nil
		}
	}
}

func TestEveryBeginHasItsEnd(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]struct {
		method         string
		server, client rpc.Interceptor
		serves         bool // whether the server has seen the call
		exits          bool // in a goroutine that may be the caller's
	}{
		"the method panics":                      {method: "panics", serves: true},
		"the method exits":                       {method: "exits", serves: true, exits: true},
		"a server's interceptor panics, before":  {server: intercepts("panics", false), serves: true},
		"a server's interceptor panics, after":   {server: intercepts("panics", true), serves: true},
		"a server's interceptor exits":           {server: intercepts("exits", true), serves: true, exits: true},
		"a client's interceptor panics, before":  {client: intercepts("panics", false)},
		"a client's interceptor exits":           {client: intercepts("exits", false), exits: true},
		"a client's interceptor panics, at last": {method: "panics", client: intercepts("panics", true), serves: true},
	} {
		for kind, call := range callsOfAll {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
					forEachContext(t, func(t *testing.T, ctx context.Context) {
						client, server := newEndings(""), newEndings("")
						o := rig.Options{
							Server: []rpc.ServerOption{rpc.WithServerStatsHandler(server)},
							Client: []rpc.ClientOption{rpc.WithClientStatsHandler(client)},
						}
						if b.server != nil {
							o.Server = append(o.Server, rpc.WithServerInterceptors(b.server))
						}
						if b.client != nil {
							o.Client = append(o.Client, rpc.WithClientInterceptors(b.client))
						}
						s := with(breaks{func(context.Context) {}, b.method}, o)
						result := make(chan error, 1)
						go func() {
							defer close(result)
							result <- call(ctx, s)
						}()
						err, returned := takeEither(t, result)
						switch {
						case returned && (rpc.CodeOf(err) != codes.Internal || !rpc.IsRPCError(err)):
							t.Errorf("the call ended with %v", err)
						case !returned && (kind == "Go" || !b.exits):
							t.Error("the caller's goroutine was ended")
						}
						client.check(t, "client", 1, codes.Internal)
						if b.serves {
							server.check(t, "server", 1, codes.Internal)
						}
					})
				})
			})
		}
	}
}

// takeEither returns what a channel has, or that it is closed.
func takeEither(t *testing.T, ch <-chan error) (error, bool) {
	t.Helper()
	select {
	case err, ok := <-ch:
		return err, ok
	case <-rig.Context(t).Done():
		t.Fatal("the call does not end")
		return nil, false
	}
}

func TestPanicOfAStatsHandlerChangesNothing(t *testing.T) {
	t.Parallel()
	for _, event := range []string{"TagRPC", "*stats.Begin", "*stats.InPayload", "*stats.OutPayload", "*stats.End"} {
		for kind, call := range callsOfAll {
			t.Run(event+"/"+kind, func(t *testing.T) {
				t.Parallel()
				rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
					client, server, log := newEndings(event), newEndings(event), new(rig.SyncBuffer)
					s := with(breaks{first: func(context.Context) {}}, rig.Options{
						Server: []rpc.ServerOption{rpc.WithServerStatsHandler(server), log.Option()},
						Client: []rpc.ClientOption{rpc.WithClientStatsHandler(client)},
					})
					for _, ctx := range []context.Context{context.Background(), rig.Context(t)} {
						if err := call(ctx, s); err != nil {
							t.Errorf("the call ended with %v", err)
						}
					}
					client.check(t, "client", 2, codes.OK)
					server.check(t, "server", 2, codes.OK)
					if unary := kind != "stream by name" && kind != "typed stream"; (unary || !strings.HasSuffix(event, "Payload")) && !strings.Contains(log.String(), "a stats handler panicked") {
						t.Errorf("the log has only %q", log)
					}
				})
			})
		}
	}
}
