package peers_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// A header may be as long as a name and metadata may be, and what exceeds it
// is not read, whichever part of it is long.
func TestHugeHeaderIsRefusedUnreadAndNotEchoed(t *testing.T) {
	t.Parallel()
	const huge = 16 << 20
	long := "\xdb\x01\x00\x00\x00" + strings.Repeat("A", 1000)
	for mux, addr := range rig.Muxers {
		for name, start := range map[string]string{
			"service":       "\x82" + rig.Str("Name") + long,
			"method":        "\x82" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + long,
			"key":           "\x83" + long,
			"unknown field": "\x83" + rig.Str("Zzz") + long,
			"metadata":      "\x83" + rig.Str("Metadata") + "\x81" + rig.Str("k") + long,
			"many keys":     "\xdf\x01\x00\x00\x00" + strings.Repeat(rig.Str("AAAA")+"\x00", 100),
		} {
			t.Run(mux+"/"+name, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				svc := new(rig.Counted)
				rig.Serve(t, b, svc)
				st := rig.Open(t, a, b, rig.Protocol)
				rig.Write(t, st, []byte(start))
				sent := make(chan int, 1)
				go func() { sent <- rig.Flood(st, huge) }()
				got := rig.Refusal(t, st)
				if n := <-sent; n > huge/8 {
					t.Errorf("%d bytes of the header were taken", n)
				}
				if got.ErrType != rpc.ServerErr || strings.Contains(got.Error, "AAAA") || len(got.Error) > 500 {
					t.Errorf("the answer is %q", got.Error)
				}
				if got.Service != (rpc.ServiceID{}) {
					t.Errorf("the answer repeats a name: %v", got.Service)
				}
				if svc.Calls.Load() != 0 {
					t.Error("a method ran")
				}
			})
		}
	}
}

func TestNameOfAMethodMayBeAsLongAsTheLimitAndNoLonger(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.NewServer(t, b)
	for _, c := range []struct {
		length int
		echoed bool
	}{{rpc.MaxServiceIDLength, true}, {rpc.MaxServiceIDLength + 1, false}} {
		name := strings.Repeat("N", c.length-len(".Method"))
		st := rig.Open(t, a, b, rig.Protocol)
		rig.Write(t, st, rig.Cat(rig.Header(name, "Method"), "\x80"))
		got := rig.Refusal(t, st)
		if strings.Contains(got.Error, "NNN") != c.echoed || (got.Service.Name == name) != c.echoed {
			t.Errorf("%d bytes: %v %q", c.length, got.Service, got.Error)
		}
	}
}

func TestGarbageHeaderGetsOneErrorAndNothingRuns(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	svc := new(rig.Counted)
	asked := make(chan string, 100)
	rig.Serve(t, b, svc, rpc.WithAuthorizeFunc(func(_ peer.ID, svc, method string) bool {
		asked <- svc + "." + method
		return true
	}))
	valid := string(rig.Header("Svc", "Streaming")) + "\x01\x02"
	for name, garbage := range map[string]string{
		"no msgpack":           "\xc1",
		"nil":                  "\xc0",
		"true":                 "\xc3",
		"a number":             "\x2a",
		"a string":             rig.Str("Svc.Streaming"),
		"no names":             "\x80",
		"an array":             "\x92" + rig.Str("Svc") + rig.Str("Streaming"),
		"keys are numbers":     "\x82\x01" + rig.Str("Svc") + "\x02" + rig.Str("Streaming"),
		"keys are nil":         "\x82\xc0" + rig.Str("Svc") + "\xc0" + rig.Str("Streaming"),
		"keys are maps":        "\x81\x80\x80",
		"name is a number":     "\x82" + rig.Str("Name") + "\x07" + rig.Str("Method") + rig.Str("Streaming"),
		"method is an array":   "\x82" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + "\x91\x07",
		"method is no msgpack": "\x82" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + "\xc1",
		"kind is a string":     "\x83" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + rig.Str("Streaming") + rig.Str("Kind") + rig.Str("x"),
		"kind is negative":     "\x83" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + rig.Str("Streaming") + rig.Str("Kind") + "\xff",
		"timeout is negative":  "\x83" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + rig.Str("Streaming") + rig.Str("Timeout") + "\xff",
		"metadata is a list":   "\x83" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + rig.Str("Streaming") + rig.Str("Metadata") + "\x90",
		"metadata of numbers":  "\x83" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + rig.Str("Streaming") + rig.Str("Metadata") + "\x81\x01\x01",
		"a declared gigabyte":  "\xdb\x40\x00\x00\x00",
		"array of 2^32":        "\xdd\xff\xff\xff\xff",
		"map of 2^32":          "\xdf\xff\xff\xff\xff",
		"an extension of 4 GB": "\xc9\xff\xff\xff\xff\x01",
		"HTTP":                 "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
		"TLS":                  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		st := rig.Open(t, a, b, rig.Protocol)
		rig.Write(t, st, []byte(garbage+valid))
		_ = st.CloseWrite()
		if got := rig.Refusal(t, st); got.ErrType != rpc.ServerErr || got.Service != (rpc.ServiceID{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	close(asked)
	for who := range asked {
		if who != "." { // a map without the names is a header that names nothing
			t.Errorf("it was asked whether %s is allowed", who)
		}
	}
	if svc.Calls.Load() != 0 {
		t.Error("a method ran")
	}
	rig.Released(t, b)
}

func TestHeaderThatDoesNotEndIsGoneAfterItsTime(t *testing.T) {
	t.Parallel()
	for _, trickle := range []bool{false, true} {
		t.Run(fmt.Sprintf("trickle=%v", trickle), func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			rig.Serve(t, b, rig.Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: 300 * time.Millisecond}))
			st := rig.Open(t, a, b, rig.Protocol)
			rig.Write(t, st, rig.Header("Svc", "Multiply")[:10])
			over := make(chan struct{})
			var wg sync.WaitGroup
			if trickle { // a byte now and then buys no more time
				rig.Write(t, st, rig.Cat("\xda\x10\x00"))
				wg.Go(func() {
					tick := time.NewTicker(20 * time.Millisecond)
					defer tick.Stop()
					for {
						select {
						case <-over:
							return
						case <-tick.C:
							_, _ = st.Write([]byte("x"))
						}
					}
				})
			}
			got := rig.Refusal(t, st)
			close(over)
			wg.Wait()
			if codes.Code(got.Code) != codes.DeadlineExceeded || !strings.Contains(got.Error, "Limits.HeaderTimeout") {
				t.Errorf("got %+v", got)
			}
			_ = st.Reset()
			rig.Released(t, b)
		})
	}
}

