package rpc_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A package that both ends import declares the methods.
var hello = rpc.NewMethod[string, string]("Greeter", "Hello")

func ExampleMethod() {
	a, b, done := twoHosts()
	defer done()

	server := rpc.NewServer(b, "/greeter/1.0")
	defer server.Close()
	err := hello.Handle(server, func(ctx context.Context, name string) (string, error) {
		return "hello " + name, nil
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	client := rpc.NewClient(a, "/greeter/1.0")
	defer client.Close()
	greeting, err := hello.Call(context.Background(), client, b.ID(), "Ada")
	fmt.Println(greeting, err)
	// Output: hello Ada <nil>
}

// A typed method calls what a receiver serves, and what it serves is called by
// its names.
func ExampleMethod_Call_receiver() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	greeting, err := hello.Call(context.Background(), client, "", "Ada")
	fmt.Println(greeting, err)
	_, err = hello.Call(context.Background(), client, "", "")
	fmt.Println(rpc.CodeOf(err), err)
	// Output:
	// hello Ada <nil>
	// InvalidArgument a name is needed
}

// Ledger is a receiver on its way to typed methods: Add is still one of its
// methods, and Total is not any more.
type Ledger struct{ entries []int }

func (l *Ledger) Add(_ context.Context, n int, count *int) error {
	l.entries = append(l.entries, n)
	*count = len(l.entries)
	return nil
}

func (l *Ledger) total(context.Context, struct{}) (int, error) {
	sum := 0
	for _, n := range l.entries {
		sum += n
	}
	return sum, nil
}

var (
	add   = rpc.NewMethod[int, int]("Ledger", "Add")
	total = rpc.NewMethod[struct{}, int]("Ledger", "Total")
)

// Methods of a receiver and typed ones are of one service, and calls of both
// kinds live side by side.
func ExampleMethod_sideBySide() {
	server := rpc.NewServer(nil, "/ledger/1.0")
	ledger := new(Ledger)
	if err := server.Register(ledger); err != nil {
		fmt.Println(err)
		return
	}
	if err := total.Handle(server, ledger.total); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/ledger/1.0", server)
	ctx := context.Background()

	var count, sum int
	err := client.CallContext(ctx, "", "Ledger", "Add", 40, &count) // as before
	fmt.Println(count, err)
	count, err = add.Call(ctx, client, "", 2) // the same method
	fmt.Println(count, err)
	sum, err = total.Call(ctx, client, "", struct{}{})
	fmt.Println(sum, err)
	err = client.CallContext(ctx, "", "Ledger", "Total", struct{}{}, &sum) // a program not moved yet
	fmt.Println(sum, err)
	// Output:
	// 1 <nil>
	// 2 <nil>
	// 42 <nil>
	// 42 <nil>
}
