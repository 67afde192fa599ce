package watch_test

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/libp2p/go-libp2p/core/host"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/watch"
)

var changes = rpc.NewServerStream[string, string]("Store", "Changes")

// twoHosts returns two hosts that are connected.
func twoHosts() (a, b host.Host, done func()) {
	network, err := mocknet.FullMeshConnected(2)
	if err != nil {
		panic(err)
	}
	return network.Hosts()[0], network.Hosts()[1], func() { _ = network.Close() }
}

// A watch goes on with the next server when the one before has shut down.
func ExampleKeep() {
	a, b, done := twoHosts()
	defer done()
	serve := func(change string) *rpc.Server {
		server := rpc.NewServer(b, "/store/1.0")
		err := changes.Handle(server, func(ctx context.Context, prefix string, out *rpc.Sender[string]) error {
			if err := out.Send(ctx, prefix+change); err != nil {
				return err
			}
			select {
			case <-watch.Stopping(ctx):
				return watch.ErrStopping
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil {
			panic(err)
		}
		return server
	}
	server := serve("1")
	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()

	ctx := context.Background()
	open := func(ctx context.Context) iter.Seq2[string, error] { return changes.Call(ctx, client, b.ID(), "a/") }
	for change, err := range watch.Keep(ctx, open) {
		var interrupted *watch.Interrupted
		switch {
		case errors.As(err, &interrupted): // ask for what has changed meanwhile
			fmt.Println("interrupted:", rpc.CodeOf(interrupted.Err) == rpc.CodeOf(watch.ErrStopping))
		case err != nil:
			fmt.Println(err)
			return
		case change == "a/1":
			fmt.Println(change)
			if err := server.Shutdown(ctx); err != nil { // ends when the method has returned
				fmt.Println(err)
			}
			server = serve("2")
		default:
			fmt.Println(change)
			_ = server.Close()
			return
		}
	}
	// Output:
	// a/1
	// interrupted: true
	// a/2
}

// What becomes of a receiver that is too slow is the method's choice.
func ExampleQueue() {
	a, b, done := twoHosts()
	defer done()
	server := rpc.NewServer(b, "/store/1.0")
	defer server.Close()
	err := changes.Handle(server, func(ctx context.Context, slow string, out *rpc.Sender[string]) error {
		queue := watch.NewQueue[string](2, map[string]watch.Slow{
			"wait": watch.Wait, "drop": watch.DropOldest, "end": watch.End,
		}[slow])
		add := func() {
			for _, change := range []string{"1", "2", "3"} {
				if !queue.Add(ctx, change) {
					return // nobody watches any more
				}
			}
			queue.Close(nil)
		}
		if slow == "wait" {
			go add()
		} else {
			add()
		}
		err := queue.Serve(ctx, out)
		if n := queue.Dropped(); n > 0 {
			err = rpc.SetTrailer(ctx, rpc.Metadata{"dropped": fmt.Sprint(n)})
		}
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClient(a, "/store/1.0")
	defer client.Close()
	for _, slow := range []string{"wait", "drop", "end"} {
		var trailer rpc.Metadata
		for change, err := range changes.Call(context.Background(), client, b.ID(), slow, rpc.CallReplyMetadata(nil, &trailer)) {
			fmt.Println(slow, change, rpc.CodeOf(err))
		}
		if trailer != nil {
			fmt.Println(slow, "dropped", trailer["dropped"])
		}
	}
	// Output:
	// wait 1 OK
	// wait 2 OK
	// wait 3 OK
	// drop 2 OK
	// drop 3 OK
	// drop dropped 1
	// end  ResourceExhausted
}
