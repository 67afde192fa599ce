package chain_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// statsLog is a stats handler that keeps what it is told, and checks of each
// event what holds for all.
type statsLog struct {
	t       testing.TB
	client  bool
	encoded bool // payloads have lengths

	mu    sync.Mutex
	calls []*statsCall
}

// statsCall is what was told of one call.
type statsCall struct {
	method string
	events []string // "begin", "out 1", "in 2", "end"
	begin  *stats.Begin
	end    *stats.End
}

// statsTag is the key of a call in the context of a side.
type statsTag struct{ client bool }

func (l *statsLog) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := &statsCall{method: info.FullMethodName}
	l.calls = append(l.calls, c)
	return context.WithValue(ctx, statsTag{l.client}, c)
}

func (l *statsLog) HandleRPC(ctx context.Context, s stats.RPCStats) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, _ := ctx.Value(statsTag{l.client}).(*statsCall)
	if c == nil {
		l.t.Errorf("%T comes without the context of TagRPC", s)
		return
	}
	if s.IsClient() != l.client {
		l.t.Errorf("%T is of the other side", s)
	}
	switch s := s.(type) {
	case *stats.Begin:
		c.begin = s
		c.events = append(c.events, "begin")
	case *stats.OutPayload:
		c.events = append(c.events, l.payload("out", s.Payload, s.Data, s.Length, s.WireLength, s.SentTime))
	case *stats.InPayload:
		c.events = append(c.events, l.payload("in", s.Payload, s.Data, s.Length, s.WireLength, s.RecvTime))
	case *stats.End:
		c.end = s
		c.events = append(c.events, "end")
	default:
		l.t.Errorf("%T is no known event", s)
	}
}

// payload checks and describes a payload.
func (l *statsLog) payload(what string, payload any, data []byte, length, wireLength int, at time.Time) string {
	var want []byte
	if l.encoded {
		if err := codec.NewEncoderBytes(&want, rig.PlainMsgpack).Encode(payload); err != nil {
			l.t.Error(err)
		}
	}
	if !bytes.Equal(data, want) || length != len(want) || wireLength != len(want) || l.encoded && length == 0 {
		l.t.Errorf("%s %v: %x, %d, %d bytes; it is encoded as %x", what, payload, data, length, wireLength, want)
	}
	if at.IsZero() {
		l.t.Errorf("%s %v has no time", what, payload)
	}
	return fmt.Sprintf("%s %v", what, reflect.Indirect(reflect.ValueOf(payload)))
}

// only returns the one call there was.
func (l *statsLog) only(t *testing.T) *statsCall {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.calls) != 1 || l.calls[0].begin == nil || l.calls[0].end == nil {
		t.Fatalf("%d calls, not one with beginning and end", len(l.calls))
	}
	return l.calls[0]
}

// told has methods for each way that a call can go. They find the server's tag
// in their contexts.
type told struct{ started chan struct{} }

func (told) tagged(ctx context.Context) error {
	if c, _ := ctx.Value(statsTag{false}).(*statsCall); c == nil {
		return errors.New("the method's context is not that of TagRPC")
	}
	return nil
}

func (s told) Double(ctx context.Context, i int, r *int) error {
	*r = 2 * i
	return s.tagged(ctx)
}

func (s told) Fail(ctx context.Context, i int, r *int) error {
	*r = 2 * i
	return errors.Join(s.tagged(ctx), rig.ErrOwn)
}

