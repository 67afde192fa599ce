package rpc_test

import (
	"context"
	"errors"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var errNoSuchKey = errors.New("no such key")

var lookUp = rpc.NewMethod[string, string]("Store", "LookUp",
	rpc.CallErrors(map[string]error{"no-such-key": errNoSuchKey}))

// A method's own errors are found by errors.Is at the caller, when the method
// value declares them.
func ExampleCallErrors() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = lookUp.Handle(server, func(_ context.Context, key string) (string, error) {
		return "", fmt.Errorf("look up %q: %w", key, errNoSuchKey)
	})

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	_, err := lookUp.Call(context.Background(), client, b.ID(), "colour")
	fmt.Println(errors.Is(err, errNoSuchKey), err)
	// Output: true look up "colour": no such key
}

// What failed is told by the type of an error's cause, and whether to send the
// request again by Unsent.
func ExampleError_Unsent() {
	a, _, done := twoHosts()
	defer done()
	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()

	_, err := lookUp.Call(context.Background(), client, "nobody", "colour")
	var e *rpc.Error
	var dial *rpc.DialError
	if errors.As(err, &e) && errors.As(err, &dial) {
		fmt.Println(e.Code, "dialling", string(dial.Peer)+",", "safe to try another peer:", e.Unsent())
	}
	// Output: Unavailable dialling nobody, safe to try another peer: true
}
