package rpc_test

import (
	"context"
	"errors"
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
)

// A header may be as long as a name and metadata may be, and what exceeds it
// is not read, whichever part of it is long.
func TestHugeHeaderIsRefusedUnreadAndNotEchoed(t *testing.T) {
	t.Parallel()
	const huge = 16 << 20
	long := "\xdb\x01\x00\x00\x00" + strings.Repeat("A", 1000)
	for mux, addr := range muxers {
		for name, start := range map[string]string{
			"service":       "\x82" + str("Name") + long,
			"method":        "\x82" + str("Name") + str("Svc") + str("Method") + long,
			"key":           "\x83" + long,
			"unknown field": "\x83" + str("Zzz") + long,
			"metadata":      "\x83" + str("Metadata") + "\x81" + str("k") + long,
			"many keys":     "\xdf\x01\x00\x00\x00" + strings.Repeat(str("AAAA")+"\x00", 100),
		} {
			t.Run(mux+"/"+name, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				svc := new(counted)
				serve(t, b, svc)
				st := open(t, a, b, testProtocol)
				write(t, st, []byte(start))
				sent := make(chan int, 1)
				go func() { sent <- flood(st, huge) }()
				got := refusal(t, st)
				if n := <-sent; n > huge/8 {
					t.Errorf("%d bytes of the header were taken", n)
				}
				if got.ErrType != rpc.ServerErr || strings.Contains(got.Error, "AAAA") || len(got.Error) > 500 {
					t.Errorf("the answer is %q", got.Error)
				}
				if got.Service != (rpc.ServiceID{}) {
					t.Errorf("the answer repeats a name: %v", got.Service)
				}
				if svc.calls.Load() != 0 {
					t.Error("a method ran")
				}
			})
		}
	}
}

func TestNameOfAMethodMayBeAsLongAsTheLimitAndNoLonger(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	s := rpc.NewServer(b, testProtocol, quiet)
	t.Cleanup(func() { _ = s.Close() })
	for _, c := range []struct {
		length int
		echoed bool
	}{{rpc.MaxServiceIDLength, true}, {rpc.MaxServiceIDLength + 1, false}} {
		name := strings.Repeat("N", c.length-len(".Method"))
		st := open(t, a, b, testProtocol)
		write(t, st, cat(header(name, "Method"), "\x80"))
		got := refusal(t, st)
		if strings.Contains(got.Error, "NNN") != c.echoed || (got.Service.Name == name) != c.echoed {
			t.Errorf("%d bytes: %v %q", c.length, got.Service, got.Error)
		}
	}
}

