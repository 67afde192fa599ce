package rpc

import (
	"context"
	"errors"
	"reflect"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multistream"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// errNoSession: the call is to be made on a stream of its own.
var errNoSession = errors.New("no session")

// clientSession is a client's side of one session.
type clientSession struct {
	mux     *mux.Client
	conn    network.Conn
	peer    peer.ID
	limited bool // over a relay
}

// maxTries is how often a call is made that is known not to have been sent.
const maxTries = 3

// call makes a unary call on a session. Where the peer has none it returns a
// stream to make the call on, or errNoSession.
func (s *clientSessions) call(ctx context.Context, call *CallInfo, body *encodedValue) (network.Stream, error) {
	c := s.client
	if msgpack.StringMapSize(outgoing(ctx)) > maxSessionHeader/2 {
		return nil, errNoSession // the header has to be in one piece
	}
	for try := 1; ; try++ {
		session, st, err := s.get(ctx, call)
		if err != nil || st != nil {
			return st, err
		}
		if call.stats != nil && try == 1 {
			call.stats.out(reflect.ValueOf(call.Args), body.head)
		}
		err = session.call(ctx, c, call, body)
		if err == nil {
			return nil, nil
		}
		if err = s.retry(session, call, err, try == maxTries); err != nil {
			return nil, err
		}
	}
}

// retry returns nil for a call that is to be made again, for it has certainly
// not been sent, and otherwise its error.
func (s *clientSessions) retry(session *clientSession, call *CallInfo, err error, last bool) error {
	var ended *mux.EndedError
	if !errors.As(err, &ended) {
		return err
	}
	if isUnserved(ended.Err) {
		// libp2p may remember what the peer served before it was restarted. It
		// has not seen the request.
		s.forget(session, true)
		return errNoSession
	}
	s.forget(session, false)
	if ended.Sent || last {
		return s.endedError(call, ended)
	}
	return nil
}

func isUnserved(err error) bool {
	var unserved multistream.ErrNotSupported[protocol.ID]
	var reset *network.StreamError
	return errors.As(err, &unserved) ||
		errors.As(err, &reset) && reset.Remote && reset.ErrorCode == network.StreamProtocolNegotiationFailed
}

func (s *clientSessions) endedError(call *CallInfo, ended *mux.EndedError) error {
	id := call.ID()
	var away *mux.GoAwayError
	switch {
	case errors.As(ended, &away) && away.Code != 0:
		return serverError(Code(away.Code), id, "%s", away.Text).notSent(!ended.Sent)
	case errors.Is(ended, errClientClosed):
		return s.client.closedError(id).notSent(!ended.Sent)
	case errors.Is(ended, mux.ErrSilent):
		return clientError(CodeUnavailable, id, "peer %v is silent: no answer to a ping, and nothing moves; Limits.SilenceTimeout (%v) sets how long it may be",
			call.Peer, s.client.limits.SilenceTimeout).broke(call.Peer).notSent(!ended.Sent)
	case isTurnedAway(ended.Err):
		return turnedAway(id, call.Peer, ended.Err)
	case ended.Sent:
		return clientError(CodeUnavailable, id, "peer %v: the session ended before the reply; the request may have been served: %w", call.Peer, ended.Err).broke(call.Peer)
	}
	return clientError(CodeUnavailable, id, "peer %v: the session ended before the request was sent: %w", call.Peer, ended.Err).broke(call.Peer).notSent(true)
}

// call makes one call.
func (s *clientSession) call(ctx context.Context, c *Client, call *CallInfo, body *encodedValue) error {
	r := newSessionRequest(ctx, call, body)
	defer r.done()
	reply, err := s.mux.Call(ctx, &r.Request)
	return s.finish(ctx, c, call, reply, err)
}

// sessionRequest is what a session carries of a call, in a buffer of the pool.
type sessionRequest struct{ mux.Request }

func newSessionRequest(ctx context.Context, call *CallInfo, body *encodedValue) (r sessionRequest) {
	h := wire.Header{Service: call.Service, Method: call.Method, Kind: wire.KindUnary, Metadata: outgoing(ctx)}
	if deadline, ok := ctx.Deadline(); ok {
		h.Timeout = max(time.Until(deadline), 1)
	}
	r.Head = wire.AppendHeader(account.NewBuffer(len(h.Service) + len(h.Method) + requestKeys)[:0], &h)
	r.Body, r.Owned, r.Code = body.head, len(r.Head)+len(body.head), codeNumber
	r.Keep = wantsBytes(call.Reply)
	if body.users != nil {
		r.Head = append(r.Head, body.head...)
		r.Body = body.users
	}
	return r
}

func codeNumber(err error) uint64 { return uint64(CodeOf(err)) }

// requestKeys is room for a header without metadata, and for the head of an
// argument, beside the two names.
const requestKeys = 48

func (r *sessionRequest) done() { account.FreeBuffer(r.Head) }

// finish ends a call that mux has carried.
func (s *clientSession) finish(ctx context.Context, c *Client, call *CallInfo, reply mux.Reply, err error) error {
	if err != nil {
		return s.explain(ctx, c, call, err)
	}
	defer reply.Release()
	b, kept := reply.Keep()
	if err = c.finish(call, b, kept); err == nil {
		return nil
	}
	return ownDeadline(ctx, call, err)
}

func (s *clientSession) explain(ctx context.Context, c *Client, call *CallInfo, err error) error {
	id := call.ID()
	var refused *mux.RefusedError
	var large *mux.TooLargeError
	switch {
	case errors.As(err, new(*mux.EndedError)):
		return err
	case ctx.Err() != nil:
		return contextError(ctx, id)
	case errors.As(err, &refused):
		return s.refused(id, refused)
	case errors.As(err, new(*mux.AbortedError)):
		return serverError(CodeInternal, id, "peer %v ended the call without a reply", s.peer)
	case errors.As(err, &large) && large.Request:
		return clientError(CodeResourceExhausted, id, "the argument is %d bytes long, and the server takes %d; Limits.MessageSize of the server sets it", large.Size, large.Max).over("Limits.MessageSize")
	}
	what := "the reply"
	if errors.As(err, new(*mux.RequestError)) {
		what = "the argument"
	}
	err = sessionError(err, id, ClientErr, what, &c.limits)
	var e *Error
	if errors.As(err, &e) && e.Code == CodeUnavailable {
		e.broke(s.peer)
	}
	return err
}

// refused is the error of a call that the server had no room for.
func (s *clientSession) refused(id ServiceID, r *mux.RefusedError) *Error {
	if Code(r.Code) == CodeUnavailable {
		return serverError(CodeUnavailable, id, "peer %v refuses the call: %s", s.peer, r.Text).over("Limits.CallsPerPeer").notSent(true)
	}
	return serverError(Code(r.Code), id, "peer %v refuses the call, for its libp2p resource manager has no memory for it: %s; %s", s.peer, r.Text, limitOfScope(r.Text)).
		over(limitOfLibp2p).notSent(true)
}

// finish reads a response, header and reply.
func (c *Client) finish(call *CallInfo, b []byte, kept bool) error {
	l := &c.limits
	var failure error
	if !msgpack.IsNil(b) {
		n, err := msgpack.First(b, responseLimits)
		if err != nil {
			return clientError(CodeInternal, call.ID(), "bad response: %w", err)
		}
		if failure, err = readFailure(call.ID(), b[:n]); err != nil {
			return err
		}
		b = b[n:]
	} else {
		b = b[1:]
	}
	values, err := msgpack.Count(b, l.message())
	err = c.setReply(call, message{b, values, kept}, err, failure)
	if err != nil && !isCallError(err) { // it is not one value
		err = clientError(CodeInternal, call.ID(), "bad response: %w", err)
	}
	return err
}
