// Package restapi is how people and other programs use a peer: by HTTP and
// JSON, or with a browser.
package restapi

import (
	"context"
	_ "embed"
	"errors"
	"net"
	"net/http"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

//go:embed index.html
var page []byte

// API serves HTTP. All it does is to call other components.
type API struct {
	client   *rpc.Client
	interval time.Duration
	server   *http.Server
	listener net.Listener
	stop     context.CancelFunc
	done     chan struct{}
}

// New serves on a TCP address, such as "127.0.0.1:0". The client is its way to
// the other components. Browsers that watch are told of changes at every
// interval; its default is 1 s.
func New(client *rpc.Client, addr string, interval time.Duration) (*API, error) {
	if interval == 0 {
		interval = time.Second
	}
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	a := &API{client: client, interval: interval, listener: listener, stop: stop, done: make(chan struct{})}
	a.server = &http.Server{
		Handler:           a.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	go func() {
		defer close(a.done)
		_ = a.server.Serve(listener)
	}()
	return a, nil
}

// Handler is what the API answers. Pages of other sites that a browser shows
// cannot use it.
func (a *API) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.index)
	mux.HandleFunc("POST /add", a.add)
	mux.HandleFunc("GET /files/{cid}", a.read)
	mux.HandleFunc("GET /pins", a.statusAll)
	mux.HandleFunc("GET /pins/{cid}", a.status)
	mux.HandleFunc("POST /pins/{cid}", a.pin)
	mux.HandleFunc("DELETE /pins/{cid}", a.unpin)
	mux.HandleFunc("GET /peers", a.peers)
	mux.HandleFunc("DELETE /peers/{peer}", a.leave)
	mux.HandleFunc("GET /events", a.events)
	return http.NewCrossOriginProtection().Handler(mux)
}

// URL is where the API is.
func (a *API) URL() string { return "http://" + a.listener.Addr().String() }

// Close ends all requests.
func (a *API) Close() error {
	a.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := a.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = a.server.Close()
	}
	<-a.done
	return err
}

func (a *API) index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page)
}
