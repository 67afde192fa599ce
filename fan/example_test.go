package fan_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	mocknet "github.com/libp2p/go-libp2p/p2p/net/mock"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
)

// item is what the examples' replicas store.
type item struct{ Key, Value string }

var (
	get = rpc.NewMethod[string, item]("Store", "Get")
	put = rpc.NewMethod[item, struct{}]("Store", "Put")
)

// store is five replicas, and a client of them. The last takes a while to store
// anything.
type store struct {
	client   *rpc.Client
	replicas []peer.ID
	name     map[peer.ID]string
	release  chan struct{} // of the slow one
	close    func()
}

func newStore() *store {
	network, err := mocknet.FullMeshConnected(6)
	if err != nil {
		panic(err)
	}
	hosts := network.Hosts()
	s := &store{
		client: rpc.NewClient(hosts[0], "/store/1.0"), name: make(map[peer.ID]string),
		release: make(chan struct{}), close: func() { _ = network.Close() },
	}
	for i, h := range hosts[1:] {
		server := rpc.NewServer(h, "/store/1.0")
		err := errors.Join(
			get.Handle(server, func(_ context.Context, key string) (item, error) {
				if key == "name" {
					return item{key, "Ada"}, nil
				}
				return item{}, &rpc.Error{Code: codes.NotFound, Message: "there is no " + key}
			}),
			put.Handle(server, func(ctx context.Context, _ item) (none struct{}, err error) {
				if i == 4 {
					select {
					case <-s.release:
					case <-ctx.Done():
						return none, ctx.Err()
					}
				}
				return none, nil
			}))
		if err != nil {
			panic(err)
		}
		s.replicas = append(s.replicas, h.ID())
		s.name[h.ID()] = fmt.Sprint("replica ", i+1)
	}
	return s
}

// A write is answered when a majority has it. The slow replica gets it, too, and
// the results tell what became of it there.
func ExampleWriteQuorum() {
	s := newStore()
	defer s.close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer s.client.Close()
	got, err := put.CollectAll(ctx, s.client, s.replicas, item{"color", "red"}, fan.WriteQuorum(4), rpc.CallTimeout(time.Minute))
	cancel() // no matter: the write has been answered
	fmt.Println(len(got.Values), "have it:", err)
	for _, replica := range got.Going {
		fmt.Println(s.name[replica], "is still at it")
	}

	close(s.release)
	for replica, result := range got.Rest(context.Background()) {
		fmt.Println(s.name[replica], "is done:", result.Err)
	}
	// Output:
	// 4 have it: <nil>
	// replica 5 is still at it
	// replica 5 is done: <nil>
}

// A write whose caller waits for a second, and which goes on all the same.
func ExampleDetached() {
	s := newStore()
	defer s.close()
	defer s.client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	got, err := put.CollectAll(ctx, s.client, s.replicas, item{"color", "red"}, fan.WriteQuorum(5), fan.Detached(true))
	fmt.Println(len(got.Values), "have it,", len(got.Going), "is still at it:", errors.Is(err, context.DeadlineExceeded))

	close(s.release)
	for replica, result := range got.Rest(context.Background()) {
		fmt.Println(s.name[replica], "is done:", result.Err)
	}
	// Output:
	// 4 have it, 1 is still at it: true
	// replica 5 is done: <nil>
}

// A read asks as many as have to agree. That there is no such item is an answer.
func ExampleAnswers() {
	s := newStore()
	defer s.close()
	defer s.client.Close()
	notFound := fan.Answers(func(err error) bool { return rpc.CodeOf(err) == codes.NotFound })
	got, err := get.CollectAll(context.Background(), s.client, s.replicas, "color", fan.Quorum(3), notFound)
	fmt.Println(len(got.Errors) >= 3, err)
	// Output: true <nil>
}

// A read of one replica after the other, until one has answered. The results name
// those that were cancelled, for the others were enough, and those that were not
// called.
func ExampleFirst() {
	s := newStore()
	defer s.close()
	defer s.client.Close()
	got, err := get.CollectAll(context.Background(), s.client, s.replicas, "name", fan.First(1), fan.InFlight(1))
	fmt.Println(len(got.Values), "answered:", err)
	fmt.Println("others:", len(got.Cancelled)+len(got.NotCalled))
	// Output:
	// 1 answered: <nil>
	// others: 4
}

// Every call option is an option of calls of many peers.
func ExampleOption() {
	s := newStore()
	defer s.close()
	defer s.client.Close()
	careful := []fan.Option{fan.InFlight(2), rpc.CallTimeout(time.Second), rpc.CallIdempotent(true)}
	got, err := get.CollectAll(context.Background(), s.client, s.replicas, "color", careful...)
	fmt.Println(len(got.Errors), err != nil)
	// Output: 5 true
}
