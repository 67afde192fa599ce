package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Start begins to look for what is amiss, and to mend it. A peer that is no
// member yet asks those in bootstrap to make it one, until one does.
func (c *Cluster) Start(bootstrap []peer.AddrInfo) error {
	if c.cfg.Contacts != "" {
		if err := c.load(); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	c.stop = stop
	c.wg.Go(func() {
		ticks := time.NewTicker(c.cfg.Interval)
		defer ticks.Stop()
		for {
			c.maintain(ctx, bootstrap)
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return
			}
		}
	})
	return nil
}

// Close ends what Start began.
func (c *Cluster) Close() error {
	c.stop()
	c.wg.Wait()
	return nil
}

// maintain does once what keeps a cluster whole. What fails is tried again the
// next time.
func (c *Cluster) maintain(ctx context.Context, bootstrap []peer.AddrInfo) {
	ctx, cancel := context.WithTimeout(ctx, 10*c.cfg.Interval)
	defer cancel()
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return
	}
	member := slices.Contains(members, c.host.ID())
	if member {
		c.tell(nil)
	} else {
		c.tell(c.joinAny(ctx, withMembers(bootstrap, members)))
	}
	_ = c.reconnect(ctx)
	_, _ = api.PinTracker.Recover.Call(ctx, c.client, "", api.Nothing{})
	leader, err := api.Consensus.Leader.Call(ctx, c.client, "", api.Nothing{})
	if leader != c.host.ID() {
		clear(c.silent) // what it knows of them now may be old when it leads
	}
	switch {
	case err == nil && leader == c.host.ID():
		c.leaderless = 0
		_ = c.reallocate(ctx, members)
		_ = c.removeDead(ctx, members)
	case err == nil:
		c.leaderless = 0
	default:
		if c.leaderless++; member && c.leaderless > elections {
			c.rejoin(ctx, members, bootstrap)
		}
	}
}

// elections is how often there may be no leader before a peer doubts that it
// is a member.
const elections = 5

// withMembers adds those of the members that are not among the peers. A peer
// that is no member knows members only if it was one.
func withMembers(peers []peer.AddrInfo, members []peer.ID) []peer.AddrInfo {
	peers = slices.Clone(peers)
	for _, p := range members {
		if !slices.ContainsFunc(peers, func(info peer.AddrInfo) bool { return info.ID == p }) {
			peers = append(peers, peer.AddrInfo{ID: p})
		}
	}
	return peers
}

// joinAny asks one peer after the other to make this one a member.
func (c *Cluster) joinAny(ctx context.Context, peers []peer.AddrInfo) error {
	if len(peers) == 0 {
		return errors.New("there is no peer to ask")
	}
	var errs []error
	for _, at := range peers {
		err := c.JoinAt(ctx, at)
		if err == nil {
			return nil
		}
		errs = append(errs, fmt.Errorf("%v: %w", at.ID, err))
	}
	return errors.Join(errs...)
}

// localPort is of a connection that was tried: each time it is another.
var localPort = regexp.MustCompile(`:\d+->`)

// tell says whether this peer is a member, if that is news.
func (c *Cluster) tell(err error) {
	news := "a member"
	if err != nil {
		news = localPort.ReplaceAllString(err.Error(), "->")
	}
	if news != c.told {
		c.told = news
		c.cfg.Member(err)
	}
}

// reallocate has other peers keep what those kept who are dead, or members no
// more. Only the leader does it.
func (c *Cluster) reallocate(ctx context.Context, members []peer.ID) error {
	alive, err := c.alive(ctx, members)
	if err != nil {
		return err
	}
	if time.Since(c.started) < 3*c.cfg.Interval {
		return nil // nobody has been heard of yet
	}
	pins, err := api.Consensus.Pins.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return err
	}
	var errs []error
	for _, pin := range pins {
		errs = append(errs, c.reallocatePin(ctx, pin, alive))
	}
	return errors.Join(errs...)
}

func (c *Cluster) reallocatePin(ctx context.Context, pin api.Pin, alive map[peer.ID]bool) error {
	var living []peer.ID
	for _, p := range pin.Allocations {
		if alive[p] {
			living = append(living, p)
		}
	}
	if len(living) >= pin.Replicas || !c.kept(ctx, pin, living) {
		return nil
	}
	request := api.AllocationRequest{Replicas: pin.Replicas, AtLeast: 1, Current: living}
	next, err := api.Allocator.Allocate.Call(ctx, c.client, "", request)
	if err != nil || len(next) <= len(living) {
		return err
	}
	for _, p := range pin.Allocations { // better a dead one than none: it may come back
		if len(next) < pin.Replicas && !slices.Contains(next, p) {
			next = append(next, p)
		}
	}
	from := pin.Allocations
	pin.Allocations = next
	_, err = api.Consensus.Commit.Call(ctx, c.client, "", api.Op{Kind: api.OpMove, Pin: &pin, From: from})
	return err
}

// kept reports whether one of the peers has the whole DAG. If none has, those
// that are dead may be the only ones: they must not be told to give it up when
// they come back.
func (c *Cluster) kept(ctx context.Context, pin api.Pin, by []peer.ID) bool {
	for _, answer := range api.PinTracker.Status.CallAll(ctx, c.client, by, pin.Cid, patience) {
		if answer.Err == nil && answer.Value.Status == api.Pinned {
			return true
		}
	}
	return false
}
