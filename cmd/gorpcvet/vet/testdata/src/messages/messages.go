package messages

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	_ "github.com/libp2p/go-libp2p-gorpc/protorpc"
)

type kind interface{ isKind() }

type Message struct {
	state int
	Kind  kind
}

func (m *Message) ProtoReflect() any { return nil }

type Other struct {
	Kind kind // want `travels: .*field Kind is the interface messages.kind`
}

type Svc struct{}

func (Svc) Send(ctx context.Context, m *Message, r *Message) error { return nil }
func (Svc) Other(ctx context.Context, o Other, r *int) error       { return nil }

func serve(s *rpc.Server) { _ = s.Register(Svc{}) }
