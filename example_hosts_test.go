package rpc_test

import (
	"context"
	"errors"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// twoHosts returns two connected hosts, and what closes them.
func twoHosts() (a, b host.Host, closeBoth func()) {
	listen := libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")
	a, errA := libp2p.New(listen)
	b, errB := libp2p.New(listen)
	if err := errors.Join(errA, errB); err != nil {
		panic(err)
	}
	if err := a.Connect(context.Background(), peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
		panic(err)
	}
	return a, b, func() {
		_ = a.Close()
		_ = b.Close()
	}
}