func TestGarbageHeaderGetsOneErrorAndNothingRuns(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	svc := new(counted)
	asked := make(chan string, 100)
	serve(t, b, svc, rpc.WithAuthorizeFunc(func(_ peer.ID, svc, method string) bool {
		asked <- svc + "." + method
		return true
	}))
	valid := string(header("Svc", "Streaming")) + "\x01\x02"
	for name, garbage := range map[string]string{
		"no msgpack":           "\xc1",
		"nil":                  "\xc0",
		"true":                 "\xc3",
		"a number":             "\x2a",
		"a string":             str("Svc.Streaming"),
		"no names":             "\x80",
		"an array":             "\x92" + str("Svc") + str("Streaming"),
		"keys are numbers":     "\x82\x01" + str("Svc") + "\x02" + str("Streaming"),
		"keys are nil":         "\x82\xc0" + str("Svc") + "\xc0" + str("Streaming"),
		"keys are maps":        "\x81\x80\x80",
		"name is a number":     "\x82" + str("Name") + "\x07" + str("Method") + str("Streaming"),
		"method is an array":   "\x82" + str("Name") + str("Svc") + str("Method") + "\x91\x07",
		"method is no msgpack": "\x82" + str("Name") + str("Svc") + str("Method") + "\xc1",
		"kind is a string":     "\x83" + str("Name") + str("Svc") + str("Method") + str("Streaming") + str("Kind") + str("x"),
		"timeout is negative":  "\x83" + str("Name") + str("Svc") + str("Method") + str("Streaming") + str("Timeout") + "\xff",
		"metadata is a list":   "\x83" + str("Name") + str("Svc") + str("Method") + str("Streaming") + str("Metadata") + "\x90",
		"metadata of numbers":  "\x83" + str("Name") + str("Svc") + str("Method") + str("Streaming") + str("Metadata") + "\x81\x01\x01",
		"a declared gigabyte":  "\xdb\x40\x00\x00\x00",
		"array of 2^32":        "\xdd\xff\xff\xff\xff",
		"map of 2^32":          "\xdf\xff\xff\xff\xff",
		"an extension of 4 GB": "\xc9\xff\xff\xff\xff\x01",
		"HTTP":                 "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n",
		"TLS":                  "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
	} {
		st := open(t, a, b, testProtocol)
		write(t, st, []byte(garbage+valid))
		_ = st.CloseWrite()
		if got := refusal(t, st); got.ErrType != rpc.ServerErr || got.Service != (rpc.ServiceID{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	close(asked)
	for who := range asked {
		if who != "." { // a map without the names is a header that names nothing
			t.Errorf("it was asked whether %s is allowed", who)
		}
	}
	if svc.calls.Load() != 0 {
		t.Error("a method ran")
	}
	released(t, b)
}

func TestHeaderThatDoesNotEndIsGoneAfterItsTime(t *testing.T) {
	t.Parallel()
	for _, trickle := range []bool{false, true} {
		t.Run(fmt.Sprintf("trickle=%v", trickle), func(t *testing.T) {
			t.Parallel()
			a, b := newHosts(t)
			serve(t, b, Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: 300 * time.Millisecond}))
			st := open(t, a, b, testProtocol)
			write(t, st, header("Svc", "Multiply")[:10])
			over := make(chan struct{})
			var wg sync.WaitGroup
			if trickle { // a byte now and then buys no more time
				write(t, st, cat("\xda\x10\x00"))
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
			got := refusal(t, st)
			close(over)
			wg.Wait()
			if rpc.Code(got.Code) != rpc.CodeDeadlineExceeded || !strings.Contains(got.Error, "Limits.HeaderTimeout") {
				t.Errorf("got %+v", got)
			}
			_ = st.Reset()
			released(t, b)
		})
	}
}

// The streams of an attack are there throughout: no limit ends them. Nor do
// they take the places of authorized calls.
func TestSilentStreamsDoNotKeepOutAnHonestPeer(t *testing.T) {
	t.Parallel()
	const peers, each = 5, 60
	b := newHost(t)
	serve(t, b, Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: -1, Calls: 2}))
	var silent []network.Stream
	for range peers {
		a := newHost(t)
		connect(t, a, b)
		for range each {
			st := open(t, a, b, testProtocol)
			write(t, st, header("Svc", "Multiply")[:12])
			silent = append(silent, st)
		}
	}
	eventually(t, "the silent streams are with the server", func() bool { return streams(b) == peers*each })
	honest := newHost(t)
	connect(t, honest, b)
	c := newClient(t, honest)
	for range 50 {
		multiplies(t, c, b.ID())
	}
	if n := streams(b); n < peers*each {
		t.Errorf("only %d of the silent streams are left", n)
	}
	for _, st := range silent {
		_ = st.Reset()
	}
	released(t, b, honest)
}

func TestSilentStreamsOfManyPeersAreGoneAfterTheirTime(t *testing.T) {
	t.Parallel()
	b := newHost(t)
	serve(t, b, Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: time.Second}))
	for range 3 {
		a := newHost(t)
		connect(t, a, b)
		for range 40 {
			st := open(t, a, b, testProtocol)
			// Not read, and never closed.
			write(t, st, header("Svc", "Multiply")[:12])
		}
	}
	eventually(t, "the server has streams", func() bool { return streams(b) > 0 })
	released(t, b)
}

// cuts calls f for every way a request can be cut short, and every place.
func cuts(t *testing.T, request []byte, f func(what string, at int, reset bool)) {
	t.Helper()
	for n := range len(request) {
		for _, reset := range []bool{true, false} {
			f(fmt.Sprintf("cut at %d, reset %v", n, reset), n, reset)
		}
	}
}

func recording(t *testing.T, name string) transcript {
	t.Helper()
	for _, tr := range transcripts(t) {
		if tr.Name == name {
			return tr
		}
	}
	t.Fatalf("no recording %s", name)
	return transcript{}
}

