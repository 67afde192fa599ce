package rpc

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
)

// GetRequestSender returns the peer whose call ctx, a method's context, is
// serving. libp2p has authenticated it. For a local call it is the server's
// own ID. It is an error if ctx is no method's context.
func GetRequestSender(ctx context.Context) (peer.ID, error) {
	p, ok := ctx.Value(ContextKeyRequestSender).(peer.ID)
	if !ok {
		return "", fmt.Errorf("rpc: this context is not that of a method, and has no request sender")
	}
	return p, nil
}

// WithAuthorizeFunc makes a server ask f before it serves a remote call: true
// lets the caller's call of that method go on. Without this option every peer
// may call every method. Local calls are not asked about.
//
// f is asked once a call ([Server.Drop] asks again), with the names as the peer sent them, whether such a
// method exists or not, and before the arguments are read: a peer that is
// refused learns nothing about which methods there are. It gets an error of
// kind [AuthorizationErr] and code [codes.PermissionDenied]. f is called by
// several goroutines at once.
func WithAuthorizeFunc(f func(caller peer.ID, svc, method string) bool) ServerOption {
	return func(s *Server) { s.authorize = f }
}

// allows asks the service's own rule, and the server's function.
func (s *Server) allows(p peer.ID, id ServiceID) bool {
	return s.guards.Allow(p, id.Name) && (s.authorize == nil || s.authorize(p, id.Name, id.Method))
}

// Drop asks for every call of p that is under way, unary and streaming, whether it is
// still allowed ([WithAuthorizeFunc]), and ends those that are not: the method's
// context ends, nothing more is sent or received, and when the method has returned
// its caller gets [codes.PermissionDenied]. What is still allowed goes on. Call Drop
// when rules have changed; it does not wait, and later calls are asked about anyway.
func (s *Server) Drop(p peer.ID) {
	for _, c := range s.underWay.Changed() {
		if c.Peer == p && !s.allows(p, c.ID()) {
			c.dropped.Store(true)
			c.carried.Cancel(rendered(c.ID(), deniedWords(c.ID())))
		}
	}
}
