package forms_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/forms"
)

// Amount is of another package, which has an encoding of its own for all of its types.
type Amount struct{ cents uint64 }

func (a *Amount) AppendLedger(b []byte) []byte { return binary.AppendUvarint(b, a.cents) }

func (a *Amount) ReadLedger(b []byte) error {
	n, read := binary.Uvarint(b)
	if read != len(b) {
		return errors.New("no amount")
	}
	a.cents = n
	return nil
}

// ledger is what its types have in common.
type ledger interface {
	AppendLedger([]byte) []byte
	ReadLedger([]byte) error
}

func init() {
	forms.Register(
		func(b []byte, v ledger) ([]byte, error) { return v.AppendLedger(b), nil },
		func(b []byte, v ledger) error { return v.ReadLedger(b) },
	)
}

var double = rpc.NewMethod[Amount, Amount]("Ledger", "Double")

func ExampleRegister() {
	a, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	defer a.Close()
	b, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	defer b.Close()
	server := rpc.NewServer(b, "/ledger/1.0")
	defer server.Close()
	_ = double.Handle(server, func(_ context.Context, a Amount) (Amount, error) { return Amount{2 * a.cents}, nil })

	ctx := context.Background()
	_ = a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()})
	client := rpc.NewClient(a, "/ledger/1.0")
	defer client.Close()
	got, err := double.Call(ctx, client, b.ID(), Amount{21})
	fmt.Println(got.cents, err)
	// Output: 42 <nil>
}
