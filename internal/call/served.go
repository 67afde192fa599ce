package call

import (
	"context"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Server is what carriers hand the calls of other peers to.
type Server interface {
	// Serve serves a call whose header has been read, and has told the caller when it
	// returns nil. stream is nil for a carrier of unary calls only.
	Serve(ctx context.Context, h *wire.Header, s Served, stream Stream) error
	// Refuse tells the caller of an error that came before Serve, or from it.
	Refuse(s Served, err error)
	// Full is the error of a call for which its peer had no place.
	Full() error
}

// Served is a carrier's side of one call that is served.
type Served interface {
	// Peer is the caller.
	Peer() peer.ID
	// Tally says whose call it is, how long the request, and what else the call runs on.
	Tally(*tally.Call)
	// Argument waits for the argument of a unary call, which meets the limits l. With
	// keep its bytes may stay the receiver's, as the message says; else they are valid
	// until Taken. The errors are faults, ErrNilArgument and ErrNoArgument.
	Argument(ctx context.Context, l *Limits, keep bool) (codec.Message, error)
	// Taken says that the argument is decoded.
	Taken()
	// Form is how the reply is written.
	Form() codec.Form
	// Buffer returns the buffer that an answer is appended to, and gives to Send. Items
	// may be in it already.
	Buffer() []byte
	// Returns reports whether the metadata that a method sends back reaches the caller.
	Returns() bool
	// OK returns the header of a reply without an error; named is the one that
	// names the method.
	OK(named []byte) []byte
	// Send sends the answer, of two parts in a row: the last that is sent. After a
	// fault nothing was sent, and there may be another Send.
	Send(head, body []byte) error
	// Watch returns ctx, the method's, or a context made from it, that ends when the
	// caller has gone. Watching begins with the first time.
	Watch(ctx context.Context) context.Context
	// Watched is Watch that begins nothing.
	Watched(ctx context.Context) context.Context
	// Cancel ends the method's context, a wait for the argument, and the sending of a
	// stream's replies, because of cause.
	// It may be called at any time, and by anybody.
	Cancel(cause error)
}

// Stream is a carrier's side of a streaming call that is served. Watching for the
// caller's going is part of reading: somebody reads, except where a method, or an
// interceptor before it, takes no argument.
type Stream interface {
	// Expect says that the call is a streaming one, which nobody reads yet.
	Expect()
	// Begin says that somebody reads from now on.
	Begin()
	// Ends returns where the arguments come from, and where the replies go to.
	Ends(*Items) (flow.Source, flow.Sink)
	// Patient returns to, or a sink that watches for the caller's going while it waits
	// for to.
	Patient(to flow.LateSink) flow.Sink
	// Await waits for a, b, or the end of ctx or of the call.
	Await(ctx context.Context, a, b <-chan struct{})
	// Gone waits, after the last argument, until the method has returned, or for a
	// sign that the caller has gone, which is its error.
	Gone(returned <-chan struct{}) error
	// StopWriting ends the sending of replies to a caller that is gone.
	StopWriting()
	// AwaitDeadline waits for the deadline of ctx, if err says that the caller has
	// gone because of the same deadline.
	AwaitDeadline(ctx context.Context, err error)
	// Header sends a response's header that stands alone, now or with the first reply.
	// Nothing else is sent meanwhile.
	Header(response []byte, now bool) error
	// Finish ends the replies of a call that has no error, with a response's header
	// that stands alone, if there is one.
	Finish(response []byte) error
}

// Direct is a Stream that does without pumps: where its argument is there when the
// method is called, and replies are sent by whoever makes them.
type Direct interface {
	Stream
	// Only returns the argument of a call whose arguments are all there, if it is one.
	// Then nobody reads any more, and the sink of Ends may be used by several at
	// once: what is put is sent soon. item, if it is valid, is to be taken in any case.
	Only(from flow.Source) (item flow.Item, only bool, err error)
	// Room waits until a Put does not wait, or ctx ends.
	Room(ctx context.Context) error
}

// Items is what a stream has to know of a method, to decode its arguments and to
// send its replies.
type Items struct {
	Limits      *Limits                    // of the method
	Fresh       func() flow.Item           // makes what an argument is decoded into
	Undecodable func([]byte, error) *Fault // the fault of an argument that does not decode
	Holds       *account.Holding           // of what arguments take, decoded
	OK          []byte                     // the header before each reply
	Observer    flow.Observer              // nil: nobody
}

// StoppingKey is the key under which a method's context has a <-chan struct{} that is
// closed when its server shuts down.
type StoppingKey struct{}

// Errors of Served.Argument.
var (
	ErrNilArgument = errors.New("the argument is nil")
	ErrNoArgument  = errors.New("there is no argument")
)

// Why the context of a method that is served has ended.
var (
	ErrServerClosed = errors.New("the server was closed")
	ErrCallerGone   = fmt.Errorf("the caller is gone: %w", context.Canceled)
)
