package api

import (
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Protocol is under which the peers of a cluster call each other.
const Protocol protocol.ID = "/examples/cluster/rpc/1.0"

// Cluster ties a peer together: the operations that people ask for.
var Cluster = struct {
	ID        *rpc.Method[Nothing, ID]
	Peers     *rpc.Method[Nothing, []ID]      // of all peers, the unreachable too
	Join      *rpc.Method[Contact, []Contact] // makes the caller a member; the reply are all
	Leave     *rpc.Method[peer.ID, Nothing]   // makes a peer a member no more
	Pin       *rpc.Method[Pin, Pin]           // allocates and commits; the reply has the allocations
	Unpin     *rpc.Method[cid.Cid, Nothing]
	Status    *rpc.Method[cid.Cid, []PinInfo] // on all peers
	StatusAll *rpc.Method[Nothing, []PinInfo] // of all pins on all peers
}{
	rpc.NewMethod[Nothing, ID]("Cluster", "ID"),
	rpc.NewMethod[Nothing, []ID]("Cluster", "Peers"),
	rpc.NewMethod[Contact, []Contact]("Cluster", "Join"),
	rpc.NewMethod[peer.ID, Nothing]("Cluster", "Leave"),
	rpc.NewMethod[Pin, Pin]("Cluster", "Pin"),
	rpc.NewMethod[cid.Cid, Nothing]("Cluster", "Unpin"),
	rpc.NewMethod[cid.Cid, []PinInfo]("Cluster", "Status"),
	rpc.NewMethod[Nothing, []PinInfo]("Cluster", "StatusAll"),
}

// Consensus is what all peers agree upon: pins and members.
var Consensus = struct {
	Commit  *rpc.Method[Op, Nothing] // returns when it is agreed upon, whoever leads
	Apply   *rpc.Method[Op, Nothing] // the same, of the leader; an error of any other
	Pins    *rpc.Method[Nothing, []Pin]
	Lookup  *rpc.Method[cid.Cid, []Pin] // none or one, as the leader knows it: never out of date
	Members *rpc.Method[Nothing, []peer.ID]
	Leader  *rpc.Method[Nothing, peer.ID] // an error if none is known
}{
	rpc.NewMethod[Op, Nothing]("Consensus", "Commit"),
	rpc.NewMethod[Op, Nothing]("Consensus", "Apply"),
	rpc.NewMethod[Nothing, []Pin]("Consensus", "Pins"),
	rpc.NewMethod[cid.Cid, []Pin]("Consensus", "Lookup"),
	rpc.NewMethod[Nothing, []peer.ID]("Consensus", "Members"),
	rpc.NewMethod[Nothing, peer.ID]("Consensus", "Leader"),
}

// PinTracker makes a peer keep what it is to keep. Pin and Unpin return at
// once; Status tells what has become of them.
var PinTracker = struct {
	Pin       *rpc.Method[Pin, Nothing]
	Unpin     *rpc.Method[cid.Cid, Nothing]
	Status    *rpc.Method[cid.Cid, PinInfo]
	StatusAll *rpc.ServerStream[Nothing, PinInfo] // there may be more than a message takes
	Recover   *rpc.Method[Nothing, Nothing]       // tries again what failed, and gives up what nobody wants
}{
	rpc.NewMethod[Pin, Nothing]("PinTracker", "Pin"),
	rpc.NewMethod[cid.Cid, Nothing]("PinTracker", "Unpin"),
	rpc.NewMethod[cid.Cid, PinInfo]("PinTracker", "Status"),
	rpc.NewServerStream[Nothing, PinInfo]("PinTracker", "StatusAll"),
	rpc.NewMethod[Nothing, Nothing]("PinTracker", "Recover"),
}

// Storage keeps blocks.
var Storage = struct {
	Pin    *rpc.Method[Pin, Nothing]     // fetches what is missing, and returns when all is here
	Unpin  *rpc.Method[cid.Cid, Nothing] // gives up what only this pin needs
	Pinned *rpc.Method[Nothing, []cid.Cid]
	Free   *rpc.Method[Nothing, uint64]
	Put    *rpc.Duplex[Block, Stored]         // stores blocks, and acknowledges each
	Blocks *rpc.Duplex[cid.Cid, Block]        // answers for each, in order
	Read   *rpc.ServerStream[cid.Cid, []byte] // a file's contents, wherever its blocks are
}{
	rpc.NewMethod[Pin, Nothing]("Storage", "Pin"),
	rpc.NewMethod[cid.Cid, Nothing]("Storage", "Unpin"),
	rpc.NewMethod[Nothing, []cid.Cid]("Storage", "Pinned"),
	rpc.NewMethod[Nothing, uint64]("Storage", "Free"),
	rpc.NewDuplex[Block, Stored]("Storage", "Put"),
	rpc.NewDuplex[cid.Cid, Block]("Storage", "Blocks"),
	rpc.NewServerStream[cid.Cid, []byte]("Storage", "Read"),
}

// Monitor knows which peers are alive, and how much room they have.
var Monitor = struct {
	Metrics *rpc.Method[Nothing, []Metric] // the last of every peer, the expired too
}{
	rpc.NewMethod[Nothing, []Metric]("Monitor", "Metrics"),
}

// Allocator picks the peers that are to keep a DAG.
var Allocator = struct {
	Allocate *rpc.Method[AllocationRequest, []peer.ID]
}{
	rpc.NewMethod[AllocationRequest, []peer.ID]("Allocator", "Allocate"),
}

// Adder makes DAGs of files.
var Adder = struct {
	Add *rpc.Duplex[Upload, Added] // takes one file, in pieces
}{
	rpc.NewDuplex[Upload, Added]("Adder", "Add"),
}
