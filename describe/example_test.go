package describe_test

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	if err := changes.Err(); err != nil {
		fmt.Println(len(changes.Breaking()), "of", len(changes), "break peers of the version before")
	}
	for _, rule := range describe.Rules() {
		if rule.Name == "type" {
			fmt.Println(rule.Breaking, rule.Change)
		}
	}
	// Output:
	// false Shop.Order argument-field-added
	// true Shop.Order type
	// 1 of 2 break peers of the version before
	// true a value is written in another way than the reader takes
}

// A tool shows what it may call of a peer, and keeps it to see later what is new.
func ExamplePeer() {
	server := rpc.NewServer(nil, "/shop/1.0", rpc.WithDescriptions(true),
		rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{Timeout: time.Minute}))
	defer server.Close()
	order := rpc.NewMethod[orderV1, int]("Shop", "Order")
	_ = order.Handle(server, func(context.Context, orderV1) (int, error) { return 0, nil })
	client := rpc.NewClientWithServer(nil, "/shop/1.0", server) // in one process, for the example
	defer client.Close()

	now, err := describe.Peer(context.Background(), client, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	show := func(s describe.Service) {
		for _, m := range s.Methods {
			fmt.Println(s.Name, method(m))
		}
	}
	for _, s := range now.Services {
		show(s)
	}
	if m, ok := now.Method(order.ID()); ok {
		fields(now.Types[m.Args])
	}
	kept, err := describe.Read(now.JSON())
	fmt.Println(err, kept.Hash() == now.Hash())
	// Output:
	// Shop Order, unary, for 1m0s
	// ID is a int
	// Lines is a []struct { Item string; Quantity string }
	// <nil> true
}

func limits(l describe.Limits) string { return fmt.Sprint("for ", l.Timeout) }

func method(m describe.OfferedMethod) string {
	return fmt.Sprint(m.Name, ", ", m.Kind, ", ", limits(m.Limits))
}

func fields(t describe.Type) {
	show := func(f describe.Field) { fmt.Println(f.Name, "is a", f.Type) }
	for _, f := range t.Fields {
		show(f)
	}
}
