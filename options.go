package rpc

import (
	"log/slog"
)

// ClientOption configures a [Client] as it is made.
type ClientOption func(*Client)

// WithClientLimits sets the limits of a client; see [Limits] for the defaults.
func WithClientLimits(l Limits) ClientOption {
	return func(c *Client) { c.given = l }
}

// WithClientSessions says whether a client carries its unary calls of one peer
// on one stream, where the peer's server does too; see docs/session.md. Default
// true. Without, every call opens a stream of its own, as in v0.6.
func WithClientSessions(on bool) ClientOption {
	return func(c *Client) { c.noSessions = !on }
}

// WithConnProtection says whether the host's connection manager spares the connections
// of peers that the client is calling: its tags do not know of calls, and it would close
// them before idle ones. Default true. A peer is spared while a call is under way, and on
// a session a moment longer. A server protects nobody: its callers could hold on to
// it as they like.
func WithConnProtection(on bool) ClientOption {
	return func(c *Client) { c.noProtect = !on }
}

// ServerOption configures a [Server] as it is made.
type ServerOption func(*Server)

// WithStreamBufferSize sets how many arguments, and how many replies, of a
// streaming call a server holds between the stream and the method's channels.
// Default 0: an item is received when the method takes it. Typed methods hold
// more than that by themselves; see [Sender.Send].
func WithStreamBufferSize(size int) ServerOption {
	return func(s *Server) { s.streamBuffer = max(size, 0) }
}

// WithServerLimits sets the limits of a server; see [Limits] for the defaults.
func WithServerLimits(l Limits) ServerOption {
	return func(s *Server) { s.given = l }
}

// WithServerLogger makes a server log to l: panics of methods, with their
// stack, at level Error, and methods that Register leaves out at level Warn.
// Default is [slog.Default].
func WithServerLogger(l *slog.Logger) ServerOption {
	return func(s *Server) { s.logger = l }
}

// WithServerSessions says whether a server takes sessions, on which many unary
// calls of one client share a stream; see docs/session.md. Default true.
// Without them every call has a stream of its own, as in v0.6.
func WithServerSessions(on bool) ServerOption {
	return func(s *Server) { s.noSessions = !on }
}
