package node

import (
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/tracker"
)

// Config is all that makes one peer different from another.
type Config struct {
	Name string // for people
	// Dir is the directory for everything that is to outlive the process,
	// which is made if it does not exist. Empty keeps it in memory.
	Dir string
	// API is the TCP address of the REST API. Default "127.0.0.1:0", a port
	// that is free.
	API string
	// Tracker is the kind of pin tracker. Default tracker.Map.
	Tracker string
	// Capacity is for how many bytes of blocks there is room. Default 1 GiB.
	Capacity uint64
	// Replicas is how many peers keep a DAG whose pin does not say. Default 3.
	Replicas int

	// Founders are the members of a new cluster, this peer among them. A peer
	// that joins one has none.
	Founders []peer.ID
	// Bootstrap are peers of the cluster that is to be joined.
	Bootstrap []peer.AddrInfo
	// Trusted are the peers that may be members. Default: all that can
	// connect, which are those that know the secret.
	Trusted []peer.ID

	// RemoveAfter is after how long a peer that does not answer is a member no
	// more, as long as most others do. 0 is never. When it comes back, it is
	// made a member again.
	RemoveAfter time.Duration
	// Member, if there is one, is told whether this peer is a member: nil when
	// it has become one, and before that why it is not, whenever that changes.
	Member func(error)
	// Interceptors see every call that this peer's components serve.
	Interceptors []rpc.Interceptor

	// Interval is how often peers are heard of, and what is amiss is looked
	// for. Default 2 s.
	Interval time.Duration
	// Timeout is after how much silence a leader is replaced. Default 1 s.
	Timeout time.Duration
}

func (cfg Config) withDefaults() Config {
	if cfg.API == "" {
		cfg.API = "127.0.0.1:0"
	}
	if cfg.Tracker == "" {
		cfg.Tracker = tracker.Map
	}
	return cfg
}

// trusted reports whether p may be a member.
func (cfg Config) trusted(p peer.ID) bool {
	if cfg.Trusted == nil {
		return true
	}
	for _, t := range cfg.Trusted {
		if t == p {
			return true
		}
	}
	return false
}
