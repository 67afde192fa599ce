// Package generic registers receivers of generic types.
package generic

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Pins struct{}

type Of[T any] struct{}

func (Of[T]) Get(ctx context.Context, a string, r *T) error { return nil }

func calls(s *rpc.Server, c *rpc.Client) error {
	var pins Pins
	var n int
	_ = c.Call("", "Of[int]", "Get", "a", &n)
	_ = c.Call("", "Of[generic.Pins]", "Get", "a", &pins)
	_ = c.Call("", "Of[int]", "Gett", "a", &n) // want `method: service Of\[int\] has no method Gett`
	_ = s.Register(Of[Pins]{})
	return s.Register(Of[int]{})
}