func TestRequestCutAtEveryByteLeavesTheServerHealthy(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	serve(t, b, recorded{})
	c := newClient(t, a)
	const itemSize = 7
	for _, name := range []string{"multiply", "stream-3"} {
		tr := recording(t, name)
		request := tr.bytes(t, "client->server")
		cuts(t, request, func(what string, at int, reset bool) {
			st := open(t, a, b, testProtocol)
			write(t, st, request[:at])
			if reset {
				_ = st.Reset()
				return
			}
			_ = st.CloseWrite()
			got, err := io.ReadAll(st)
			if err != nil && !errors.Is(err, network.ErrReset) {
				t.Fatalf("%s: %s: %v", name, what, err)
			}
			if err != nil {
				return // the server has nothing to say
			}
			_ = st.Close()
			all := answers(t, got)
			whole := len(header("Svc", tr.Method))
			items := 0
			if name == "stream-3" {
				items = max(0, at-whole) / itemSize
			}
			failed := len(all) > 0 && all[len(all)-1].Error != ""
			ended := name == "stream-3" && at >= whole && (at-whole)%itemSize == 0
			if failed == ended || len(all) > items+1 {
				t.Errorf("%s: %s: %d items are there, the answer is %q", name, what, items, got)
			}
		})
	}
	multiplies(t, c, b.ID())
	released(t, a, b)
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
	a, b := newHosts(t)
	serve(t, b, newStreaming())
	for _, test := range []struct {
		method string
		p      protocol.ID
		ends   string
	}{
		{"Nothing", extended, "\xc1"},
		{"Three", extended, "\x02\xc1"},
		{"ThreeAndFail", extended, "\xc0"},
		{"Nothing", testProtocol, ""},
		{"Three", testProtocol, "\x02"},
	} {
		st := open(t, a, b, test.p)
		write(t, st, header("Svc", test.method))
		if test.p == extended {
			write(t, st, []byte{0xc1})
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
	a, b := newHosts(t)
	serve(t, b, new(counted))
	st := open(t, a, b, testProtocol)
	write(t, st, cat(header("Svc", "Streaming"), "\x01\xc1"))
	if e := refusal(t, st); e.Code != int(rpc.CodeInvalidArgument) || !strings.Contains(e.Error, "Svc.Streaming: argument 2 of the stream: msgpack: invalid byte 0xc1") {
		t.Errorf("%+v", e)
	}
}

// A method must be able to tell all its arguments from the first few of them:
// whoever takes what it got for complete stores half a file.
func TestStreamCutMidwayIsNotTakenForItsEnd(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	svc := &ending{make(chan struct{}, 3), make(chan int32, 1)}
	serve(t, b, svc)
	marked := cat("\x83", str("Name"), str("Svc"), str("Method"), str("Take"), str("Kind"), "\x02\x01\x02\x03")
	for range 20 { // it is a race
		for _, c := range []struct {
			what    string
			request []byte
			p       protocol.ID
			reset   bool
		}{
			{"closed without the mark", marked, extended, false},
			{"reset", marked, extended, true},
			{"closed within an argument", cat(header("Svc", "Take"), "\x01\x02\x03\xcd\x01"), testProtocol, false},
		} {
			st := open(t, a, b, c.p)
			write(t, st, c.request)
			for range 3 {
				take(t, "the method takes an argument", svc.took)
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
	a, b := newHosts(t)
	began, ended := make(chan struct{}, 10), make(chan error, 1)
	serve(t, b, obedient{}, rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			began <- struct{}{}
			err := next(ctx, call)
			ended <- err
			return err
		}
	}))
	timed := cat("\x83", str("Name"), str("Svc"), str("Method"), str("Streaming"), str("Timeout"), "\xce\x01\x00\x00\x00")
	for _, c := range []struct {
		request []byte
		close   bool
		code    rpc.Code
		says    string
	}{
		{cat(timed, "\x01"), false, rpc.CodeDeadlineExceeded, "context deadline exceeded"},
		{cat(timed, "\x01"), true, rpc.CodeDeadlineExceeded, "context deadline exceeded"},
		{cat(header("Svc", "Streaming"), "\x01\xc1"), false, rpc.CodeInvalidArgument, "argument 2 of the stream: msgpack: invalid byte 0xc1"},
		{cat(header("Svc", "Streaming"), "\x01\xcd\x01"), true, rpc.CodeInvalidArgument, "argument 2 of the stream ends too early"},
	} {
		st := open(t, a, b, testProtocol)
		write(t, st, c.request)
		if c.close {
			_ = st.CloseWrite()
		}
		if e := refusal(t, st); e.Code != int(c.code) || e.ErrType != rpc.ServerErr || !strings.HasPrefix(e.Error, "rpc: Svc.Streaming: "+c.says) {
			t.Errorf("%q: %+v", c.request, e)
		}
		take(t, "the method begins", began)
		checkErr(t, take(t, "the call ends", ended), rpc.ServerErr, c.code, c.says)
	}
	// Nobody listens but the server's interceptors.
	st := open(t, a, b, testProtocol)
	write(t, st, cat(header("Svc", "Streaming"), "\x01"))
	take(t, "the call begins", began)
	_ = st.Reset()
	checkErr(t, take(t, "the call ends", ended), rpc.ServerErr, rpc.CodeCanceled, "Svc.Streaming", "the arguments broke off")
}
