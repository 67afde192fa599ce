// Package fan stands for the library's package of that name.
package fan

import (
	"context"
	"iter"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Option configures a call of many peers.
type Option interface{ ApplyFan() }

type (
	ClientStream[A, R any] struct{}
	Duplex[A, R any]       struct{}
	Results[R any]         struct{}
	Result[R any]          struct{}
)

func (c *ClientStream[A, R]) Close() error { return nil }
func (c *ClientStream[A, R]) Finish(ctx context.Context) (Results[R], error) {
	return Results[R]{}, nil
}
func (c *Duplex[A, R]) Close() error                                          { return nil }
func (c *Duplex[A, R]) All(ctx context.Context) iter.Seq2[peer.ID, Result[R]] { return nil }
