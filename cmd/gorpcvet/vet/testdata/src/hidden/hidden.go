// Package hidden registers under names that do not show.
package hidden

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Pins struct{}

func (Pins) Get(ctx context.Context, a string, r *int) error { return nil }

func register(s *rpc.Server, name string, rcvr any) error {
	return s.RegisterName("node."+name, rcvr)
}

func registerTwice(s *rpc.Server, rcvr any) error {
	if err := s.RegisterName("A", rcvr); err != nil {
		return err
	}
	return s.RegisterName("B", rcvr)
}

func serve(s *rpc.Server) error {
	if err := s.Register(Pins{}); err != nil {
		return err
	}
	if err := registerTwice(s, Pins{}); err != nil {
		return err
	}
	return register(s, "Pins", Pins{})
}

func call(c *rpc.Client) {
	var n int
	_ = c.Call("", "node.Pins", "Get", "a", &n)
	_ = c.Call("", "A", "Get", "a", &n)
	_ = c.Call("", "B", "Get", "a", &n)
	_ = c.Call("", "Pins", "Get", 7, &n) // want `argument: Pins.Get`
}
