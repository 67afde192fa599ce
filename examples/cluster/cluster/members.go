package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Join makes the caller a member. The reply is where all members are.
func (c *Cluster) Join(ctx context.Context, from api.Contact) ([]api.Contact, error) {
	sender, err := rpc.GetRequestSender(ctx)
	if err != nil {
		return nil, err
	}
	if sender != from.Peer {
		return nil, rpc.Errorf(codes.InvalidArgument, "%v asks to join as %v", sender, from.Peer)
	}
	if err := c.know(from); err != nil {
		return nil, rpc.Errorf(codes.InvalidArgument, "%v", err)
	}
	if !c.counts(ctx, sender) {
		if _, err := api.Consensus.Commit.Call(ctx, c.client, "", api.Op{Kind: api.OpAddPeer, Peer: sender}); err != nil {
			return nil, err
		}
	}
	return c.contacts(ctx)
}

// counts reports whether a peer is a member, if that is sure: a peer without a
// leader may have missed that another was removed.
func (c *Cluster) counts(ctx context.Context, p peer.ID) bool {
	if _, err := api.Consensus.Leader.Call(ctx, c.client, "", api.Nothing{}); err != nil {
		return false
	}
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	return err == nil && slices.Contains(members, p)
}

// JoinAt asks a peer to make this one a member, and connects to all others.
func (c *Cluster) JoinAt(ctx context.Context, at peer.AddrInfo) error {
	if err := c.host.Connect(direct(ctx), at); err != nil {
		return err
	}
	members, err := api.Cluster.Join.Call(ctx, c.client, at.ID, c.contact(c.host.ID()))
	if err != nil {
		return err
	}
	for _, m := range members {
		if err := c.know(m); err != nil {
			return err
		}
	}
	c.connect(ctx, members) // the leader cannot find this peer by itself
	return nil
}

// contact is where a peer is, as far as this one knows.
func (c *Cluster) contact(p peer.ID) api.Contact {
	addrs := c.host.Peerstore().Addrs(p)
	if p == c.host.ID() {
		addrs = c.host.Addrs()
	}
	contact := api.Contact{Peer: p}
	for _, a := range addrs {
		contact.Addrs = append(contact.Addrs, a.String())
	}
	return contact
}

func (c *Cluster) contacts(ctx context.Context) ([]api.Contact, error) {
	members, err := api.Consensus.Members.Call(ctx, c.client, "", api.Nothing{})
	if err != nil {
		return nil, err
	}
	var contacts []api.Contact
	for _, p := range members {
		contacts = append(contacts, c.contact(p))
	}
	return contacts, nil
}

// know notes where a peer is.
func (c *Cluster) know(contact api.Contact) error {
	for _, text := range contact.Addrs {
		addr, err := multiaddr.NewMultiaddr(text)
		if err != nil {
			return err
		}
		c.host.Peerstore().AddAddr(contact.Peer, addr, peerstore.PermanentAddrTTL)
	}
	return nil
}

// reconnect connects to the members to which there is no connection.
func (c *Cluster) reconnect(ctx context.Context) error {
	contacts, err := c.contacts(ctx)
	if err != nil {
		return err
	}
	c.connect(ctx, contacts)
	return c.save(contacts)
}

// connect connects to those of the members that can be reached.
func (c *Cluster) connect(ctx context.Context, members []api.Contact) {
	var wg sync.WaitGroup
	for _, m := range members {
		if m.Peer != c.host.ID() && c.host.Network().Connectedness(m.Peer) != network.Connected {
			wg.Go(func() { _ = c.host.Connect(direct(ctx), peer.AddrInfo{ID: m.Peer}) })
		}
	}
	wg.Wait()
}

// direct makes a dial happen although one has failed a moment ago: these are
// few peers, and they come back.
func direct(ctx context.Context) context.Context {
	return network.WithForceDirectDial(ctx, "a member of the cluster")
}

// save keeps where the members are, for the next start. The addresses of
// those who are away stay as they were.
func (c *Cluster) save(contacts []api.Contact) error {
	if c.cfg.Contacts == "" {
		return nil
	}
	contacts = slices.DeleteFunc(contacts, func(m api.Contact) bool { return m.Peer == c.host.ID() || len(m.Addrs) == 0 })
	data, err := json.MarshalIndent(contacts, "", "\t")
	if err != nil {
		return err
	}
	if before, err := os.ReadFile(c.cfg.Contacts); err == nil && string(before) == string(data) {
		return nil
	}
	next := c.cfg.Contacts + ".next"
	if err := os.WriteFile(next, data, 0o600); err != nil {
		return err
	}
	return os.Rename(next, c.cfg.Contacts)
}

// load notes where the members were when this peer ran before.
func (c *Cluster) load() error {
	data, err := os.ReadFile(c.cfg.Contacts)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var contacts []api.Contact
	if err == nil {
		err = json.Unmarshal(data, &contacts)
	}
	for _, m := range contacts {
		err = errors.Join(err, c.know(m))
	}
	return err
}
