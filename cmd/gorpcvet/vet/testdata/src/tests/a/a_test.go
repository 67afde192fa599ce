package a

import (
	"context"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type svc struct{}

func (svc) Get(ctx context.Context, a string, r *int) error { return nil }

func TestA(t *testing.T) {
	var s *rpc.Server
	var c *rpc.Client
	_ = s.RegisterName("Svc", svc{})
	var n int
	_ = c.Call("", "Svc", "Get", "a", &n)
	_ = c.Call("", "Svc", "Get", 1, &n) // want `argument: Svc.Get: the argument is a int here`
	_ = c.Call("", "Svc", "Missing", 1, &n)
	_ = c.Call("", "Missing", "Missing", 1, &n)
}
