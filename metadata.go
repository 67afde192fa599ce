package rpc

import (
	"context"
	"maps"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/local"
)

// Metadata is what a caller sends along with a request: names and values that
// are about the call rather than arguments of it, such as a trace's ID. Keys
// are compared byte by byte.
type Metadata map[string]string

type outgoingMetadata struct{}

// ContextWithMetadata returns a context whose calls carry md, in place of
// what ctx carried before. md is not copied: leave it alone afterwards.
//
// [OutgoingMetadata] returns what ctx carries, to add to it.
//
// Metadata goes one step: a method that wants to pass on what it was sent says
// so, with ContextWithMetadata(ctx, MetadataFromContext(ctx)). A v0.6 server
// ignores it. More than [Limits].MetadataSize bytes make the call fail with
// [codes.ResourceExhausted].
func ContextWithMetadata(ctx context.Context, md Metadata) context.Context {
	return context.WithValue(ctx, outgoingMetadata{}, md)
}

// MetadataFromContext returns a copy of the metadata that came with the call
// which a method, or a server's interceptor, is serving; nil if none did.
func MetadataFromContext(ctx context.Context) Metadata {
	if s := servedOf(ctx); s != nil {
		return maps.Clone(s.received())
	}
	return nil
}

// OutgoingMetadata returns a copy of the metadata that calls with ctx carry;
// nil if there are none.
func OutgoingMetadata(ctx context.Context) Metadata { return maps.Clone(outgoing(ctx)) }

func outgoing(ctx context.Context) Metadata {
	md, _ := ctx.Value(outgoingMetadata{}).(Metadata)
	return md
}

// served is what the context of a method knows of its call.
type served interface {
	sender() peer.ID
	received() Metadata
	from() *Server
	isRemote() bool
}

type servedKey struct{}

// servedOf returns nil for a context that is not a method's.
func servedOf(ctx context.Context) served {
	s, _ := ctx.Value(servedKey{}).(served)
	return s
}

// valueOf is what the context of a method says in place of those that it is
// made from.
func valueOf(c served, key any) (v any, ok bool) {
	switch key {
	case ContextKeyRequestSender:
		return c.sender(), true
	case servedKey{}:
		return c, true
	case outgoingMetadata{}:
		return nil, true // what the caller sent is not what the method sends
	}
	return nil, false
}

// serverContext is a method's, in a remote call.
type serverContext struct {
	context.Context
	metadata Metadata
	server   *Server
	carried  call.Served
}

func (c *serverContext) sender() peer.ID    { return c.carried.Peer() }
func (c *serverContext) received() Metadata { return c.metadata }
func (c *serverContext) from() *Server      { return c.server }
func (c *serverContext) isRemote() bool     { return true }

// Done starts to look out for the caller's going.
func (c *serverContext) Done() <-chan struct{} { return c.carried.Watch(c.Context).Done() }

// Err is for methods that ask now and then rather than wait.
func (c *serverContext) Err() error { return c.carried.Watch(c.Context).Err() }

func (c *serverContext) Value(key any) any {
	if v, ok := valueOf(c, key); ok {
		return v
	}
	return c.carried.Watched(c.Context).Value(key)
}

// localContext is a method's, in a local call.
type localContext struct {
	local.Context
	server *Server
}

func (c *localContext) sender() peer.ID    { return c.server.id }
func (c *localContext) received() Metadata { return outgoing(c.Context.Context) }
func (c *localContext) from() *Server      { return c.server }
func (c *localContext) isRemote() bool     { return false }

func (c *localContext) Value(key any) any {
	if v, ok := valueOf(c, key); ok {
		return v
	}
	return c.Context.Value(key)
}
