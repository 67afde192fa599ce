package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
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

// A peer may make one call a minute. The next says how long to wait, and a call with
// CallRetry would wait by itself.
func ExampleError_RetryAfter() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0",
		rpc.WithMethodConfig(lookUp.ID(), rpc.MethodConfig{Rate: 1. / 60}))
	defer server.Close()
	_ = lookUp.Handle(server, func(_ context.Context, key string) (string, error) { return "blue", nil })

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	for range 2 {
		colour, err := lookUp.Call(context.Background(), client, b.ID(), "colour")
		var e *rpc.Error
		if errors.As(err, &e) {
			fmt.Println(e.Code, e.Unsent(), e.RetryAfter().Round(time.Minute))
			continue
		}
		fmt.Println(colour)
	}
	// Output:
	// blue
	// ResourceExhausted true 1m0s
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

func ExampleError() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)
	var greeting string
	err := client.Call("", "Greeter", "Hello", "", &greeting)
	fmt.Println(rpc.CodeOf(err), err)
	err = client.Call("", "Greeter", "Goodbye", "Ada", &greeting)
	fmt.Println(rpc.CodeOf(err), err)
	err = client.Call("", "Greeter", "Hello", 7, &greeting)
	fmt.Println(rpc.CodeOf(err), err)
	// Output:
	// InvalidArgument a name is needed
	// Unimplemented rpc: can't find method Goodbye (Greeter.Goodbye)
	// InvalidArgument rpc: Greeter.Hello: the method takes string, not int; pass a value of that type
}

// The text of a cause travels, as the method wrote it, and the cause itself does
// not: it is the method's own affair.
func ExampleErrorf() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = lookUp.Handle(server, func(_ context.Context, key string) (string, error) {
		return "", rpc.Errorf(codes.Unavailable, "look up %q: %w", key, io.ErrUnexpectedEOF)
	})

	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	_, err := lookUp.Call(context.Background(), client, b.ID(), "colour")
	fmt.Println(rpc.CodeOf(err), err, errors.Is(err, io.ErrUnexpectedEOF))
	// Output: Unavailable look up "colour": unexpected EOF false
}

// side says for a metric on which side a call has failed.
func side(err error) string {
	var e *rpc.Error
	if !errors.As(err, &e) {
		return "method"
	}
	switch e.Type() {
	case rpc.ServerErr:
		return "server"
	case rpc.ClientErr:
		return "client"
	case rpc.AuthorizationErr:
		return "denied"
	case rpc.NonRPCErr:
	}
	return "method"
}

func ExampleErrorType() {
	server := rpc.NewServer(nil, "/store/1.0")
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/store/1.0", server)
	defer client.Close()
	_, err := lookUp.Call(context.Background(), client, "", "colour")
	fmt.Println(side(err), side(errors.New("no such key")))
	// Output: server method
}

// A connection breaks while a call is under way: the method may have run.
func ExampleTransportError() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	_ = lookUp.Handle(server, func(ctx context.Context, key string) (string, error) {
		_ = b.Network().ClosePeer(a.ID())
		return "blue", nil
	})
	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	_, err := lookUp.Call(context.Background(), client, b.ID(), "colour")
	var broke *rpc.TransportError
	var e *rpc.Error
	if errors.As(err, &broke) && errors.As(err, &e) {
		fmt.Println(broke.Peer == b.ID(), e.Code, "safe to send again:", e.Unsent())
	}
	// Output: true Unavailable safe to send again: false
}
