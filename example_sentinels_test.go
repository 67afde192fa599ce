package rpc_test

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var errOutOfPaper = errors.New("out of paper")

// Printer is a receiver: there is no method value that could declare its errors.
type Printer struct{}

func (Printer) Print(_ context.Context, text string, pages *int) error {
	return fmt.Errorf("print %q: %w", text, errOutOfPaper)
}

// The errors of receivers' methods are declared for the server, and for the
// client, by the same names.
func ExampleWithServerErrors() {
	a, b, done := twoHosts()
	defer done()
	declared := map[string]error{"out-of-paper": errOutOfPaper}
	server := rpc.NewServer(b, "/printer/1.0", rpc.WithServerErrors(declared))
	defer server.Close()
	if err := server.Register(Printer{}); err != nil {
		fmt.Println(err)
		return
	}

	client := rpc.NewClient(a, "/printer/1.0", rpc.WithCallOptions(rpc.CallErrors(declared)))
	defer client.Close()
	var pages int
	err := client.Call(b.ID(), "Printer", "Print", "a letter", &pages)
	fmt.Println(errors.Is(err, errOutOfPaper), err)
	// Output: true print "a letter": out of paper
}
