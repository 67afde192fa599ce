package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/libp2p/go-libp2p"
	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"
)

type liar struct{}

// Receive ends early, with a checksum.
func (liar) Receive(ctx context.Context, chunks <-chan []byte, told chan<- Status) error {
	<-chunks
	told <- Status{1, make([]byte, sha256.Size)}
	return nil
}

func TestEarlyEnd(t *testing.T) {
	a, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	defer a.Close()
	s := rpc.NewServer(a, protocol)
	defer s.Close()
	if err := s.RegisterName("Files", liar{}); err != nil {
		t.Fatal(err)
	}
	b, _ := libp2p.New(libp2p.NoListenAddrs)
	defer b.Close()
	if err := b.Connect(t.Context(), peer.AddrInfo{ID: a.ID(), Addrs: a.Addrs()}); err != nil {
		t.Fatal(err)
	}
	c := rpc.NewClient(b, protocol)
	defer c.Close()
	f := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(f, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		err := send(t.Context(), io.Discard, c, a.ID(), f, 1<<20)
		if err == nil {
			t.Fatal("mismatch is taken")
		}
		t.Log(err)
	}
}
