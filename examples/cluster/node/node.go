// Package node makes a peer of its components. It is the only place where they
// meet, and all that it does with them is to make, register and close them.
package node

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/adder"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/allocator"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/cluster"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/consensus"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/monitor"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/restapi"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/storage"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/tracker"
	"github.com/libp2p/go-libp2p-gorpc/policy"
)

// Node is a peer of a cluster.
type Node struct {
	host   host.Host
	rules  policy.Rules
	server *rpc.Server
	client *rpc.Client
	api    *restapi.API
	parts  []io.Closer // in the order in which they were made
}

// New starts a peer at a host, which stays the caller's.
func New(h host.Host, cfg Config) (*Node, error) {
	cfg = cfg.withDefaults()
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
			return nil, err
		}
	}
	n := &Node{host: h, rules: rules(cfg.trusted)}
	n.server = rpc.NewServer(h, api.Protocol, policy.With(n.rules), rpc.WithServerInterceptors(cfg.Interceptors...))
	n.client = rpc.NewClientWithServer(h, api.Protocol, n.server)
	if err := n.start(cfg); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// start makes the components. Those that others need at once come first.
func (n *Node) start(cfg Config) error {
	store, err := storage.New(n.client, storage.Config{Dir: cfg.Dir, Capacity: cfg.Capacity})
	if err != nil {
		return err
	}
	n.parts = append(n.parts, store, n.client, ending{n.server})
	track, err := tracker.New(cfg.Tracker, n.client)
	if err != nil {
		return err
	}
	n.parts = append(n.parts, track)
	if err := errors.Join(store.Register(n.server), tracker.Register(n.server, track)); err != nil {
		return err
	}
	agreed, err := consensus.New(n.host, n.client, consensus.Config{
		Dir: cfg.Dir, Founders: cfg.Founders, Timeout: cfg.Timeout, Trusted: cfg.trusted,
	})
	if err != nil {
		return err
	}
	n.parts = append(n.parts, agreed)
	heard, err := monitor.New(n.host, n.client, monitor.Config{Interval: cfg.Interval, Trusted: cfg.trusted})
	if err != nil {
		return err
	}
	n.parts = append(n.parts, heard)
	self := cluster.New(n.host, n.client, cluster.Config{
		Name: cfg.Name, Tracker: cfg.Tracker, Contacts: contacts(cfg.Dir), Replicas: cfg.Replicas, Interval: cfg.Interval,
		RemoveAfter: cfg.RemoveAfter, Member: cfg.Member,
	})
	n.parts = append(n.parts, self)
	if err := errors.Join(
		agreed.Register(n.server),
		heard.Register(n.server),
		allocator.New(n.client).Register(n.server),
		adder.New(n.client, adder.Config{Replicas: cfg.Replicas}).Register(n.server),
		self.Register(n.server),
		self.Start(cfg.Bootstrap),
	); err != nil {
		return err
	}
	if n.api, err = restapi.New(n.client, cfg.API, cfg.Interval/2); err != nil {
		return err
	}
	n.parts = append(n.parts, n.api)
	return nil
}

func contacts(dir string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, "contacts.json")
}

// ending closes a server and waits for the methods that are running: what they
// use is closed next.
type ending struct{ *rpc.Server }

func (e ending) Close() error {
	_ = e.Server.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return e.Shutdown(ctx)
}

// ID is the peer's.
func (n *Node) ID() peer.ID { return n.host.ID() }

// Client is a client of the peer's components, for other components.
func (n *Node) Client() *rpc.Client { return n.client }

// URL is where the REST API is.
func (n *Node) URL() string { return n.api.URL() }

// Close ends the peer. It stays a member of the cluster.
func (n *Node) Close() error {
	var errs []error
	for len(n.parts) > 0 {
		last := len(n.parts) - 1
		errs = append(errs, n.parts[last].Close())
		n.parts = n.parts[:last]
	}
	return errors.Join(errs...)
}
