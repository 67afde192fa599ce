package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/debug"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/health"
	"github.com/libp2p/go-libp2p-gorpc/policy"
	"github.com/libp2p/go-libp2p-gorpc/promrpc"
)

const protocol = "/examples/observed/1.0"

// services are all that a node has.
var services = []string{service, debug.ServiceName, describe.ServiceName, health.ServiceName}

// config is what nodes differ in.
type config struct {
	rules  policy.Rules
	limits rpc.Limits
	disk   func(context.Context) error
	port   int // of the page; 0: any
}

// node is a peer and what it shows of itself.
type node struct {
	host   host.Host
	server *rpc.Server
	client *rpc.Client
	url    string // of its HTTP server
	closes []func() error
}

func newNode(name string, c config) (n *node, err error) {
	n = new(node)
	defer func() {
		if err != nil {
			err = fmt.Errorf("starting %s: %w", name, errors.Join(err, n.close()))
		}
	}()
	if n.host, err = libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")); err != nil {
		return n, err
	}
	n.closes = append(n.closes, n.host.Close)
	n.server = rpc.NewServer(n.host, protocol, policy.With(c.rules), rpc.WithServerLimits(c.limits), rpc.WithDescriptions(true))
	n.closes = append(n.closes, n.shutdown)
	n.client = rpc.NewClientWithServer(n.host, protocol, n.server)
	n.closes = append(n.closes, n.client.Close)
	if err := newStore(c.disk).serve(n.server); err != nil {
		return n, err
	}
	if err := n.tell(); err != nil {
		return n, err
	}
	return n, n.listen(c.port)
}

// tell lets other peers ask for health and state: gorpc health and gorpc top do.
func (n *node) tell() error {
	services, err := health.New(n.server)
	if err != nil {
		return err
	}
	services.SetCheck(service, time.Second, func(context.Context) error {
		for _, m := range n.server.State().Methods {
			if p99 := m.Latency.Quantile(0.99); m.Service == service && p99 > time.Second {
				return fmt.Errorf("the 99th percentile of %s is %v", m.Method, p99.Round(time.Millisecond))
			}
		}
		return nil
	})
	everybody := func(peer.ID) bool { return true } // on the loopback; elsewhere: the operators
	return debug.Serve(n.server, n.client, debug.Rule{Allow: everybody, ShowPeers: everybody})
}

// listen serves the page and the metrics.
func (n *node) listen(port int) error {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(promrpc.Server(n.server), promrpc.Client(n.client))
	mux := http.NewServeMux()
	mux.Handle("/debug/rpc/", debug.Handler(n.server, n.client, debug.Page{}))
	mux.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	n.url = "http://" + l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background()) // that of pages that are open
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, BaseContext: func(net.Listener) context.Context { return ctx }}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	n.closes = append(n.closes, func() error {
		cancel()
		patience, stop := context.WithTimeout(context.Background(), time.Second)
		defer stop()
		if web.Shutdown(patience) != nil { // browsers open connections that they do not use
			_ = web.Close()
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	return nil
}

func (n *node) shutdown() error {
	patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return n.server.Shutdown(patience)
}

// close ends what was begun, the last first.
func (n *node) close() (err error) {
	for len(n.closes) > 0 {
		last := len(n.closes) - 1
		err = errors.Join(err, n.closes[last]())
		n.closes = n.closes[:last]
	}
	return err
}

// address is what the command gorpc takes.
func (n *node) address() string { return fmt.Sprintf("%s/p2p/%s", n.host.Addrs()[0], n.host.ID()) }
