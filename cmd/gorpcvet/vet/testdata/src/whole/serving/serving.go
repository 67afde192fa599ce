// Package serving registers what package calling calls: neither imports the other.
package serving

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"

	"whole/api"
)

type PinServer struct{}

func (PinServer) Get(ctx context.Context, name string, pin *api.Pin) error { return nil }

func (PinServer) Put(ctx context.Context, pin *api.Pin, _ *struct{}) error { return nil }

func (PinServer) Count(ctx context.Context, of string, n *int64) error { return nil }

func (PinServer) Hash(ctx context.Context, of []byte, sum *[]byte) error { return nil }

func (PinServer) Find(ctx context.Context, text string, found *string) error { return nil }

func (PinServer) Any(ctx context.Context, v any, out *any) error { return nil }

func (PinServer) List(ctx context.Context, in <-chan string, out chan<- api.Pin) error { return nil }

func serve(s *rpc.Server) error {
	if err := s.RegisterName(api.Pins, PinServer{}); err != nil {
		return err
	}
	return s.RegisterFunc("Clock", "Now", now)
}

func now(ctx context.Context, zone string, hour *int) error { return nil }