// The streams of an attack are there throughout: no limit ends them. Nor do
// they take the places of authorized calls.
func TestSilentStreamsDoNotKeepOutAnHonestPeer(t *testing.T) {
	t.Parallel()
	const peers, each = 5, 60
	b := rig.NewHost(t)
	rig.Serve(t, b, rig.Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: -1, Calls: 2}))
	var silent []network.Stream
	for range peers {
		a := rig.NewHost(t)
		rig.Connect(t, a, b)
		for range each {
			st := rig.Open(t, a, b, rig.Protocol)
			rig.Write(t, st, rig.Header("Svc", "Multiply")[:12])
			silent = append(silent, st)
		}
	}
	rig.Eventually(t, "the silent streams are with the server", func() bool { return rig.Streams(b) == peers*each })
	honest := rig.NewHost(t)
	rig.Connect(t, honest, b)
	c := rig.Wire.Client(t, honest)
	for range 50 {
		rig.Multiplies(t, c, b.ID())
	}
	if n := rig.Streams(b); n < peers*each {
		t.Errorf("only %d of the silent streams are left", n)
	}
	for _, st := range silent {
		_ = st.Reset()
	}
	rig.Released(t, b, honest)
}

func TestSilentStreamsOfManyPeersAreGoneAfterTheirTime(t *testing.T) {
	t.Parallel()
	b := rig.NewHost(t)
	rig.Serve(t, b, rig.Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: time.Second}))
	for range 3 {
		a := rig.NewHost(t)
		rig.Connect(t, a, b)
		for range 40 {
			st := rig.Open(t, a, b, rig.Protocol)
			// Not read, and never closed.
			rig.Write(t, st, rig.Header("Svc", "Multiply")[:12])
		}
	}
	rig.Eventually(t, "the server has streams", func() bool { return rig.Streams(b) > 0 })
	rig.Released(t, b)
}

// ending counts those who see the arguments end while the caller seems to be
// there. They are many: what is there only for a moment is seen by some.
type ending struct {
	took chan struct{}
	seen chan int32
}

func (e *ending) Take(ctx context.Context, in <-chan int, _ chan<- int) error {
	var alive atomic.Int32
	var wg, started sync.WaitGroup
	const many = 2000
	started.Add(many)
	for range many {
		wg.Go(func() {
			started.Done()
			for range in {
				started.Wait()
				e.took <- struct{}{}
			}
			if ctx.Err() == nil {
				alive.Add(1)
			}
		})
	}
	wg.Wait()
	e.seen <- alive.Load()
	return nil
}

