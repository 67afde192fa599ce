package fixes

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"
)

type Pins struct{}

func (*Pins) Get(ctx context.Context, a string, r *int) error { return nil }

var chat = rpc.NewDuplex[int, int]("Pins", "Chat")

func serve(s *rpc.Server) error {
	s.Register(Pins{}) // want `dropped: ` `leftout: `
	return nil
}

func call(ctx context.Context, c *rpc.Client, dest peer.ID) {
	var n int
	_ = c.Call(dest, "Pins", "Gett", "a", &n)                         // want `method: `
	_ = c.Call(dest, "Pinz", "Get", "a", &n)                          // want `service: `
	_ = c.Call(dest, "Pins", "Get", "a", n)                           // want `reply: `
	_ = c.Go(dest, "Pins", "Get", "a", &n, make(chan *rpc.Call))      // want `done: `
	_ = c.Go(dest, "Pins", "Get", "a", &n, make(chan *rpc.Call, 1-1)) // want `done: `
	talk := chat.Open(ctx, c, dest)                                   // want `openstream: `
	_ = talk.Send(ctx, 1)
}