func (s told) Block(ctx context.Context, _ int, _ *int) error {
	s.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (s told) Panic(context.Context, int, *int) error { panic("told to") }

func (s told) Doubles(ctx context.Context, in <-chan int, out chan<- int) error {
	defer close(out)
	for i := range in {
		out <- 2 * i
	}
	return s.tagged(ctx)
}

func (s told) Fails(ctx context.Context, in <-chan int, out chan<- int) error {
	out <- 2 * <-in
	return errors.Join(s.tagged(ctx), rig.ErrOwn)
}

func (s told) Blocks(ctx context.Context, in <-chan int, out chan<- int) error {
	out <- 2 * <-in
	s.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

// Shrugs is Blocks that says nothing of its context.
func (s told) Shrugs(ctx context.Context, in <-chan int, out chan<- int) error {
	_ = s.Blocks(ctx, in, out)
	return nil
}

func (s told) Panics(_ context.Context, in <-chan int, out chan<- int) error {
	out <- 2 * <-in
	panic("told to")
}

func (s told) Denied(context.Context, int, *int) error { return nil }

// statsSetup is a setup whose two sides are told of.
func statsSetup(t *testing.T, with func(testing.TB, rig.Options) rig.Setup, local bool) (s rig.Setup, svc told, client, server *statsLog) {
	t.Helper()
	client = &statsLog{t: t, client: true, encoded: !local}
	server = &statsLog{t: t, encoded: !local}
	s = with(t, rig.Options{
		Client: []rpc.ClientOption{rpc.WithClientStatsHandler(client)},
		Server: []rpc.ServerOption{
			rpc.WithServerStatsHandler(server),
			rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "Denied" }),
		},
	})
	svc = told{oneStart()}
	if err := s.Server.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return s, svc, client, server
}

func oneStart() chan struct{} { return make(chan struct{}, 1) }

// sorted puts what a stream sends before what it receives: both go on at once.
func (c *statsCall) sorted() []string {
	events := slices.Clone(c.events)
	if !c.begin.IsClientStream {
		return events
	}
	slices.SortStableFunc(events[1:len(events)-1], func(a, b string) int { return strings.Compare(b[:2], a[:2]) })
	return events
}

func TestStatsTellWhatHappens(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method    string
		streaming bool
		args      []int // of a stream: its arguments stay open unless it succeeds
		client    string
		server    string
		code      codes.Code
	}{
		{"Double", false, []int{1}, "begin, out 1, in 2, end", "begin, in 1, out 2, end", codes.OK},
		{"Fail", false, []int{1}, "begin, out 1, in 2, end", "begin, in 1, out 2, end", codes.NotFound},
		{"Missing", false, []int{1}, "begin, out 1, end", "begin, end", codes.Unimplemented},
		{"Denied", false, []int{1}, "begin, out 1, end", "begin, end", codes.PermissionDenied},
		{"Panic", false, []int{1}, "begin, out 1, end", "begin, in 1, end", codes.Internal},
		{"Block", false, []int{1}, "begin, out 1, end", "begin, in 1, end", codes.Canceled},
		{"Doubles", true, []int{1, 2, 3}, "begin, out 1, out 2, out 3, in 2, in 4, in 6, end", "begin, out 2, out 4, out 6, in 1, in 2, in 3, end", codes.OK},
		{"Doubles", true, nil, "begin, end", "begin, end", codes.OK},
		{"Fails", true, []int{1}, "begin, out 1, in 2, end", "begin, out 2, in 1, end", codes.NotFound},
		{"Missing", true, nil, "begin, end", "begin, end", codes.Unimplemented},
		{"Denied", true, nil, "begin, end", "begin, end", codes.PermissionDenied},
		{"Panics", true, []int{1}, "begin, out 1, in 2, end", "begin, out 2, in 1, end", codes.Internal},
		{"Blocks", true, []int{1}, "begin, out 1, in 2, end", "begin, out 2, in 1, end", codes.Canceled},
		{"Shrugs", true, []int{1}, "begin, out 1, in 2, end", "begin, out 2, in 1, end", codes.Canceled},
	} {
		for _, tr := range rig.Transports {
			local := tr.Name == "local"
			if local && (c.method == "Denied" || c.method == "Shrugs") {
				continue // local calls are not authorized, and a method that returns well has done well
			}
			t.Run(fmt.Sprintf("%s/%s/%v/%d", tr.Name, c.method, c.streaming, len(c.args)), func(t *testing.T) {
				t.Parallel()
				s, svc, client, server := statsSetup(t, tr.Setup, local)
				ctx, cancel := context.WithCancel(rig.Context(t))
				defer cancel()
				var err error
				if c.streaming {
					err = toldStream(ctx, cancel, s, svc, c.method, c.args, c.code)
				} else {
					if c.code == codes.Canceled {
						go func() {
							<-svc.started
							cancel()
						}()
					}
					err = s.Client.CallContext(ctx, s.Dest, "Svc", c.method, c.args[0], new(int))
				}
				if rpc.CodeOf(err) != c.code {
					t.Fatalf("the call ended with %v", err)
				}
				// Whatever is still to come has come afterwards.
				if err := s.Server.Shutdown(rig.Context(t)); err != nil {
					t.Fatal(err)
				}
				atClient, atServer := client.only(t), server.only(t)
				if atClient.end.Error != err {
					t.Errorf("the client's end is %v, not %v", atClient.end.Error, err)
				}
				if code := rpc.CodeOf(atServer.end.Error); code != c.code {
					t.Errorf("the server's end is %v", atServer.end.Error)
				}
				for want, at := range map[*string]*statsCall{&c.client: atClient, &c.server: atServer} {
					events := strings.Join(at.sorted(), ", ")
					if !local && c.method == "Block" { // the reply may be sent, though nobody listens
						events = strings.Replace(events, "in 1, out 0", "in 1", 1)
					}
					if events != *want {
						t.Errorf("%v of a client: %v, not %v", at.begin.Client, at.events, *want)
					}
					if at.method != "/Svc."+c.method {
						t.Errorf("the name is %q", at.method)
					}
					if b := at.begin; b.IsClientStream != c.streaming || b.IsServerStream != c.streaming {
						t.Errorf("the kind is told as %v, %v", b.IsClientStream, b.IsServerStream)
					}
					if b, e := at.begin, at.end; b.BeginTime.IsZero() || !e.BeginTime.Equal(b.BeginTime) || e.EndTime.Before(e.BeginTime) {
						t.Errorf("from %v (%v) to %v", b.BeginTime, e.BeginTime, e.EndTime)
					}
				}
			})
		}
	}
}

