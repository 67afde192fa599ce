package browser_test

import (
	"context"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/debug"
	"github.com/libp2p/go-libp2p-gorpc/debug/browser"
)

type service struct{}

func (service) Echo(_ context.Context, n int, reply *int) error { *reply = n; return nil }

func (service) Fail(context.Context, int, *int) error { return rpc.Errorf(5, "it fails") }

func (service) Hang(ctx context.Context, _ int, _ *int) error { <-ctx.Done(); return ctx.Err() }

func newHost(t *testing.T) host.Host {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h
}

// under returns the address of a page of a server and a client under load, until the test
// ends. The service's name is what somebody might try to make a page do things with.
func under(t *testing.T) string {
	const name = "<img src=x onerror=document.title='caught'>"
	a, b := newHost(t), newHost(t)
	if err := a.Connect(t.Context(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		t.Fatal(err)
	}
	s, c := rpc.NewServer(b, "/test"), rpc.NewClient(a, "/test")
	if err := s.RegisterName(name, service{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	calls.Go(func() { _ = c.CallContext(ctx, b.ID(), name, "Hang", 1, new(int)) })
	calls.Go(func() {
		for ctx.Err() == nil {
			_ = c.CallContext(ctx, b.ID(), name, "Echo", 1, new(int))
			_ = c.CallContext(ctx, b.ID(), name, "Fail", 1, new(int))
			_ = c.CallContext(ctx, b.ID(), name, "NoSuch", 1, new(int))
		}
	})
	web := httptest.NewServer(debug.Handler(s, c, debug.Page{Every: 100 * time.Millisecond}))
	t.Cleanup(func() {
		cancel()
		calls.Wait()
		web.CloseClientConnections()
		web.Close()
		_ = c.Close()
		_ = s.Close()
	})
	return web.URL + "/debug/rpc/"
}

// must runs an action and returns its value.
func must[T any](ctx context.Context, t *testing.T, a chromedp.Action[T]) T {
	t.Helper()
	v, err := chromedp.Run(ctx, a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// text is what an element shows.
func text(id string) chromedp.Action[string] {
	return chromedp.Evaluate[string](`document.getElementById("` + id + `").innerText`)
}

func TestThePageShowsWhatHappens(t *testing.T) {
	ctx := browser.Open(t)
	must(ctx, t, chromedp.EmulateViewport(1280, 900))
	must(ctx, t, chromedp.Navigate(under(t)))
	must(ctx, t, chromedp.Poll[bool](`document.getElementById("live").className === "on" && document.querySelector("path.l1") !== null`))
	calls, methods, refused, links := must(ctx, t, text("calls")), must(ctx, t, text("methods")), must(ctx, t, text("refused")), must(ctx, t, text("links"))
	title := must(ctx, t, chromedp.Title())
	shot(ctx, t, "light")
	_, err := chromedp.Call(ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	shot(ctx, t, "dark")
	must(ctx, t, chromedp.Click(`nav button:nth-child(2)`))
	must(ctx, t, chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile))
	shot(ctx, t, "phone")
	width, most := must(ctx, t, chromedp.Evaluate[float64](`document.documentElement.scrollWidth`)), must(ctx, t, chromedp.Evaluate[float64](`innerWidth`))
	for what, has := range map[string][2]string{"calls": {calls, ">.Hang"}, "methods": {methods, "<img src=x"}, "refused": {refused, "no such method"}, "links": {links, "session"}} {
		if !strings.Contains(has[0], has[1]) {
			t.Errorf("%s do not show %q: %s", what, has[1], has[0])
		}
	}
	if title != "RPC, live" {
		t.Errorf("the page's title is %q: a name was taken for a part of the page", title)
	}
	if width > most {
		t.Errorf("on a phone it is %v wide, and the screen %v", width, most)
	}
}

// shot keeps a picture of the page in the folder that PICTURES names, if it does.
func shot(ctx context.Context, t *testing.T, name string) {
	t.Helper()
	if dir := os.Getenv("PICTURES"); dir != "" {
		png := must(ctx, t, chromedp.FullScreenshot(100))
		if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
