package peers_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// muxLimits are those of a session whose other side the test plays.
var muxLimits = mux.Limits{Calls: 100, Message: 32 << 20}

// saySession makes b a server of sessions that replies so to everything.
func saySession(b host.Host, reply string) {
	playSession(b, func(in *mux.Incoming) {
		if _, _, err := in.Whole(context.Background(), false); err == nil {
			_ = in.Reply(nil, []byte(reply))
		}
	})
}

// playSession makes b a server of sessions that does so with each call.
func playSession(b host.Host, serve func(*mux.Incoming)) {
	b.SetStreamHandler(rig.Sessions, func(st network.Stream) {
		mux.NewServer(st, st.Scope(), muxLimits, mux.Handler{
			New:   func() *mux.Incoming { return new(mux.Incoming) },
			Serve: serve,
			Over:  func(*mux.Incoming) {},
			Ended: func(error) {},
		})
	})
}

// Not parallel: it measures the memory of the whole process.
func TestHostileRepliesOnASessionAreErrorsAndTakeLittle(t *testing.T) {
	a, b := rig.NewHosts(t)
	replies := map[string]string{"no header": "\x07", "two replies": "\xc0\x07\x07", "nil and more": "\xc0\xc0\xc0\xc0", "no reply": "\xc0"}
	for name, reply := range hostile {
		if name == "nils" {
			continue // an answer, and more than one
		}
		replies[name] = reply
		if rest, ok := strings.CutPrefix(reply, ok); ok {
			replies[name+", after a short header"] = "\xc0" + rest
		}
	}
	for name, reply := range replies {
		t.Run(name, func(t *testing.T) {
			saySession(b, reply)
			c := rig.Client(t, a)
			rig.Allocates(t, 64<<20, func() {
				var q rig.Quotient
				err := rig.Promptly(t, func(ctx context.Context) error {
					return c.CallContext(ctx, b.ID(), "Svc", "Divide", rig.Args{A: 7, B: 2}, &q)
				})
				if err == nil {
					t.Errorf("no error, and %+v", q)
				}
			})
			if rig.SessionsAt(a) == 0 {
				t.Error("the session has not survived, or there was none")
			}
			_ = c.Close()
			rig.Released(t, a)
		})
	}
}

// Requests that no client sends get one error each, and nothing runs.
func TestHostileRequestsOnASession(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	svc := new(rig.Counted)
	rig.Serve(t, b, svc)
	st := rig.Open(t, a, b, rig.Sessions)
	c := mux.NewClient(st, st.Scope(), muxLimits, func(error) {})
	call := func(request string) []rig.Answer {
		t.Helper()
		reply, err := c.Call(rig.Context(t), &mux.Request{Body: []byte(request), Owned: len(request), Code: func(error) uint64 { return 1 }})
		if err != nil {
			t.Fatalf("%.40q: %v", request, err)
		}
		defer reply.Release()
		return rig.Answers(t, reply.Bytes())
	}
	unary := string(rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Unary"), rig.Str("Kind"), "\x01"))
	for name, request := range map[string]string{
		"nothing":              "",
		"nil":                  "\xc0",
		"no msgpack":           "\xc1\xc1",
		"a number":             "\x07\x07",
		"half a header":        unary[:20],
		"a deep header":        strings.Repeat("\x91", 5),
		"a huge header":        string(rig.Cat("\x81", rig.Str("Name"), rig.Str(strings.Repeat("x", 20<<10)))),
		"a header of 1 MiB":    string(rig.Cat("\x81", rig.Str("Name"), rig.Str(strings.Repeat("x", 1<<20)))),
		"a streaming call":     string(rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Streaming"), rig.Str("Kind"), "\x02\x01")),
		"no kind":              string(rig.Header("Svc", "Unary")) + "\x01",
		"no argument":          unary,
		"half an argument":     unary + "\xda\x00\x10x",
		"an argument and more": unary + "\x01\x01",
		"a deep argument":      unary + strings.Repeat("\x91", 65),
		"an unknown method":    string(rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str("Nothing"), rig.Str("Kind"), "\x01\x01")),
	} {
		if all := call(request); len(all) != 1 || all[0].Error == "" || all[0].Value != nil {
			t.Errorf("%s: %+v", name, all)
		}
	}
	if n := svc.Calls.Load(); n != 0 {
		t.Errorf("%d calls ran", n)
	}
	if all := call(unary + "\x01"); len(all) != 1 || svc.Calls.Load() != 1 { // and the session lives
		t.Errorf("an honest call: %+v", all)
	}
	c.Close(mux.ErrIdle)
	rig.Released(t, a, b)
}

// Streams on which no session begins are gone in the header's time. A peer has
// few of them, and an honest one is served.
func TestSessionsThatAreNone(t *testing.T) {
	t.Parallel()
	a, b := rig.LimitedHost(t, rcmgr.PartialLimitConfig{}), rig.LimitedHost(t, rcmgr.PartialLimitConfig{})
	rig.Connect(t, a, b)
	rig.Serve(t, b, rig.Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: 4 * time.Second}))
	ends := make(chan error, 200)
	for range cap(ends) {
		st := rig.Open(t, a, b, rig.Sessions)
		_, _ = st.Write([]byte{5}) // the length of a frame, and no more
		go func() {
			_, err := io.Copy(io.Discard, st)
			ends <- err
		}()
	}
	honest := rig.NewHost(t)
	rig.Connect(t, honest, b)
	rig.MultipliesAlways(t, rig.Client(t, honest), b)
	refused := 0
	for range cap(ends) {
		var reset *network.StreamError
		if errors.As(rig.Take(t, "a stream is gone", ends), &reset) && reset.ErrorCode == network.StreamProtocolNegotiationFailed {
			refused++
		}
	}
	if refused < 100 {
		t.Errorf("%d sessions were refused", refused)
	}
	rig.Eventually(t, "only the honest one is left", func() bool { return rig.SessionsAt(b) == 1 })
}
