// Package cluster ties a peer together: what people ask of a cluster is a few
// calls to components, of this peer and of others.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// patience is how long each peer may take to answer a question to all.
var patience = rpc.CallTimeout(3 * time.Second)

// Config says what kind of peer this is.
type Config struct {
	Name    string // for people
	Tracker string // which pin tracker it runs, for people
	// Contacts is a file in which is kept where the other peers are; empty for
	// none.
	Contacts string
	// Replicas is how many peers keep a DAG whose pin does not say. Default 3.
	Replicas int
	// Interval is how often what is amiss is looked for. Default 2 s.
	Interval time.Duration
	// RemoveAfter is after how long a peer that does not answer is a member no
	// more. 0 is never. When it comes back, it is made a member again.
	RemoveAfter time.Duration
	// Member, if there is one, is told whether this peer is a member: nil when
	// it has become one, and before that why it is not, whenever that changes.
	Member func(error)
}

// Cluster serves api.Cluster.
type Cluster struct {
	host    host.Host
	client  *rpc.Client
	cfg     Config
	started time.Time
	stop    context.CancelFunc
	wg      sync.WaitGroup

	// Of the goroutine that looks for what is amiss:
	told       string                // what cfg.Member was told last
	leaderless int                   // how often in turn there was no leader
	silent     map[peer.ID]time.Time // since when, as long as this peer leads
}

// New returns the component, which does nothing by itself until Start.
func New(h host.Host, client *rpc.Client, cfg Config) *Cluster {
	if cfg.Replicas == 0 {
		cfg.Replicas = 3
	}
	if cfg.Interval == 0 {
		cfg.Interval = 2 * time.Second
	}
	if cfg.Member == nil {
		cfg.Member = func(error) {}
	}
	return &Cluster{host: h, client: client, cfg: cfg, started: time.Now(), stop: func() {}, silent: make(map[peer.ID]time.Time)}
}

// Register makes the methods callable.
func (c *Cluster) Register(s *rpc.Server) error {
	return errors.Join(
		api.Cluster.ID.Handle(s, c.ID),
		api.Cluster.Peers.Handle(s, c.Peers),
		api.Cluster.Join.Handle(s, c.Join),
		api.Cluster.Leave.Handle(s, c.Leave),
		api.Cluster.Pin.Handle(s, c.Pin),
		api.Cluster.Unpin.Handle(s, c.Unpin),
		api.Cluster.Status.Handle(s, c.Status),
		api.Cluster.StatusAll.Handle(s, c.StatusAll),
	)
}

// ID says who this peer is. What its components do not tell is left out.
func (c *Cluster) ID(ctx context.Context, _ api.Nothing) (api.ID, error) {
	id := api.ID{Peer: c.host.ID(), Name: c.cfg.Name, Tracker: c.cfg.Tracker}
	for _, a := range c.host.Addrs() {
		id.Addrs = append(id.Addrs, a.String())
	}
	id.Leader, _ = api.Consensus.Leader.Call(ctx, c.client, "", api.Nothing{})
	id.Free, _ = api.Storage.Free.Call(ctx, c.client, "", api.Nothing{})
	return id, nil
}

// Peers asks all peers who they are.
func (c *Cluster) Peers(ctx context.Context, _ api.Nothing) ([]api.ID, error) {
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	var ids []api.ID
	for p, answer := range api.Cluster.ID.CallAll(ctx, c.client, members, api.Nothing{}, patience) {
		if answer.Err != nil {
			answer.Value = api.ID{Peer: p, Error: answer.Err.Error()}
		}
		ids = append(ids, answer.Value)
	}
	return ids, nil
}

// Pin picks the peers that are to keep the DAG, and makes all agree. It
// returns then; the peers fetch the DAG afterwards. A DAG that is pinned
// already stays where it is, as far as it can, and keeps its name if it is
// given no other.
func (c *Cluster) Pin(ctx context.Context, pin api.Pin) (api.Pin, error) {
	if pin.Replicas == 0 {
		pin.Replicas = c.cfg.Replicas
	}
	pin.Created = time.Now().UTC()
	request := api.AllocationRequest{Replicas: pin.Replicas}
	before, err := api.Consensus.Lookup.Call(ctx, c.client, "", pin.Cid)
	if err != nil {
		return api.Pin{}, err
	}
	for _, b := range before {
		request.Current, pin.Created = b.Allocations, b.Created
		pin.Name = cmp.Or(pin.Name, b.Name)
	}
	if pin.Allocations, err = api.Allocator.Allocate.Call(ctx, c.client, "", request); err != nil {
		return api.Pin{}, err
	}
	_, err = api.Consensus.Commit.Call(ctx, c.client, "", api.Op{Kind: api.OpPin, Pin: &pin})
	return pin, err
}

// Unpin makes all agree that the DAG is wanted no more.
func (c *Cluster) Unpin(ctx context.Context, root cid.Cid) (api.Nothing, error) {
	pins, err := api.Consensus.Lookup.Call(ctx, c.client, "", root)
	if err != nil {
		return api.Nothing{}, err
	}
	if len(pins) == 0 {
		return api.Nothing{}, rpc.Errorf(codes.NotFound, "%v is not pinned", root)
	}
	return api.Consensus.Commit.Call(ctx, c.client, "", api.Op{Kind: api.OpUnpin, Pin: &api.Pin{Cid: root}})
}

// Leave makes a peer a member no more. One that runs asks to be one again.
func (c *Cluster) Leave(ctx context.Context, p peer.ID) (api.Nothing, error) {
	return api.Consensus.Commit.Call(ctx, c.client, "", api.Op{Kind: api.OpRemovePeer, Peer: p})
}