// toldStream makes a streaming call. Where it is to be cancelled, that is
// after the first reply.
func toldStream(ctx context.Context, cancel func(), s rig.Setup, svc told, method string, items []int, code codes.Code) error {
	args, replies := make(chan int, len(items)), make(chan int)
	for _, i := range items {
		args <- i
	}
	if code == codes.OK {
		close(args)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for range replies {
			if code == codes.Canceled {
				<-svc.started
				cancel()
			}
		}
	}()
	err := s.Client.Stream(ctx, s.Dest, "Svc", method, args, replies)
	<-read
	return err
}

func TestStatsOfSeveralCallsAtOnce(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s, _, client, server := statsSetup(t, tr.Setup, tr.Name == "local")
			done := make(chan *rpc.Call, 1)
			_ = s.Client.Go(s.Dest, "Svc", "Double", 1, new(int), done)
			if call := <-done; call.Error != nil {
				t.Fatal(call.Error)
			}
			ctxs := []context.Context{context.Background(), rig.Context(t), rig.Context(t)}
			errs := s.Client.MultiCall(ctxs, []peer.ID{s.Dest, s.Dest, s.Dest}, "Svc", "Double", 1, []any{new(int), new(int), new(int)})
			if err := errors.Join(errs...); err != nil {
				t.Fatal(err)
			}
			if err := s.Server.Shutdown(rig.Context(t)); err != nil {
				t.Fatal(err)
			}
			for side, want := range map[*statsLog]string{client: "begin, out 1, in 2, end", server: "begin, in 1, out 2, end"} {
				if len(side.calls) != 4 {
					t.Errorf("%d calls, not 4", len(side.calls))
				}
				for _, c := range side.calls {
					if got := strings.Join(c.events, ", "); got != want {
						t.Errorf("%s, not %s", got, want)
					}
				}
			}
		})
	}
}

