// Package consensus makes all peers agree, by raft, on the pins and on who is
// a peer.
package consensus

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Config says how to agree.
type Config struct {
	// Dir is a directory for the log and the snapshots, which must exist;
	// empty keeps them in memory.
	Dir string
	// Founders are the first members. Where there is a log already, it counts.
	// Without either, the peer waits to be made a member.
	Founders []peer.ID
	// Timeout is after how much silence of the leader there is an election.
	// Default 1 s.
	Timeout time.Duration
	// Trusted says which peers may take part.
	Trusted func(peer.ID) bool
}

// Consensus serves api.Consensus.
type Consensus struct {
	client *rpc.Client
	state  *state
	raft   *raft.Raft
	wait   time.Duration // for a leader to be elected, at a time
	closer []io.Closer
}

// New starts raft. The client is its way to the other components: the pin
// tracker must be there, for what the log holds is done again.
func New(h host.Host, client *rpc.Client, cfg Config) (*Consensus, error) {
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Second
	}
	c := &Consensus{client: client, state: newState(client), wait: cfg.Timeout}
	if err := c.start(h, cfg); err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

func (c *Consensus) start(h host.Host, cfg Config) error {
	conf := raft.DefaultConfig()
	conf.LocalID = raft.ServerID(h.ID().String())
	conf.HeartbeatTimeout, conf.ElectionTimeout, conf.LeaderLeaseTimeout = cfg.Timeout, cfg.Timeout, cfg.Timeout/2
	conf.Logger = hclog.NewNullLogger()
	conf.NoLegacyTelemetry = true

	logs, stable, snapshots, err := c.stores(cfg.Dir)
	if err != nil {
		return err
	}
	transport, err := newTransport(h, cfg)
	if err != nil {
		return err
	}
	c.closer = append(c.closer, transport)
	existing, err := raft.HasExistingState(logs, stable, snapshots)
	if err != nil {
		return err
	}
	if !existing && len(cfg.Founders) > 0 {
		if err := raft.BootstrapCluster(conf, logs, stable, snapshots, transport, servers(cfg.Founders)); err != nil {
			return err
		}
	}
	c.raft, err = raft.NewRaft(conf, c.state, logs, stable, snapshots, transport)
	return err
}

func servers(peers []peer.ID) (conf raft.Configuration) {
	for _, p := range peers {
		conf.Servers = append(conf.Servers, raft.Server{ID: raft.ServerID(p.String()), Address: raft.ServerAddress(p.String())})
	}
	return conf
}

func (c *Consensus) stores(dir string) (raft.LogStore, raft.StableStore, raft.SnapshotStore, error) {
	if dir == "" {
		memory := raft.NewInmemStore()
		return memory, memory, raft.NewInmemSnapshotStore(), nil
	}
	disk, err := raftboltdb.NewBoltStore(filepath.Join(dir, "raft.db"))
	if err != nil {
		return nil, nil, nil, err
	}
	c.closer = append(c.closer, disk)
	snapshots, err := raft.NewFileSnapshotStoreWithLogger(dir, 2, hclog.NewNullLogger())
	return disk, disk, snapshots, err
}

// Register makes the methods callable.
func (c *Consensus) Register(s *rpc.Server) error {
	return errors.Join(
		api.Consensus.Commit.Handle(s, c.Commit),
		api.Consensus.Apply.Handle(s, c.Apply),
		api.Consensus.Pins.Handle(s, c.Pins),
		api.Consensus.Lookup.Handle(s, c.Lookup),
		api.Consensus.Members.Handle(s, c.Members),
		api.Consensus.Leader.Handle(s, c.Leader),
	)
}

// Close leaves the others to agree without this peer. It stays a member.
func (c *Consensus) Close() error {
	return errors.Join(c.raft.Shutdown().Error(), c.close())
}

func (c *Consensus) close() error {
	var errs []error
	for _, closer := range c.closer {
		errs = append(errs, closer.Close())
	}
	return errors.Join(errs...)
}

// Pins returns the pins that this peer knows to be agreed upon. Others may
// know more.
func (c *Consensus) Pins(context.Context, api.Nothing) ([]api.Pin, error) {
	return c.state.list(), nil
}

// Members returns the peers of the cluster, dead or alive.
func (c *Consensus) Members(context.Context, api.Nothing) ([]peer.ID, error) {
	conf := c.raft.GetConfiguration()
	if err := conf.Error(); err != nil {
		return nil, err
	}
	var members []peer.ID
	for _, s := range conf.Configuration().Servers {
		p, err := peer.Decode(string(s.ID))
		if err != nil {
			return nil, err
		}
		members = append(members, p)
	}
	return members, nil
}

// Leader returns whom this peer takes for the leader.
func (c *Consensus) Leader(context.Context, api.Nothing) (peer.ID, error) {
	_, id := c.raft.LeaderWithID()
	if id == "" {
		return "", rpc.Errorf(codes.Unavailable, "there is no leader")
	}
	return peer.Decode(string(id))
}
