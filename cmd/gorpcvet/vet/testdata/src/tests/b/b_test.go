// Package b_test has a service of the same name as another package's tests.
package b_test

import (
	"context"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type svc struct{}

func (svc) Get(ctx context.Context, a int, r *string) error { return nil }

func TestB(t *testing.T) {
	var s *rpc.Server
	var c *rpc.Client
	_ = s.RegisterName("Svc", svc{})
	var text string
	_ = c.Call("", "Svc", "Get", 1, &text)
}
