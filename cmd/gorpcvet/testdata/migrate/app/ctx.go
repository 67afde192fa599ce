package app

import (
	"context"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type server struct{}

func (server) Get(ctx context.Context, name string, pin *Pin) error { return nil }

func (server) Put(ctx context.Context, pin *Pin, _ *struct{}) error { return nil }

func serve(s *rpc.Server) error { return s.RegisterName("Pins", server{}) }

type component struct{ client *rpc.Client }

func (k *component) get(ctx context.Context, dest peer.ID) (pin Pin, err error) {
	err = k.client.CallContext(ctx, dest, "Pins", "Get", "a", &pin)
	return
}
