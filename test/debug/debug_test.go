package debug_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/debug"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func everybody(peer.ID) bool { return true }

func TestNobodySeesAnythingByDefault(t *testing.T) {
	allowAll := rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return true })
	for name, opts := range map[string][]rpc.ServerOption{"without a policy": nil, "whatever the policy allows": {allowAll}} {
		t.Run(name, func(t *testing.T) {
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				s := tr.Setup(t, rig.Options{Server: append(opts, rpc.WithDescriptions(true))})
				if err := debug.Serve(s.Server, s.Client, debug.Rule{}); err != nil {
					t.Fatal(err)
				}
				ctx := rig.Context(t)
				_, err := debug.Get(ctx, s.Client, s.Dest)
				if rpc.CodeOf(err) != codes.PermissionDenied || !rpc.IsAuthorizationError(err) {
					t.Errorf("got %v", err)
				}
				for _, err := range debug.Watch(ctx, s.Client, s.Dest, 0) {
					if rpc.CodeOf(err) != codes.PermissionDenied {
						t.Errorf("watching: %v", err)
					}
				}
				d, err := describe.Peer(ctx, s.Client, s.Dest)
				if err != nil || len(d.Services) != 0 {
					t.Errorf("it is described: %+v, %v", d.Services, err)
				}
			})
		})
	}
}

func TestAServersAuthorizationIsAskedToo(t *testing.T) {
	s := rig.Session.Setup(t, rig.Options{Server: []rpc.ServerOption{rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false })}})
	if err := debug.Serve(s.Server, nil, debug.Rule{Allow: everybody}); err != nil {
		t.Fatal(err)
	}
	if _, err := debug.Get(rig.Context(t), s.Client, s.Dest); rpc.CodeOf(err) != codes.PermissionDenied {
		t.Errorf("got %v", err)
	}
}

func TestOtherPeersAreRedacted(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		b := rig.NewHost(t)
		s := rig.Serve(t, b, rig.Arith{})
		trusted, other := rig.NewHost(t), rig.NewHost(t)
		rule := debug.Rule{Allow: everybody, ShowPeers: func(p peer.ID) bool { return p == trusted.ID() }}
		if err := debug.Serve(s, nil, rule); err != nil {
			t.Fatal(err)
		}
		seen := make(map[peer.ID]string)
		for range 2 { // by the second time each has called
			for _, h := range []peer.ID{trusted.ID(), other.ID()} {
				host := trusted
				if h == other.ID() {
					host = other
				}
				rig.Connect(t, host, b)
				c := tr.Client(t, host)
				all, err := debug.Get(rig.Context(t), c, b.ID())
				if err != nil || all.Server == nil || all.Client != nil {
					t.Fatalf("%+v, %v", all, err)
				}
				text, _ := json.Marshal(all)
				seen[h] = string(text)
			}
		}
		if !strings.Contains(seen[trusted.ID()], other.ID().String()) {
			t.Errorf("who may does not see the other: %s", seen[trusted.ID()])
		}
		if got := seen[other.ID()]; strings.Contains(got, trusted.ID().String()) || !strings.Contains(got, `"peer-`) || !strings.Contains(got, other.ID().String()) {
			t.Errorf("who may not sees %s", got)
		}
	})
}

func TestFiguresAreWatched(t *testing.T) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, rig.Arith{}, rig.Options{})
		if err := debug.Serve(s.Server, s.Client, debug.Rule{Allow: everybody}); err != nil {
			t.Fatal(err)
		}
		n, last := 0, time.Time{}
		for all, err := range debug.Watch(rig.Context(t), s.Client, s.Dest, time.Millisecond) {
			if err != nil {
				t.Fatal(err)
			}
			if !all.Server.At.After(last) || all.Client == nil {
				t.Errorf("%+v after %v", all, last)
			}
			last = all.Server.At
			if n++; n == 2 {
				break
			}
		}
		down := rig.InBackground(func() error { return s.Server.Shutdown(rig.Context(t)) })
		if err := rig.Take(t, "a watch does not hold up a shutdown", down); err != nil {
			t.Error(err)
		}
	})
}

// ask makes a request as a browser on a machine would.
func ask(h http.Handler, method, path, host, from string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, nil)
	r.Host, r.RemoteAddr = host, from
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestThePageIsForTheOwnMachine(t *testing.T) {
	t.Parallel()
	_, s := rig.LocalOnly(t, rig.Options{})
	h := debug.Handler(s, nil, debug.Page{})
	open := debug.Handler(s, nil, debug.Page{Hosts: []string{"ops.example"}})
	for _, c := range []struct {
		h                        http.Handler
		method, path, host, from string
		want                     int
	}{
		{h, "GET", "/", "localhost:8080", "127.0.0.1:999", 200},
		{h, "GET", "/debug/rpc/", "127.0.0.1:8080", "127.0.0.1:999", 200},
		{h, "HEAD", "/", "[::1]:8080", "[::1]:999", 200},
		{h, "GET", "/state.json", "localhost", "127.0.0.1:999", 200},
		{h, "GET", "/other", "localhost", "127.0.0.1:999", 404},
		{h, "POST", "/", "localhost", "127.0.0.1:999", 405},
		{h, "GET", "/", "evil.example", "127.0.0.1:999", 421},
		{h, "GET", "/state.json", "evil.example:8080", "127.0.0.1:999", 421},
		{h, "GET", "/events", "evil.example:8080", "127.0.0.1:999", 421},
		{h, "GET", "/", "localhost", "192.0.2.1:999", 403},
		{open, "GET", "/", "ops.example", "192.0.2.1:999", 200},
		{open, "GET", "/", "OPS.example:80", "192.0.2.1:999", 200},
		{open, "GET", "/", "evil.example", "192.0.2.1:999", 421},
	} {
		w := ask(c.h, c.method, c.path, c.host, c.from)
		if w.Code != c.want {
			t.Errorf("%s %s at %s from %s: %d, want %d", c.method, c.path, c.host, c.from, w.Code, c.want)
		}
		if p := w.Header().Get("Content-Security-Policy"); !strings.Contains(p, "default-src 'none'") || strings.Contains(p, "unsafe") {
			t.Errorf("%s: policy %q", c.path, p)
		}
	}
	page := ask(h, "GET", "/", "localhost", "127.0.0.1:1").Body.String()
	for _, word := range []string{"http://", "https://", "innerHTML", "document.write", "eval(", " style=\"", " onclick="} {
		if strings.Contains(strings.ReplaceAll(page, "http://www.w3.org/2000/svg", ""), word) {
			t.Errorf("the page has %q", word)
		}
	}
}

func TestEventsAreSentUntilThePageIsClosed(t *testing.T) {
	t.Parallel()
	c, s := rig.LocalOnly(t, rig.Options{})
	web := httptest.NewServer(debug.Handler(s, c, debug.Page{Every: 100 * time.Millisecond}))
	defer web.Close()
	ctx, cancel := context.WithCancel(rig.Context(t))
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, web.URL+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := web.Client()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if got := answer.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("it is %q", got)
	}
	lines := bufio.NewReader(answer.Body)
	for n := 0; n < 2; {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if text, ok := strings.CutPrefix(line, "data: "); ok {
			var all debug.Snapshot
			if err := json.Unmarshal([]byte(text), &all); err != nil || all.Server == nil || all.Client == nil {
				t.Fatalf("%v: %s", err, text)
			}
			n++
		}
	}
	cancel()
	_, _ = io.Copy(io.Discard, answer.Body)
}
