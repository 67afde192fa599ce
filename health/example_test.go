package health_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/health"
)

func Example() {
	server := rpc.NewServer(nil, "/example/1.0") // in a program: a host
	defer server.Close()
	services, err := health.New(server)
	if err != nil {
		panic(err)
	}
	services.SetCheck("Store", 0, func(context.Context) error { return nil }) // in a program: is the disk there?
	services.Set("Index", health.NotServing, "it is being built")

	client := rpc.NewClientWithServer(nil, "/example/1.0", server)
	for _, service := range []string{"", "Store", "Index"} {
		r, err := health.Check(context.Background(), client, "", service) // in a program: a peer ID
		fmt.Printf("%q is %s %s %v\n", service, r.Status, r.Why, err)
	}
	// Output:
	// "" is serving  <nil>
	// "Store" is serving  <nil>
	// "Index" is not serving it is being built <nil>
}

// A peer waits until another can do its work.
func ExampleWatch() {
	server := rpc.NewServer(nil, "/example/1.0") // in a program: a host
	defer server.Close()
	services, err := health.New(server)
	if err != nil {
		panic(err)
	}
	client := rpc.NewClientWithServer(nil, "/example/1.0", server)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	for r, err := range health.Watch(ctx, client, "", "Index") { // in a program: a peer ID
		if err != nil {
			fmt.Println(err) // the peer cannot be reached, or was restarted: the loop goes on
			continue
		}
		fmt.Println(r.Status)
		if r.Status == health.Unknown {
			services.Set("Index", health.Serving, "")
			continue
		}
		break
	}
	own, err := services.Of(ctx, "Index")
	fmt.Println(own.Status, err, health.ServiceName)
	// Output:
	// unknown
	// serving
	// serving <nil> rpc.Health
}
