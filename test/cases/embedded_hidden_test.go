package cases_test

import (
	"context"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type common struct{ X int }

type record struct {
	*common // unexported: neither written nor read
	Own     string
}

// What an embedded pointer to an unexported type holds arrives, or an error names
// it.
func TestEmbeddedPointerOfAnUnexportedType(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p")
	method := rpc.NewMethod[record, record]("S", "M")
	if err := method.Handle(server, func(_ context.Context, r record) (record, error) { return r, nil }); err != nil {
		t.Fatal(err)
	}
	client := rpc.NewClient(hosts[1], "/p")
	r, err := method.Call(context.Background(), client, hosts[0].ID(), record{&common{5}, "own"})
	if err == nil && (r.common == nil || r.X != 5) {
		t.Errorf("X is lost without a word: %+v", r)
	}
}
