// Package api is all that the components of a cluster peer know of each
// other: the types that travel between them, and the methods by which they
// call each other, as typed values. No component imports another; each has a
// client, and does not know whether what it calls is in its own process.
package api

import (
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Nothing is the argument or the reply of a method that has none.
type Nothing = struct{}

// Pin says that a DAG is to be kept, and by which peers. The pins that are
// agreed upon are the cluster's shared state.
type Pin struct {
	Cid  cid.Cid
	Name string // for people; optional
	// Replicas is how many peers keep the DAG.
	Replicas int
	// Allocations are the peers that keep it.
	Allocations []peer.ID
	// Created is when the pin was first asked for.
	Created time.Time
}

// Allocated reports whether p is one of the peers that keep the DAG.
func (pin Pin) Allocated(p peer.ID) bool {
	for _, a := range pin.Allocations {
		if a == p {
			return true
		}
	}
	return false
}

// Status is what a pin's state is on one peer.
type Status string

// The states of a pin on a peer.
const (
	Unpinned  Status = "unpinned"  // not in the shared state
	Remote    Status = "remote"    // other peers keep it
	Pinning   Status = "pinning"   // its blocks are being fetched, or it waits for that
	Pinned    Status = "pinned"    // all its blocks are here and will stay
	Unpinning Status = "unpinning" // it is being given up
	Failed    Status = "failed"    // see the error; it will be tried again
	// Unreachable is the state on a peer that does not answer, whether it is to
	// keep the pin or not.
	Unreachable Status = "unreachable"
)

// PinInfo is the state of a pin on one peer.
type PinInfo struct {
	Cid    cid.Cid
	Name   string
	Peer   peer.ID
	Status Status
	Error  string // why it failed, or why the peer cannot say
}

// ID is what a peer says of itself.
type ID struct {
	Peer  peer.ID
	Name  string   // for people
	Addrs []string // multiaddresses, without the peer
	// Leader is whom the peer takes for the leader; empty if it knows none. An
	// empty peer ID does not travel: it is left out.
	Leader peer.ID `codec:",omitempty"`
	// Tracker is which kind of pin tracker it runs.
	Tracker string
	// Free is how many bytes of blocks it has room for.
	Free uint64
	// Error is set in the answer for a peer that gave none.
	Error string
}

// Metric is what a peer lets all others know from time to time.
type Metric struct {
	Peer peer.ID // who sent it: authenticated, not said
	Free uint64  // bytes of room for blocks
	// TTL is how long it holds: a peer that is not heard of for longer is
	// taken for dead.
	TTL time.Duration
	// Expired is whether that time has passed.
	Expired bool
}

// Op is a change of what all peers agree upon.
type Op struct {
	// ID makes an operation that is committed twice, because somebody did not
	// learn that it had been, happen once. Consensus.Commit sets it.
	ID   string
	Kind OpKind
	Pin  *Pin    // of OpPin and OpMove; of OpUnpin, only its Cid
	Peer peer.ID `codec:",omitempty" json:",omitzero"` // of the membership operations
	// From are the allocations that OpMove is to change. If they are others
	// by now, or there is no such pin any more, it does nothing.
	From []peer.ID
}

// OpKind is what an operation does.
type OpKind string

// The kinds of operation.
const (
	OpPin        OpKind = "pin" // also a change of a pin
	OpUnpin      OpKind = "unpin"
	OpMove       OpKind = "move" // a pin to other peers
	OpAddPeer    OpKind = "add peer"
	OpRemovePeer OpKind = "remove peer"
)

// AllocationRequest asks which peers are to keep a DAG.
type AllocationRequest struct {
	// Replicas is how many are wanted.
	Replicas int
	// AtLeast is with how many the caller is content. 0 is all.
	AtLeast int
	// Current are those that keep it now. They stay, if they are alive.
	Current []peer.ID
}

// Contact is where a peer can be reached.
type Contact struct {
	Peer  peer.ID
	Addrs []string // multiaddresses, without the peer
}

// Block is a piece of a DAG. Whoever gets one checks that its data is what its
// Cid says.
type Block struct {
	Cid  cid.Cid
	Data []byte
	// Missing is set in the answer for a block that is not there.
	Missing bool
}

// Stored is the acknowledgement of a block: it will survive a crash.
type Stored struct {
	Bytes int
}

// Upload is a piece of a file that is added. Name and Replicas are read from
// the first.
type Upload struct {
	Name     string
	Replicas int // 0 is the cluster's default
	Data     []byte
}

// Added is how far an upload has come.
type Added struct {
	Bytes  int64 // of the file, chunked so far
	Blocks int   // made so far
	Stored int   // acknowledged so far, by all peers together
	// Pin is the result. It is in the last message only, and with it the file
	// is on all peers of Pin.Allocations, and the pin is agreed upon.
	Pin *Pin
}
