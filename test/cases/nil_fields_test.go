package cases_test

import (
	"context"
	"math/big"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type hooked struct {
	N    int
	Big  *big.Int
	Hook func()
	Wake chan int
	Err  error
}

type hookeds struct{}

func (hookeds) Get(_ context.Context, in hooked, out *hooked) error { *out = in; return nil }

// Fields that are nil lose nothing: a v0.6 program that carries such a type
// goes on working.
func TestNilFields(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p")
	if err := server.RegisterName("S", hookeds{}); err != nil {
		t.Fatal(err)
	}
	var out hooked
	err := rpc.NewClient(hosts[1], "/p").Call(hosts[0].ID(), "S", "Get", hooked{N: 1}, &out)
	if err != nil || out.N != 1 {
		t.Errorf("%d, %v", out.N, err)
	}
}