func TestServerMarksTheEndOfReplies(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, rig.NewStreaming())
	for _, test := range []struct {
		method string
		p      protocol.ID
		ends   string
	}{
		{"Nothing", rig.Extended, "\xc1"},
		{"Three", rig.Extended, "\x02\xc1"},
		{"ThreeAndFail", rig.Extended, "\xc0"},
		{"Nothing", rig.Protocol, ""},
		{"Three", rig.Protocol, "\x02"},
	} {
		st := rig.Open(t, a, b, test.p)
		rig.Write(t, st, rig.Header("Svc", test.method))
		if test.p == rig.Extended {
			rig.Write(t, st, []byte{0xc1})
		} else {
			_ = st.CloseWrite()
		}
		got, err := io.ReadAll(st)
		if !strings.HasSuffix(string(got), test.ends) || len(got) < len(test.ends) || test.method == "Nothing" && len(got) != len(test.ends) || err != nil {
			t.Errorf("%s, %s: %q, %v", test.p, test.method, got, err)
		}
	}
}

func TestGarbageAmongArgumentsIsToldAsSuch(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, new(rig.Counted))
	st := rig.Open(t, a, b, rig.Protocol)
	rig.Write(t, st, rig.Cat(rig.Header("Svc", "Streaming"), "\x01\xc1"))
	if e := rig.Refusal(t, st); e.Code != int(codes.InvalidArgument) || !strings.Contains(e.Error, "Svc.Streaming: argument 2 of the stream: msgpack: invalid byte 0xc1") {
		t.Errorf("%+v", e)
	}
}

// A method must be able to tell all its arguments from the first few of them:
// whoever takes what it got for complete stores half a file.
func TestStreamCutMidwayIsNotTakenForItsEnd(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	svc := &ending{make(chan struct{}, 3), make(chan int32, 1)}
	rig.Serve(t, b, svc)
	marked := rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Take"), rig.Str("Kind"), "\x02\x01\x02\x03")
	for range 20 { // it is a race
		for _, c := range []struct {
			what    string
			request []byte
			p       protocol.ID
			reset   bool
		}{
			{"closed without the mark", marked, rig.Extended, false},
			{"reset", marked, rig.Extended, true},
			{"closed within an argument", rig.Cat(rig.Header("Svc", "Take"), "\x01\x02\x03\xcd\x01"), rig.Protocol, false},
		} {
			st := rig.Open(t, a, b, c.p)
			rig.Write(t, st, c.request)
			for range 3 {
				rig.Take(t, "the method takes an argument", svc.took)
			}
			if c.reset {
				_ = st.Reset()
			} else {
				_ = st.CloseWrite()
			}
			if n := <-svc.seen; n > 0 {
				t.Fatalf("%s: the method's context is alive as its arguments end", c.what)
			}
			_ = st.Reset()
		}
	}
}

// obedient has a method that returns when its context has ended, as if all were
// well.
type obedient struct{}

func (obedient) Streaming(ctx context.Context, in <-chan any, _ chan<- any) error {
	for range in {
	}
	<-ctx.Done()
	return nil
}

// Whoever still listens is told why the replies have stopped.
func TestStoppedRepliesAreToldWithTheReason(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	began, ended := make(chan struct{}, 10), make(chan error, 1)
	rig.Serve(t, b, obedient{}, rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			began <- struct{}{}
			err := next(ctx, call)
			ended <- err
			return err
		}
	}))
	timed := rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Streaming"), rig.Str("Timeout"), "\xce\x01\x00\x00\x00")
	for _, c := range []struct {
		request []byte
		close   bool
		code    codes.Code
		says    string
	}{
		{rig.Cat(timed, "\x01"), false, codes.DeadlineExceeded, "context deadline exceeded"},
		{rig.Cat(timed, "\x01"), true, codes.DeadlineExceeded, "context deadline exceeded"},
		{rig.Cat(rig.Header("Svc", "Streaming"), "\x01\xc1"), false, codes.InvalidArgument, "argument 2 of the stream: msgpack: invalid byte 0xc1"},
		{rig.Cat(rig.Header("Svc", "Streaming"), "\x01\xcd\x01"), true, codes.InvalidArgument, "argument 2 of the stream ends too early"},
	} {
		st := rig.Open(t, a, b, rig.Protocol)
		rig.Write(t, st, c.request)
		if c.close {
			_ = st.CloseWrite()
		}
		if e := rig.Refusal(t, st); e.Code != int(c.code) || e.ErrType != rpc.ServerErr || !strings.HasPrefix(e.Error, "rpc: Svc.Streaming: "+c.says) {
			t.Errorf("%q: %+v", c.request, e)
		}
		rig.Take(t, "the method begins", began)
		rig.CheckErr(t, rig.Take(t, "the call ends", ended), rpc.ServerErr, c.code, c.says)
	}
	// Nobody listens but the server's interceptors.
	st := rig.Open(t, a, b, rig.Protocol)
	rig.Write(t, st, rig.Cat(rig.Header("Svc", "Streaming"), "\x01"))
	rig.Take(t, "the call begins", began)
	_ = st.Reset()
	rig.CheckErr(t, rig.Take(t, "the call ends", ended), rpc.ServerErr, codes.Canceled, "Svc.Streaming", "the arguments broke off")
}
