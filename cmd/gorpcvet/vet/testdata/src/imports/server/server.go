package server // want package:"serves Pins.Get, Clock.Now; calls "

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Pins struct{}

func (Pins) Get(ctx context.Context, a string, r *int) error { return nil }

func Serve(s *rpc.Server) error { return s.Register(Pins{}) }

var Now = rpc.NewMethod[string, int]("Clock", "Now")
