package node

import (
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/policy"
)

// rules says who may call what over the network: a test sees to it that no
// method is forgotten. A peer's own components may call all of it.
func rules(isTrusted func(peer.ID) bool) policy.Rules {
	nobody, everyone, trusted := policy.Nobody(), policy.Everyone(), policy.Trusted(isTrusted)
	return policy.Rules{
		api.Cluster.ID.ID():        everyone,
		api.Cluster.Peers.ID():     trusted,
		api.Cluster.Join.ID():      trusted,
		api.Cluster.Leave.ID():     nobody,
		api.Cluster.Pin.ID():       nobody,
		api.Cluster.Unpin.ID():     nobody,
		api.Cluster.Status.ID():    nobody,
		api.Cluster.StatusAll.ID(): nobody,

		api.Consensus.Commit.ID():  nobody,
		api.Consensus.Apply.ID():   trusted, // by peers that take this one for the leader
		api.Consensus.Pins.ID():    nobody,
		api.Consensus.Lookup.ID():  trusted,
		api.Consensus.Members.ID(): nobody,
		api.Consensus.Leader.ID():  nobody,

		api.PinTracker.Pin.ID():       nobody, // the shared state decides
		api.PinTracker.Unpin.ID():     nobody,
		api.PinTracker.Status.ID():    trusted,
		api.PinTracker.StatusAll.ID(): trusted,
		api.PinTracker.Recover.ID():   nobody,

		api.Storage.Pin.ID():    nobody,
		api.Storage.Unpin.ID():  nobody,
		api.Storage.Pinned.ID(): nobody,
		api.Storage.Free.ID():   nobody,
		api.Storage.Put.ID():    trusted, // by peers that add
		api.Storage.Blocks.ID(): trusted, // by peers that fetch
		api.Storage.Read.ID():   nobody,

		api.Monitor.Metrics.ID():    nobody,
		api.Allocator.Allocate.ID(): nobody,
		api.Adder.Add.ID():          nobody,
	}
}

// Policy lists who may call which of the peer's methods.
func (n *Node) Policy() policy.Report { return n.rules.Report(n.server) }
