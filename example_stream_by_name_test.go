package rpc_test

import (
	"context"
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Summer struct{}

// Sum replies with the sum so far after each number.
func (Summer) Sum(_ context.Context, numbers <-chan int, sums chan<- int) error {
	total := 0
	for n := range numbers {
		total += n
		sums <- total
	}
	return nil
}

func ExampleClient_Stream() {
	server := rpc.NewServer(nil, "/sum/1.0")
	if err := server.Register(Summer{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/sum/1.0", server)

	ctx, cancel := context.WithCancel(context.Background())
	numbers, sums := make(chan int), make(chan int)
	go func() {
		defer close(numbers)
		for i := range 3 {
			select {
			case numbers <- i + 1:
			case <-ctx.Done(): // the call is over: what is sent now is dropped
				return
			}
		}
	}()
	result := make(chan error, 1)
	go func() {
		defer cancel()
		result <- client.Stream(ctx, "", "Summer", "Sum", numbers, sums)
	}()
	for s := range sums { // closed when the call is over
		fmt.Println(s)
	}
	fmt.Println(<-result)
	// Output:
	// 1
	// 3
	// 6
	// <nil>
}
