package describe_test

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/policy"
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

// A deployment stops before its calls fail. The server says who may ask by a rule of
// the service.
func ExampleReport_Err() {
	size := rpc.NewMethod[string, int]("Store", "Size")
	rules := policy.Rules{
		size.ID():                    policy.Everyone(),
		{Name: describe.ServiceName}: policy.Everyone(),
	}
	server := rpc.NewServer(nil, "/store/1.0", rpc.WithDescriptions(true), policy.With(rules))
	defer server.Close()
	_ = size.Handle(server, func(context.Context, string) (int, error) { return 0, nil })
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()

	report, err := describe.Check(context.Background(), client, "", size)
	if err := errors.Join(err, report.Err()); err != nil {
		fmt.Println("do not deploy:", err)
		return
	}
	for _, checked := range report.Methods {
		printNotes(checked)
	}
	// Output: Store.Size fits, with 0 notes
}

func printNotes(m describe.CheckedMethod) { fmt.Println(m.Method, "fits, with", len(m.Notes), "notes") }
