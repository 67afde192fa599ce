// Package session carries the calls of one client and one server on one stream
// (docs/session.md). A request is a header, and the argument. A reply is a header, nil
// where there is no error, and the reply. A streaming call is bytes both ways, which
// internal/stream makes of its items.
package session

import (
	"context"
	"errors"
	"math"
	"sync"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/live"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// MaxMetadata is how many bytes of metadata a request may have: its header has to
// be in the first piece.
const MaxMetadata = mux.FirstPiece / 2

// muxLimits are those of a session.
func muxLimits(l *call.Limits) mux.Limits {
	response := l.Response().Bytes
	return mux.Limits{
		Calls: l.CallsPerPeer, Message: min(l.MessageSize, math.MaxInt32-response) + response,
		Silence: l.SilenceTimeout, Progress: l.ProgressTimeout, Idle: l.IdleTimeout, Queue: l.QueueTimeout,
	}
}

// Session is a client's side of one session.
type Session struct {
	pool    *Pool
	mux     *mux.Client
	st      network.Stream
	tally   *tally.Peer
	peer    peer.ID
	limited bool // over a relay

	left sync.Once

	scope account.Memory // what streaming calls hold is of it
	share account.Share
}

// Next is what is to become of a call.
type Next uint8

// What there is.
const (
	Over      Next = iota // it has its answer, or its error
	Again                 // it was not sent, and can be made on another session
	Elsewhere             // it was not sent, and the peer has no sessions
)

// leave closes the connection of a session that is silent, so that no call is made on it
// any more.
func (s *Session) leave() { s.left.Do(func() { live.Leave(s.st.Conn()) }) }

// Carry makes a call. The last try returns the error that others leave to the next.
func (s *Session) Carry(ctx context.Context, c *call.Call, last bool) (Next, error) {
	c.Conn = s.st.Conn()
	c.Live.With(s.tally)
	if c.Kind == wire.KindStreaming {
		return s.stream(ctx, c, last)
	}
	r := newRequest(ctx, c)
	defer r.done()
	reply, err := s.mux.Call(ctx, &r.Request)
	return s.finish(ctx, c, reply, err, last)
}

// Start is Carry for a call that nobody waits for: done is called once, in a
// goroutine that is made for it.
func (s *Session) Start(ctx context.Context, c *call.Call, done func(Next, error)) {
	c.Conn = s.st.Conn()
	c.Live.With(s.tally)
	r := newRequest(ctx, c)
	s.mux.Start(ctx, &r.Request, func(reply mux.Reply, err error) {
		next := Over
		call.Outcome(call.OfClient, func() (got error) {
			next, got = s.finish(ctx, c, reply, err, false)
			return got
		}, func(err error) {
			r.done()
			done(next, err)
		})
	})
}

// request is what a session carries of a call, in a buffer of the pool.
type request struct{ mux.Request }

func newRequest(ctx context.Context, c *call.Call) (r request) {
	h := c.Header(ctx)
	r.Head = wire.AppendHeader(account.NewBuffer(len(h.Service) + len(h.Method) + requestKeys)[:0], &h)
	r.Body, r.Owned, r.Code = c.Body.Head, len(r.Head)+len(c.Body.Head), codeNumber
	r.Keep, r.Deadline = codec.WantsBytes(c.Reply), deadline(ctx)
	if c.Body.User != nil {
		r.Head = append(r.Head, c.Body.Head...)
		r.Body = c.Body.User
	}
	return r
}

func deadline(ctx context.Context) (d mux.Deadline) {
	d.At, _ = ctx.Deadline()
	d.Left = wire.SetTimeout
	return d
}

func codeNumber(err error) uint64 { return uint64(call.CodeOfContext(err)) }

// requestKeys is room for a header without metadata, and for the head of an
// argument, beside the two names.
const requestKeys = 48

func (r *request) done() { account.FreeBuffer(r.Head) }

// finish ends a call that mux has carried.
func (s *Session) finish(ctx context.Context, c *call.Call, reply mux.Reply, err error, last bool) (Next, error) {
	if err != nil {
		var ended *mux.EndedError
		if errors.As(err, &ended) {
			return s.lost(c, ended, last)
		}
		return Over, s.explain(ctx, c, err)
	}
	b, kept := reply.Keep()
	err = s.read(c, b, kept)
	reply.Release()
	return Over, err
}

// read reads a response, header and reply.
func (s *Session) read(c *call.Call, b []byte, kept bool) (err error) {
	var refusal error
	if msgpack.IsNil(b) {
		b = b[1:]
	} else {
		n, err := msgpack.First(b, s.pool.Limits.Response())
		if err != nil {
			return call.Fail(call.OfClient, codes.Internal, "bad response: %w", err)
		}
		if _, refusal, err = c.ReadResponse(b[:n], s.pool.Limits); err != nil {
			return err
		}
		b = b[n:]
	}
	return s.pool.replies.Store(c, codec.Message{B: b, Form: codec.Modern, Limits: s.pool.message, Kept: kept}, nil, refusal)
}

// lost says what becomes of a call whose session has ended.
func (s *Session) lost(c *call.Call, ended *mux.EndedError, last bool) (Next, error) {
	if call.IsUnserved(ended.Err) {
		// libp2p may remember what the peer served before it was restarted. It
		// has not seen the request.
		s.pool.forget(s, true)
		return Elsewhere, nil
	}
	s.pool.forget(s, false)
	silent := errors.Is(ended.Err, mux.ErrSilent)
	if ended.Sent || last || silent && !ended.Before { // who has waited has waited long enough
		return Over, s.ended(ended)
	}
	if silent {
		s.leave()
	}
	return Again, nil
}

func (s *Session) ended(ended *mux.EndedError) error {
	var away *mux.GoAwayError
	switch {
	case errors.As(ended, &away) && away.Code != 0:
		return call.Fail(call.OfServer, codes.Code(away.Code), "%s", away.Text).NotSent(!ended.Sent)
	case errors.Is(ended, call.ErrClientClosed):
		return call.Closed().NotSent(!ended.Sent)
	case errors.Is(ended, mux.ErrSilent):
		s.leave()
		return s.pool.Limits.Silent(s.peer).NotSent(!ended.Sent)
	case call.IsTurnedAway(ended.Err):
		return call.TurnedAway(s.peer, ended.Err)
	case ended.Sent:
		return call.Broken(s.st.Conn(), "the session ended before the reply; the request may have been served: %w", ended.Err)
	}
	return call.Broken(s.st.Conn(), "the session ended before the request was sent: %w", ended.Err).NotSent(true)
}

// explain turns what mux says of a call into its error.
func (s *Session) explain(ctx context.Context, c *call.Call, err error) error {
	var refused *mux.RefusedError
	var large *mux.TooLargeError
	var full *mux.NoPlaceError
	switch {
	case call.HasEnded(ctx):
		return call.Ended(ctx).NotSent(errors.As(err, new(*mux.UnbegunError)))
	case errors.As(err, &refused):
		if c.Reply != nil {
			c.NoReply()
		}
		return s.refused(refused)
	case errors.As(err, &full):
		return call.Fail(call.OfClient, codes.ResourceExhausted, "peer %v has %d calls under way, as many as it takes at once, and this one has waited %v for its turn (Limits.QueueTimeout of the client)",
			s.peer, full.Places, s.pool.Limits.QueueTimeout).Named().LimitedBy("Limits.CallsPerPeer", "server").NotSent(true)
	case errors.As(err, new(*mux.AbortedError)):
		return call.Fail(call.OfServer, codes.Internal, "peer %v ended the call without a reply", s.peer).Named()
	case errors.As(err, &large) && large.Request:
		return call.Fail(call.OfClient, codes.ResourceExhausted, "the argument is %d bytes long, and the server takes %d", large.Size, large.Max).
			LimitedBy("Limits.MessageSize", "server")
	}
	what := "the reply"
	if errors.As(err, new(*mux.RequestError)) {
		what = "the argument"
	}
	f := messageFault(err, call.OfClient, what, s.pool.Limits)
	if f := call.FaultOf(f); f != nil && f.Code == codes.Unavailable {
		return f.Of(call.Transport)
	}
	return f
}

// refused is the fault of a call that the server had no room for.
func (s *Session) refused(r *mux.RefusedError) *call.Fault {
	if codes.Code(r.Code) == codes.Unavailable {
		return call.Fail(call.OfServer, codes.Unavailable, "peer %v refuses the call: %s", s.peer, r.Text).Named().Over("Limits.CallsPerPeer").NotSent(true)
	}
	return call.Fail(call.OfServer, codes.Code(r.Code), "peer %v refuses the call, for its libp2p resource manager has no memory for it: %s", s.peer, r.Text).
		Named().LimitedByLibp2p(call.LimitOfScope(r.Text)).NotSent(true)
}

// messageFault is the fault of a message that did not come, or is too large.
func messageFault(err error, o call.Origin, what string, l *call.Limits) error {
	switch {
	case errors.As(err, new(*mux.TooLargeError)):
		err = &msgpack.LimitError{Limit: msgpack.LimitBytes, Max: l.MessageSize}
	case errors.Is(err, mux.ErrStalled):
		err = wire.ErrStalled
	case call.RefusedMemory(err):
	case o == call.OfServer:
		return call.CallerGone(what, err)
	default:
		return call.Fail(o, codes.Unavailable, "%s: %w", what, err)
	}
	return l.Fault(err, o, what)
}
