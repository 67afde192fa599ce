package rpc

import (
	"context"
	"maps"

	"github.com/libp2p/go-libp2p/core/peer"
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
// [CodeResourceExhausted].
func ContextWithMetadata(ctx context.Context, md Metadata) context.Context {
	return context.WithValue(ctx, outgoingMetadata{}, md)
}

// MetadataFromContext returns a copy of the metadata that came with the call
// which a method, or a server's interceptor, is serving; nil if none did.
func MetadataFromContext(ctx context.Context) Metadata {
	if c, ok := ctx.Value(serverContextKey{}).(*serverContext); ok {
		return maps.Clone(c.metadata)
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

type serverContextKey struct{}

// serverContext is the context of one call as a method sees it: the sender
// and the metadata in one allocation.
type serverContext struct {
	context.Context
	sender   peer.ID
	metadata Metadata
	server   *Server
	remote   remoteCall // nil if it is local
}

// Done starts to look out for the caller's going.
func (c *serverContext) Done() <-chan struct{} { return c.watched().Done() }

// Err is for methods that ask now and then rather than wait.
func (c *serverContext) Err() error { return c.watched().Err() }

func (c *serverContext) watched() context.Context {
	if c.remote != nil {
		return c.remote.watched(c.Context)
	}
	return c.Context
}

func (c *serverContext) Value(key any) any {
	switch key {
	case ContextKeyRequestSender:
		return c.sender
	case serverContextKey{}:
		return c
	case outgoingMetadata{}:
		return nil // what the caller sent is not what the method sends
	}
	if call, ok := c.remote.(*serverCall); ok {
		return call.made(c.Context).Value(key)
	}
	return c.Context.Value(key)
}
