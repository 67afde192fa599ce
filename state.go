package rpc

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// WithLocalCallsCounted says whether a server counts the calls of its own process, for
// State: how many, how they ended, and how long they took. Default false, for that takes
// longer than such a call.
func WithLocalCallsCounted(on bool) ServerOption {
	return func(s *Server) { s.countsLocal = on }
}

// State returns what the server is doing and what it has done so far, for people who want
// to know what is wrong; see package state. It takes some time, and holds up calls for
// little of it.
func (s *Server) State() state.Server {
	var live []tally.Live
	s.underWay.Each(func(r *remoteServed) {
		live = append(live, tally.Live{Call: &r.tally, Peer: r.Peer, ID: tally.ID(r.ID()), Streaming: r.Kind == Streaming})
	})
	st := state.Server{Side: s.tally.State(live), ShuttingDown: s.gate.IsShut()}
	if s.handlers != nil {
		st.Peer, st.Protocol = s.id.String(), string(s.protocol)
	}
	st.Places = state.Places{Used: len(live), Most: s.limits.Calls, PerPeer: s.limits.CallsPerPeer}
	sum := s.tally.Links()
	s.streams.Links(sum)
	s.sessions.Links(sum)
	st.Links, st.Memory, st.Fallbacks = sum.All(), tally.Memory(s.memory, &s.decoded), codec.Fallbacks()
	if s.countsLocal {
		t := s.ofLocal.State()
		st.Local = &t
	}
	return st
}

// State is that of [Server.State]: of the client's calls of other peers.
func (c *Client) State() state.Client {
	var live []tally.Live
	c.underWay.Each(func(k *clientCall) { // which may be another's when it is over
		live = append(live, tally.Live{Call: k.tally.Copy(), Peer: k.Peer, ID: tally.ID(k.ID()), Streaming: k.Kind == Streaming})
	})
	st := state.Client{Side: c.tally.State(live), Closed: c.closed.Load()}
	if c.remote != nil {
		st.Peer, st.Protocol = c.id.String(), string(c.protocol)
		c.remote.State(&st)
	}
	return st
}

// counted counts err as the reason why a call of another peer is refused, and returns it.
func (s *Server) counted(r *remoteServed, err error) error {
	if r != nil {
		s.tally.Refuse(r.tally.Peer(), r.Peer, call.Reason(err))
	}
	return err
}

// countedLocal counts the calls of this process.
func (s *Server) countedLocal(next Handler) Handler {
	return func(ctx context.Context, info *CallInfo) error {
		c, code := new(tally.Call), codes.Internal
		s.tally.Begin(c, &s.ofLocal)
		defer func() { s.tally.EndLocal(c, code) }()
		err := next(ctx, info)
		code = CodeOf(err)
		return err
	}
}

// doCounted is do of a call of another peer.
func (c *Client) doCounted(ctx context.Context, k *clientCall) error {
	returned, err := false, error(nil)
	c.tally.Begin(&k.tally, c.tally.Methods.Of(tally.ID(k.ID())))
	k.entry.Call, k.remote.Live = k, &k.tally
	c.underWay.Enter(&k.entry, 0)
	defer func() {
		if err != call.ErrPending {
			c.finish(k, err, returned)
		}
	}()
	err = c.do(ctx, k)
	returned = true
	return err
}

// finish counts the end of a call. returned is false if the call's goroutine ends.
func (c *Client) finish(k *clientCall, err error, returned bool) {
	c.underWay.Leave(&k.entry)
	code := CodeOf(err)
	if !returned {
		code = codes.Internal
	}
	c.tally.End(&k.tally, k.Peer, code)
	if err != nil {
		c.countRefusal(k, err)
	}
}

// countRefusal counts err if the server has refused the call by it.
func (c *Client) countRefusal(k *clientCall, err error) {
	var e *Error
	if !errors.As(err, &e) {
		return
	}
	if e.kind == AuthorizationErr || e.kind == ServerErr {
		limit := new(LimitError)
		_ = errors.As(err, &limit)
		c.tally.Refuse(k.tally.Peer(), k.Peer, call.ReasonOf(e.kind == AuthorizationErr, limit.Limit, e.Code))
	}
}
