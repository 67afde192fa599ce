package rpc

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
)

// startOnSession makes a call that nobody waits for on the peer's session, and
// reports false if there is none, or there is more to the call than to carry
// it: interceptors and the like go around a call, and need a goroutine.
func (c *Client) startOnSession(ctx context.Context, call *Call, args any) bool {
	if c.watched || c.options != nil || c.noSessions || c.isLocal(call.Dest) || ctx.Err() != nil || len(outgoing(ctx)) > 0 {
		return false
	}
	session := c.sessions.opened(call.Dest)
	if session == nil {
		return false
	}
	info := c.newUnary(nil, call.Dest, call.SvcID.Name, call.SvcID.Method, args, call.Reply)
	body, err := c.encode(info)
	if err != nil {
		return false // the same again, and told
	}
	request := newSessionRequest(ctx, info, &body)
	session.mux.Start(ctx, &request.Request, func(reply mux.Reply, err error) {
		err = session.finish(ctx, c, info, reply, err)
		request.done()
		body.Done()
		if errors.As(err, new(*mux.EndedError)) {
			if err = c.sessions.retry(session, info, err, false); err == nil || err == errNoSession {
				call.make(ctx, c, args)
				return
			}
		}
		call.finish(plainContextError(info.told(err)))
	})
	return true
}

// opened returns the peer's session, if there is one that every call may use.
func (s *clientSessions) opened(id peer.ID) *clientSession {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.peers[id].session(); c != nil && !c.limited {
		return c
	}
	return nil
}
