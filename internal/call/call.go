package call

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Call is a client's call of another peer, ready to be carried.
type Call struct {
	ID       ID
	Peer     peer.ID
	Conn     network.Conn // which carries it; nil: none yet
	Metadata map[string]string
	Back     *Back             // has what the method sends back; nil: nobody asks
	Observer flow.Observer     // nil: nobody
	Live     *tally.Call       // what is counted of it
	Told     func(error) error // renders an error of a call that waits for a connection
	Kind     wire.Kind
	Wait     bool // for a connection, until there is one
	NoArg    bool // the argument of a unary call is nil
	Answered bool // Reply holds what the server answered
	Begun    bool // some of a streaming call's arguments may be gone

	// Of a unary call.
	Args    any           // what the caller passed, for the observer
	Encoded *Encoded      // Args, if they are encoded already
	Body    codec.Encoded // the argument, encoded
	Reply   any           // points to the caller's reply

	*Transfer         // of a streaming call
	Carried   Carried // what a carrier has of it between attempts; nil: nothing is gone

	// Done makes the call one that nobody waits for: a carrier that returns ErrPending
	// calls it once, with the error of the call.
	Done func(error)
}

// Transfer is what a streaming call has beside. A struct of its own keeps that of unary
// calls small, of which a busy client makes many.
type Transfer struct {
	In    flow.Source      // the arguments
	Out   flow.Sink        // the replies
	Fresh func() flow.Item // makes what a reply is decoded into, for Out
	Item  reflect.Type     // of the caller's replies
	Moved int64            // bytes, both ways, of a call that had its own stream and is over
}

// LongTransfer is how many bytes a streaming call moves that is better off on a stream of
// its own, within LongTransferTime.
const (
	LongTransfer     = 1 << 20
	LongTransferTime = 10 * time.Second
)

// Carried is a call that can be carried on as it is, and not otherwise.
type Carried interface {
	// Strand ends the call, which nobody carries on, because of err.
	Strand(err error)
}

// Encoded is an argument that is encoded once for many destinations.
type Encoded struct {
	Value any
	Bytes []byte
	Err   error
}

// ErrPending is no error: a call's Done is told of its end.
var ErrPending = errors.New("rpc: the call is under way")

// Header returns the header of the call's request. The context's deadline becomes
// a relative timeout.
func (c *Call) Header(ctx context.Context) wire.Header {
	h := wire.Header{Service: c.ID.Name, Method: c.ID.Method, Kind: c.Kind, Metadata: c.Metadata}
	h.Begun = c.Kind == wire.KindStreaming && c.Back.Asks()
	if deadline, ok := ctx.Deadline(); ok {
		h.Timeout = max(time.Until(deadline), 1)
	}
	return h
}

// Sent tells the observer of the argument.
func (c *Call) Sent() {
	if c.Observer != nil {
		c.Observer.Out(reflect.ValueOf(c.Args), c.Body.Head)
	}
}

// NoArgument stands for an argument that is nil, for the server to say what the
// method takes. It is no msgpack value.
var NoArgument = []byte{wire.StreamEnd}

// NoReply makes the caller's reply zero: the server has answered without one.
func (c *Call) NoReply() {
	c.Answered = true
	reflect.ValueOf(c.Reply).Elem().SetZero()
}

// Refusal is an answer of the server that tells an error.
type Refusal struct{ wire.Response }

func (r *Refusal) Error() string { return r.Response.Error }

// ReadResponse reads a response's header, and stores the metadata that it has. It
// returns the refusal that it tells, if any; err is of a header that is none, or has too
// much metadata.
func (c *Call) ReadResponse(b []byte, l *Limits) (resp wire.Response, refusal, err error) {
	resp, err = wire.ParseResponse(b)
	if err != nil {
		return resp, nil, Fail(OfClient, codes.Internal, "bad response: %w", err)
	}
	for _, md := range [...]map[string]string{resp.Header, resp.Trailer} {
		if size := msgpack.StringMapSize(md); size > l.MetadataSize {
			return resp, nil, Fail(OfClient, codes.ResourceExhausted, "the method sends metadata of %d bytes back, and %d may be", size, l.MetadataSize).
				LimitedBy("Limits.MetadataSize", "client")
		}
	}
	if resp.Header != nil {
		c.Back.PutHeader(resp.Header)
	}
	if resp.Trailer != nil {
		c.Back.PutTrailer(resp.Trailer)
	}
	if resp.Error != "" {
		refusal = &Refusal{resp}
	}
	return resp, refusal, nil
}

// Replies decodes what a client is answered.
type Replies struct {
	Limits  *Limits
	Decoded *account.Decoded
}

// Store decodes the reply that came, beside a refusal or none, into a new value
// that replaces the caller's; or err came in place of it. A refusal without a
// reply is an answer, too, and its reply is zero.
func (r *Replies) Store(c *Call, m codec.Message, err, refusal error) error {
	switch {
	case refusal != nil && (err != nil || msgpack.IsNil(m.B)):
		c.NoReply()
		return refusal
	case err != nil:
		return r.Limits.Fault(err, OfClient, "the reply")
	}
	err = r.Decoded.While(string(c.Peer), func(h *account.Holding) error {
		return codec.DecodeReply(m, c.Reply, r.Limits.MostDecoded(), h)
	})
	switch {
	case err == nil:
		c.Answered = true
	case refusal == nil:
		return r.Limits.Undecodable(m.B, reflect.TypeOf(c.Reply), err)
	case errors.As(err, new(*codec.MalformedError)):
		c.NoReply()
		return refusal
	}
	if c.Observer != nil {
		c.Observer.In(reflect.ValueOf(c.Reply), m.B)
	}
	return refusal
}

// Undecodable is the fault of a reply that does not decode into what a pointer of
// the type points to.
func (l *Limits) Undecodable(b []byte, into reflect.Type, err error) *Fault {
	var part *codec.PartError
	var field *codec.MisfitError
	var bad *codec.MalformedError
	switch {
	case errors.As(err, &bad):
		if f := FaultOf(l.Fault(bad.Cause, OfClient, "the reply")); f != nil {
			return f
		}
		return Fail(OfClient, codes.Internal, "bad response: %w", err)
	case errors.Is(err, codec.ErrExpands):
		return Fail(OfClient, codes.ResourceExhausted, "the reply: %w", err).Over("Limits.MessageSize")
	case errors.As(err, new(*account.DecodedError)):
		return Fail(OfClient, codes.ResourceExhausted, "the reply: %w", err).Over("Limits.DecodedPerPeer")
	case errors.As(err, &part):
		return Fail(OfClient, codes.InvalidArgument, "the reply's %w", err)
	case errors.As(err, &field) && field.Field != "":
		return Fail(OfClient, codes.InvalidArgument, "the reply does not decode into a %v: %w", into, err)
	}
	return WrongReply(msgpack.Describe(b), into).Because(err)
}

// WrongReply is the fault of a method whose reply does not fit the caller's
// pointer.
func WrongReply(replies string, into reflect.Type) *Fault {
	f := Fail(OfClient, codes.InvalidArgument, "the method replies with %s", replies)
	f.Advice, f.Into = PassPointer, into.String()
	return f
}
