package encoded

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/forms"
)

type shaped interface {
	AppendShape(b []byte) ([]byte, error)
	ReadShape(b []byte) error
}

func init() {
	forms.Register(
		func(b []byte, v shaped) ([]byte, error) { return v.AppendShape(b) },
		func(b []byte, v shaped) error { return v.ReadShape(b) },
	)
}

type Circle struct{ radius int }

func (c *Circle) AppendShape(b []byte) ([]byte, error) { return b, nil }
func (c *Circle) ReadShape(b []byte) error             { return nil }

type Half struct{ radius int }

func (h *Half) AppendShape(b []byte) ([]byte, error) { return b, nil }

type Beside struct {
	Circle
	Name string // want `travels: .*field Name is beside an embedded encoded.Circle, whose form is that of the whole struct`
}

type Svc struct{}

func (Svc) Draw(ctx context.Context, c *Circle, r *map[string]Circle) error { return nil }
func (Svc) Half(ctx context.Context, h Half, r *int) error                  { return nil }
func (Svc) Name(ctx context.Context, b Beside, r *int) error                { return nil }

func serve(s *rpc.Server) {
	_ = s.Register(Svc{}) // want `travels: .*of encoded.Half, it is a encoded.Half, which has no exported fields`
}
