package cases_test

import (
	"bytes"
	"context"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/describe"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type money struct{ cents int }

type half struct{ n int } // written in a form of its own, and not read

func (h half) MarshalBinary() ([]byte, error) { return []byte{byte(h.n)}, nil }

type invoice[T any] struct {
	To     string
	Amount T
}

func sends[T any](t *testing.T, name string, v T, same func(a, b T) bool) {
	t.Run(name, func(t *testing.T) {
		hosts := rpctest.MemoryHosts(t, 2)
		server := rpc.NewServer(hosts[0], "/p", rpc.WithDescriptions(true))
		method := rpc.NewMethod[*invoice[T], *invoice[T]]("S", "M")
		if err := method.Handle(server, func(_ context.Context, i *invoice[T]) (*invoice[T], error) { return i, nil }); err != nil {
			t.Fatal(err)
		}
		client := rpc.NewClient(hosts[1], "/p")
		r, err := method.Call(context.Background(), client, hosts[0].ID(), &invoice[T]{"me", v})
		if err == nil && !same(r.Amount, v) {
			t.Error("it is lost without a word")
		}
		if report, err := describe.Check(context.Background(), client, hosts[0].ID(), method); err == nil && report.Err() == nil {
			t.Error("and Check finds that it fits")
		}
	})
}

// A field of a type that shows nothing arrives, or an error names it.
func TestTypesThatHideEverything(t *testing.T) {
	sends(t, "own type", money{5}, func(a, b money) bool { return a == b })
	sends(t, "half a form", half{5}, func(a, b half) bool { return a == b })
	sends(t, "buffer", bytes.NewBufferString("x"), func(a, b *bytes.Buffer) bool { return a.String() == b.String() })
}
