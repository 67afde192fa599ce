package describe_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// The server's program, of a later version.
type orderV2 struct {
	ID    int64
	Lines []struct {
		Item     string
		Quantity int
	}
	Currency string // new
}

// The client's.
type orderV1 struct {
	ID    int
	Lines []struct {
		Item     string
		Quantity string // should be a number
	}
}

// A client can ask a server whether the two agree on the methods that it will
// call.
func ExampleCheck() {
	server := rpc.NewServer(nil, "/shop/1.0", rpc.WithDescriptions(true))
	defer server.Close()
	_ = rpc.NewMethod[orderV2, int]("Shop", "Order").Handle(server,
		func(context.Context, orderV2) (int, error) { return 0, nil })

	client := rpc.NewClientWithServer(nil, "/shop/1.0", server) // in one process, for the example
	defer client.Close()
	order := rpc.NewMethod[orderV1, int]("Shop", "Order")
	cancel := rpc.NewMethod[int, bool]("Shop", "Cancel")
	report, err := describe.Check(context.Background(), client, "", order, cancel)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(report)
	// Output:
	// Shop.Order: problem: argument.Lines[].Quantity: this side sends string, and the server takes int (a number)
	// Shop.Order: note: argument: this side does not send Currency, which the server has: it stays zero
	// Shop.Cancel: problem: the server's service has no method of this name
}

// What a server describes can be kept, and compared with a later version.
func ExampleCompare() {
	old, now := rpc.NewServer(nil, "/shop/1.0"), rpc.NewServer(nil, "/shop/1.0")
	defer old.Close()
	defer now.Close()
	_ = rpc.NewMethod[orderV1, int]("Shop", "Order").Handle(old,
		func(context.Context, orderV1) (int, error) { return 0, nil })
	_ = rpc.NewMethod[orderV2, int]("Shop", "Order").Handle(now,
		func(context.Context, orderV2) (int, error) { return 0, nil })

	changes, err := describe.Compare(describe.Server(old), describe.Server(now))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range changes {
		fmt.Println(c.Breaking, c.Method, c.Rule)
	}
	// Output:
	// false Shop.Order argument-field-added
	// true Shop.Order type
}
