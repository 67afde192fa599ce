// Package state has what a server and a client tell of themselves while they run:
// [rpc.Server.State] and [rpc.Client.State] return it. A State is a copy: it can be kept,
// compared with a later one, and written as JSON. Counters only grow, for as long as the
// server or client lives; a duration in JSON is in nanoseconds.
//
// Nothing in it grows with what strangers make up. Peers, links and calls are listed up to
// a number, [MostPeers] and so on; the rest is summed up under the name [Other], and so is
// every method that nobody has registered. Arguments, replies and metadata are not in it.
//
// [rpc.Server.State]: https://pkg.go.dev/github.com/libp2p/go-libp2p-gorpc#Server.State
// [rpc.Client.State]: https://pkg.go.dev/github.com/libp2p/go-libp2p-gorpc#Client.State
package state

import "time"

// Other stands for the peers and the methods that are not listed by themselves.
const Other = "other"

// How many entries the lists of a State have at most, beside one that is [Other].
const (
	MostPeers   = 256
	MostMethods = 1024
	MostCalls   = 256
)

// Server is what a server does.
type Server struct {
	Side
	Places Places `json:"places"`
	// Local counts the calls of the own process. It is nil unless
	// rpc.WithLocalCallsCounted is on; they are in no other figure.
	Local        *Totals `json:"local,omitempty"`
	ShuttingDown bool    `json:"shuttingDown,omitempty"`
}

// Client is what a client does with other peers. Its local calls are its server's to count.
type Client struct {
	Side
	// Retries is how many attempts followed one that failed (rpc.CallRetry).
	Retries uint64 `json:"retries"`
	// Redials is how often a call that waits for a connection (rpc.CallWait)
	// tried again to reach its peer.
	Redials uint64 `json:"redials"`
	// Resent is how many calls were given to another session or stream, because theirs
	// had ended before they were sent.
	Resent uint64 `json:"resent"`
	// Draining is how many arguments channels of streams that are over are received from.
	Draining int  `json:"draining"`
	Closed   bool `json:"closed,omitempty"`
}

// Side is what servers and clients have in common.
type Side struct {
	Peer     string    `json:"peer,omitempty"` // the own ID
	Protocol string    `json:"protocol,omitempty"`
	At       time.Time `json:"at"`    // of this State
	Since    time.Time `json:"since"` // when it was made, and all counters were 0

	// Total is of all calls with other peers that are over.
	Total Totals `json:"total"`
	// Refused says why calls were refused by the server: in a server those that it
	// refused, in a client those that it was told of. The most frequent comes first.
	Refused []Count `json:"refused,omitempty"`
	// UnderWay is how many calls are, and Calls the oldest of them, oldest first.
	UnderWay int      `json:"underWay"`
	Calls    []Call   `json:"calls,omitempty"`
	Methods  []Method `json:"methods,omitempty"` // by name
	Peers    []Peer   `json:"peers,omitempty"`   // by ID
	Links    []Link   `json:"links,omitempty"`   // by the ID of the peer
	Memory   Memory   `json:"memory"`
	// Fallbacks is how many values the codec library has encoded or decoded in this
	// process, because their types have no plan; see docs/wire.md.
	Fallbacks uint64 `json:"fallbacks"`
}

// Totals count calls that are over, whatever they ended with.
type Totals struct {
	Calls   uint64  `json:"calls"`
	Failed  []Count `json:"failed,omitempty"` // of them, by the names of codes
	Latency Latency `json:"latency"`
}

// Failures is how many calls have failed.
func (t Totals) Failures() (n uint64) {
	for _, c := range t.Failed {
		n += c.N
	}
	return n
}

// Count counts something that has a name.
type Count struct {
	Name string `json:"name"`
	N    uint64 `json:"n"`
}

// Method counts the calls of one.
type Method struct {
	Service  string `json:"service"` // Other, with an empty Method, for the rest
	Method   string `json:"method"`
	UnderWay int    `json:"underWay"`
	Totals
}

// Peer counts the calls with one.
type Peer struct {
	ID       string `json:"id"` // or Other
	UnderWay int    `json:"underWay"`
	Denied   uint64 `json:"denied"`  // by authorization
	Refused  uint64 `json:"refused"` // for another reason
	Totals
}

// Link is what calls with a peer run on: its sessions of one transport, or its streams of
// single calls.
type Link struct {
	Peer      string        `json:"peer"`      // or Other, with nothing else but numbers
	Protocol  string        `json:"protocol"`  // of the streams
	Transport string        `json:"transport"` // libp2p's word: "tcp", "quic-v1", "webtransport" ...
	Session   bool          `json:"session"`
	Relayed   bool          `json:"relayed"`
	Count     int           `json:"count"` // how many there are
	Age       time.Duration `json:"age"`   // of the oldest
	UnderWay  int           `json:"underWay"`
	Places    int           `json:"places,omitempty"`  // how many calls sessions may have at once
	Waiting   int           `json:"waiting,omitempty"` // calls of a client that wait for a place
	In        uint64        `json:"in"`                // bytes received
	Out       uint64        `json:"out"`               // bytes sent
}

// Places are those of a server: for calls that are allowed, of all peers and of each.
type Places struct {
	Used    int `json:"used"`
	Most    int `json:"most"`    // Limits.Calls
	PerPeer int `json:"perPeer"` // Limits.CallsPerPeer
}

// Call is one that is under way.
type Call struct {
	Peer      string        `json:"peer"`
	Service   string        `json:"service"` // as in a Method
	Method    string        `json:"method"`
	Streaming bool          `json:"streaming,omitempty"`
	Age       time.Duration `json:"age"`
	Attempt   int           `json:"attempt,omitempty"` // of a client, from 0
	Phase     string        `json:"phase,omitempty"`
	In        uint64        `json:"in"`  // bytes received of it
	Out       uint64        `json:"out"` // bytes sent
}

// Phases of a client's call, beside the empty one: with its peer.
const (
	Connecting = "connecting" // it waits for a connection, or for a session or stream
	Pausing    = "pausing"    // before the next attempt
)

// Memory is what calls hold.
type Memory struct {
	Reserved int64 `json:"reserved"` // bytes reserved with libp2p's resource manager
	Lent     int64 `json:"lent"`     // bytes beyond those
	Waiting  int   `json:"waiting"`  // messages that wait for memory
	Decoded  int64 `json:"decoded"`  // bytes that decoded messages hold (Limits.DecodedPerPeer)
}

// Reasons of refusals, beside the names of limits that were met, such as
// "Limits.CallsPerPeer" and "MethodConfig.Rate", and of codes.
const (
	Denied       = "denied" // by authorization
	NoMethod     = "no such method"
	BadRequest   = "bad request" // a wrong kind of call, argument or header
	ShuttingDown = "shutting down"
)
