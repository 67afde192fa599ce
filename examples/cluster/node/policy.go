package node

import (
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// audience is who may call a method over the network. A peer's own components
// may call all.
type audience int

const (
	nobody   audience = iota // only this peer's components
	trusted                  // the peers that may be members
	everyone                 // every peer that can connect
)

// policy says it for every method: a test sees to it that none is forgotten.
// What is not here, nobody may call.
var policy = map[rpc.ServiceID]audience{
	api.Cluster.ID.ID():        everyone,
	api.Cluster.Peers.ID():     trusted,
	api.Cluster.Join.ID():      trusted,
	api.Cluster.Leave.ID():     nobody,
	api.Cluster.Pin.ID():       nobody,
	api.Cluster.Unpin.ID():     nobody,
	api.Cluster.Status.ID():    nobody,
	api.Cluster.StatusAll.ID(): nobody,

	api.Consensus.Commit.ID():  nobody,
	api.Consensus.Apply.ID():   trusted, // from peers that take this one for the leader
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
	api.Storage.Put.ID():    trusted, // from peers that add
	api.Storage.Blocks.ID(): trusted, // from peers that fetch
	api.Storage.Read.ID():   nobody,

	api.Monitor.Metrics.ID():    nobody,
	api.Allocator.Allocate.ID(): nobody,
	api.Adder.Add.ID():          nobody,
}

// allowed applies the policy.
func allowed(isTrusted func(peer.ID) bool) func(caller peer.ID, service, method string) bool {
	return func(caller peer.ID, service, method string) bool {
		switch policy[rpc.ServiceID{Name: service, Method: method}] {
		case everyone:
			return true
		case trusted:
			return isTrusted(caller)
		}
		return false
	}
}
