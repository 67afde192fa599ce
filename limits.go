package rpc

import (
	"time"
)

// MaxServiceIDLength is the longest "Service.Method" in bytes, v0.6's figure.
// Register leaves out methods over it, and a server refuses a request that
// names one.
const MaxServiceIDLength = 256

// Limits bounds what a peer can make a [Server] or a [Client] do. In every
// field 0 is the default and a negative number lifts the limit, except where
// the field says otherwise.
//
// What exceeds a limit gets an error that names the field
// ([codes.ResourceExhausted], or [codes.DeadlineExceeded] for a time), and is not
// read further. The limits hold between processes: local calls meet only
// those of the caller's context.
//
// Beside these libp2p's resource manager has its own, and what the library
// buffers is reserved with it, under the service name [ServiceName]. Its
// defaults give one protocol 16 MiB a peer and some 75 streams: a program
// that sends larger messages, or more at once, raises those too.
type Limits struct {
	// MessageSize is the most bytes of one argument or reply, as encoded.
	// Default 16 MiB. It holds for what is sent and for what is received.
	MessageSize int
	// MessageValues is the most values (numbers, strings, containers ...) in
	// one received message. Default 262,144. What a message takes when it is
	// decoded is bounded too, to four times MessageSize, or 1 MiB.
	MessageValues int
	// MessageDepth is how deep maps and arrays may nest in a received
	// message. Default 64; at most 1,000, which a negative number means too,
	// because decoding recurses.
	MessageDepth int
	// MetadataSize is the most bytes of the metadata of a request, and of the header
	// and of the trailer that a method sends back: names and
	// values, and 10 for each pair.
	// Default 8 KiB. Negative: none is accepted.
	MetadataSize int

	// HeaderTimeout is how long a peer may take from opening a stream to the
	// end of the request's header. Default 10 s.
	HeaderTimeout time.Duration
	// ProgressTimeout is how long the other side may send or take nothing of
	// a value that is under way. It does not bound the time between the items
	// of a streaming call, nor how long a method runs. Default 30 s.
	ProgressTimeout time.Duration

	// SilenceTimeout is how long a peer with which a client has calls under
	// way may be frozen, its connection alive or not, before they fail with
	// [codes.Unavailable]. While calls wait and nothing comes from the peer, the
	// client pings it several times in this time: on the session, and for calls
	// on streams of their own by libp2p's ping protocol. A server's sessions
	// have the same limit. Default 15 s.
	SilenceTimeout time.Duration

	// IdleTimeout is how long a session, which unary calls of one client and one
	// server share, stays open without any. Default 5 min.
	IdleTimeout time.Duration
	// QueueTimeout is how long a call on a session waits for a place under the server's
	// CallsPerPeer before it fails, unsent ([Client.Waiting]). Default 30 s.
	QueueTimeout time.Duration

	// CallsPerPeer is how many calls a server has at once for one peer, from
	// the opening of the stream until the method has returned and its reply
	// is sent. Default 1,024.
	CallsPerPeer int
	// Calls is how many authorized calls a server has at once for all peers
	// together. Default 16,384.
	Calls int

	// DecodedPerPeer is the most bytes that the messages of one peer may take in
	// memory once they are decoded. In a server an argument counts until the
	// method has returned, and an item of a stream until the method takes it; in
	// a client a reply while it is decoded, and an item of a typed stream until it
	// is received. What takes no more than 16 KiB does not count. Default 128 MiB,
	// or four times MessageSize, if that is more.
	DecodedPerPeer int
}
