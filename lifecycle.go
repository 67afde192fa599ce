package rpc

import (
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// listen sets a handler at the server's host; [Server.Close] removes it.
func (s *Server) listen(p protocol.ID, f network.StreamHandler) {
	if s.handlers.Add(p, f) {
		s.logger.Warn("rpc: the host has another server for the protocol, which gets no more calls of other peers; close it before", "protocol", p)
	}
}

// Close ends the service at once: calls under way are cancelled and their
// streams reset, and no others are taken, remote or local. Methods that local
// clients are calling run on, under their callers' contexts. It does not wait;
// [Server.Shutdown] does. Close may be called several times, and always
// returns nil.
func (s *Server) Close() error {
	s.gate.Lock()
	s.stopHandling()
	return nil
}

// Shutdown takes no new calls, remote or local, and lets those under way
// finish. It returns nil when they have. When ctx ends before, it cancels the
// rest, as Close does, and returns the context's error.
//
// A peer that calls meanwhile gets an error with [codes.Unavailable], and so does one
// whose call on a session is cancelled. A method that runs for long hears of it:
// package watch has Stopping.
func (s *Server) Shutdown(ctx context.Context) error {
	s.streams.Leave()
	s.gate.Shut()
	s.sessions.GoAway("the server is shutting down")
	err := s.gate.Wait(ctx)
	if err == nil {
		err = s.streams.Wait(ctx)
	}
	if err == nil {
		err = s.sessions.Wait(ctx) // for the last replies to be sent
	}
	_ = s.Close()
	return err
}

func (s *Server) stopHandling() {
	s.handlers.Remove() // libp2p says better than a reset that nobody has seen a call
	s.streams.Close()
	s.sessions.Close()
}

func (s *Server) closedFault() *call.Fault {
	return call.Fail(call.OfServer, codes.Unavailable, "the server is shutting down").NotSent(true)
}

// Full is that of [call.Server].
func (k *core) Full() error {
	return call.Fail(call.OfServer, codes.ResourceExhausted, "the peer has %d calls under way, as many as one may", k.places.Most()).
		Limited("Limits.CallsPerPeer").NotSent(true)
}

// admitted lets a call in that is allowed, if there is room. Only calls that were
// authorized count: a peer that may do nothing cannot keep out those that may.
func (s *Server) admitted(next Handler) Handler {
	return func(ctx context.Context, info *CallInfo) error {
		c := info.served.remote
		if err := s.enter(c); err != nil {
			return s.unserved(ctx, info, err)
		}
		defer s.underWay.Leave(&c.entry)
		if err := c.rules.Enter(c.Peer); err != nil {
			return s.unserved(ctx, info, err)
		}
		defer c.rules.Leave(c.Peer)
		err := next(ctx, info)
		if c.dropped.Load() {
			info.Reply, err = nil, s.unserved(context.WithoutCancel(ctx), info, deniedWords(info.ID()))
		}
		return err
	}
}

// enter asks whether a call is allowed, again if [Server.Drop] came between, and lets
// it in.
func (s *Server) enter(c *remoteServed) error {
	for {
		epoch := s.underWay.Epoch()
		if !s.allows(c.Peer, c.ID()) {
			return deniedWords(c.ID())
		}
		switch s.underWay.Enter(&c.entry, epoch) {
		case admit.Entered:
			return nil
		case admit.Full:
			return call.Fail(call.OfServer, codes.ResourceExhausted, "the server has %d calls under way, as many as it takes",
				s.underWay.Most()).Limited("Limits.Calls").NotSent(true)
		}
	}
}

// Close ends the client: its calls to other peers that are under way fail
// with [codes.Unavailable], and so do all later calls. The arguments channels of
// streams that are over are no longer received from; see [Client.Stream]. Close
// closes neither the host nor the server. It may be called several times, and
// always returns nil.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.end()
	if c.remote != nil {
		c.remote.Close()
	}
	return nil
}