func TestStatsOfAV06ClientsCalls(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	for _, method := range []string{"Double", "Doubles"} {
		log := &statsLog{t: t, encoded: true}
		s := rig.Serve(t, b, told{oneStart()}, rpc.WithServerStatsHandler(log))
		streaming := method == "Doubles"
		if r := rig.CallAsV06(t, a, b.ID(), method, streaming, 1); r.Error != "" {
			t.Fatal(r.Error)
		}
		if err := s.Shutdown(rig.Context(t)); err != nil {
			t.Fatal(err)
		}
		c := log.only(t)
		if got := strings.Join(c.events, ", "); got != "begin, in 1, out 2, end" || c.end.Error != nil {
			t.Errorf("%s: %s with %v", method, got, c.end.Error)
		}
		if c.begin.IsClientStream != streaming || c.begin.IsServerStream != streaming || c.method != "/Svc."+method {
			t.Errorf("%s is told as %q, streaming: %v", method, c.method, c.begin.IsClientStream)
		}
	}
}

// cancelling cancels the call as it is told of a payload, and waits whether
// the end comes before it has returned.
type cancelling struct {
	on     reflect.Type
	cancel context.CancelFunc
	ended  chan struct{}
	early  atomic.Bool
}

func (c *cancelling) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (c *cancelling) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, isEnd := s.(*stats.End); isEnd {
		close(c.ended)
	}
	if reflect.TypeOf(s) != c.on {
		return
	}
	c.cancel()
	select {
	case <-c.ended:
		c.early.Store(true)
	case <-time.After(100 * time.Millisecond): // nothing else says that it will not come
	}
}

func TestStatsTellNothingAfterTheEndOfACancelledStream(t *testing.T) {
	t.Parallel()
	for _, on := range []stats.RPCStats{new(stats.InPayload), new(stats.OutPayload)} {
		for _, tr := range rig.Transports {
			t.Run(fmt.Sprintf("%s/%T", tr.Name, on), func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(rig.Context(t))
				defer cancel()
				h := &cancelling{on: reflect.TypeOf(on), cancel: cancel, ended: make(chan struct{})}
				s := tr.With(t, told{oneStart()}, rig.Options{Client: []rpc.ClientOption{rpc.WithClientStatsHandler(h)}})
				args, replies := make(chan int, 1), make(chan int, 1)
				args <- 1
				if err := s.Client.Stream(ctx, s.Dest, "Svc", "Doubles", args, replies); !errors.Is(err, context.Canceled) {
					t.Fatalf("got %v", err)
				}
				if h.early.Load() {
					t.Errorf("the end was told while %T was", on)
				}
			})
		}
	}
}

func TestStatsTellOfTypedStreams(t *testing.T) {
	t.Parallel()
	doubles := rpc.NewDuplex[int, int]("Svc", "Doubles")
	for _, tr := range rig.Transports[:2] {
		for _, by := range []string{"typed", "receiver"} {
			t.Run(tr.Name+"/"+by, func(t *testing.T) {
				t.Parallel()
				server := &statsLog{t: t, encoded: !tr.Local}
				client := &statsLog{t: t, encoded: !tr.Local, client: true}
				s := tr.Setup(t, rig.Options{
					Server: []rpc.ServerOption{rpc.WithServerStatsHandler(server)}, Client: []rpc.ClientOption{rpc.WithClientStatsHandler(client)},
				})
				var err error
				if by == "receiver" {
					err = s.Server.RegisterName("Svc", told{oneStart()})
				} else {
					err = doubles.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
						for n, err := range in.All(ctx) {
							if err != nil {
								return err
							}
							_ = out.Send(ctx, 2*n)
						}
						return nil
					})
				}
				if err != nil {
					t.Fatal(err)
				}
				ctx := rig.Context(t)
				call := doubles.Open(ctx, s.Client, s.Dest)
				for i := range 3 {
					_ = call.Send(ctx, i+1)
				}
				_ = call.CloseSend()
				if all, err := rig.Received(ctx, t, call); err != nil || !slices.Equal(all, []int{2, 4, 6}) {
					t.Fatal(all, err)
				}
				if err := s.Server.Shutdown(ctx); err != nil {
					t.Fatal(err)
				}
				for want, at := range map[string]*statsCall{
					"begin, out 1, out 2, out 3, in 2, in 4, in 6, end": client.only(t),
					"begin, out 2, out 4, out 6, in 1, in 2, in 3, end": server.only(t),
				} {
					if got := strings.Join(at.sorted(), ", "); got != want {
						t.Errorf("%s, not %s", got, want)
					}
				}
			})
		}
	}
}
