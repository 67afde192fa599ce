package debug

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Page says whom [Handler] answers.
type Page struct {
	// Hosts are the names by which it may be asked, without a port, beside "localhost" and
	// the addresses of the loopback. With any, it answers others than the loopback too:
	// what stands before it is then to say who may see it.
	Hosts []string
	// Every is how often the page gets new figures. Default a second, at least 100 ms.
	Every time.Duration
}

//go:embed page.html
var page string

// mostStreams is how many pages may be open at once.
const mostStreams = 32

// handler is that of a server and a client.
type handler struct {
	Page
	server  *rpc.Server
	client  *rpc.Client
	policy  string // the content security policy
	streams atomic.Int64
}

// Handler returns a page that shows what a server and a client, either of which may be
// nil, are doing: live, for people, and as JSON under "state.json". It reads only, loads
// nothing from elsewhere, and answers the loopback only, unless p says otherwise. It can
// stand under any path that ends with a slash:
//
//	http.Handle("/debug/rpc/", debug.Handler(server, client, debug.Page{}))
func Handler(s *rpc.Server, c *rpc.Client, p Page) http.Handler {
	if p.Every == 0 {
		p.Every = time.Second
	}
	p.Every = max(p.Every, least)
	return &handler{Page: p, server: s, client: c, policy: policyOf(page)}
}

// policyOf allows what stands in the page, and to ask where it came from.
func policyOf(page string) string {
	hash := func(tag string) string {
		_, after, _ := strings.Cut(page, "<"+tag+">")
		text, _, _ := strings.Cut(after, "</"+tag+">")
		sum := sha256.Sum256([]byte(text))
		return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	return "default-src 'none'; connect-src 'self'; script-src " + hash("script") + "; style-src " + hash("style") +
		"; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	head := w.Header()
	head.Set("Content-Security-Policy", h.policy)
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Cache-Control", "no-store")
	head.Set("Cross-Origin-Resource-Policy", "same-origin")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		head.Set("Allow", "GET, HEAD")
		http.Error(w, "this page only shows; it takes GET and HEAD", http.StatusMethodNotAllowed)
	case len(h.Hosts) == 0 && !isLoopback(r.RemoteAddr):
		http.Error(w, "this page is for the own machine; debug.Page says how to change that", http.StatusForbidden)
	case !h.knows(r.Host):
		http.Error(w, "this page does not answer to that host name; debug.Page.Hosts lists those that it does", http.StatusMisdirectedRequest)
	case strings.HasSuffix(r.URL.Path, "/"):
		head.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte(page))
	case path.Base(r.URL.Path) == "state.json":
		head.Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(Take(h.server, h.client))
	case path.Base(r.URL.Path) == "events":
		h.events(w, r)
	default:
		http.NotFound(w, r)
	}
}

// knows reports whether it may be asked by a name: any web page could make a browser ask
// by one of its own.
func (h *handler) knows(host string) bool {
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return strings.EqualFold(name, "localhost") || isLoopback(name) || slices.ContainsFunc(h.Hosts, func(known string) bool { return strings.EqualFold(known, name) })
}

func isLoopback(addr string) bool {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		addr = host
	}
	ip, err := netip.ParseAddr(addr)
	return err == nil && ip.Unmap().IsLoopback()
}

// events sends figures, as server-sent events.
func (h *handler) events(w http.ResponseWriter, r *http.Request) {
	if h.streams.Add(1) > mostStreams {
		h.streams.Add(-1)
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer h.streams.Add(-1)
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	tick := time.NewTicker(h.Every)
	defer tick.Stop()
	for {
		b, err := json.Marshal(Take(h.server, h.client))
		if err != nil {
			return
		}
		_ = out.SetWriteDeadline(time.Now().Add(10 * h.Every)) // which not every server knows
		if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil || out.Flush() != nil || r.Method == http.MethodHead {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
