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
