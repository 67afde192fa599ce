package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/fan"
)

var height = rpc.NewMethod[string, int]("Chain", "Height")

// heights serves height on two hosts, and returns a client of both and their
// names.
func heights() (client *rpc.Client, peers []peer.ID, names map[peer.ID]string, done func()) {
	a, b, closeBoth := twoHosts()
	near, far := rpc.NewServer(a, "/chain/1.0"), rpc.NewServer(b, "/chain/1.0")
	err := errors.Join(
		height.Handle(near, func(context.Context, string) (int, error) { return 7, nil }),
		height.Handle(far, func(_ context.Context, chain string) (int, error) {
			if chain != "main" {
				return 0, errors.New("no such chain")
			}
			return 8, nil
		}))
	if err != nil {
		panic(err)
	}
	client = rpc.NewClientWithServer(a, "/chain/1.0", near)
	return client, []peer.ID{a.ID(), b.ID()}, map[peer.ID]string{a.ID(): "near", b.ID(): "far"}, func() {
		_ = client.Close()
		_, _ = near.Close(), far.Close()
		closeBoth()
	}
}

// Results come as they arrive, each with its peer.
func ExampleMethod_CallAll() {
	client, peers, names, done := heights()
	defer done()

	for p, result := range height.CallAll(context.Background(), client, peers, "main", rpc.CallTimeout(10*time.Second)) {
		fmt.Println(names[p], result.Value, result.Err)
	}
	// Unordered output:
	// near 7 <nil>
	// far 8 <nil>
}

// CollectAll waits for enough of the peers, here for a majority.
func ExampleMethod_CollectAll() {
	client, peers, names, done := heights()
	defer done()

	majority := fan.Quorum(len(peers)/2 + 1)
	got, err := height.CollectAll(context.Background(), client, peers, "main", majority)
	fmt.Println(len(got.Values), "replies,", err)

	got, err = height.CollectAll(context.Background(), client, peers, "test", majority)
	fmt.Println(err != nil)
	for p, err := range got.Errors {
		fmt.Println(names[p], err)
	}
	// Output:
	// 2 replies, <nil>
	// true
	// far no such chain
}

// onBoth serves a method on two hosts, and returns a client of both, which is at
// the first, and their names.
func onBoth(handle func(h host.Host, s *rpc.Server) error) (client *rpc.Client, peers []peer.ID, names map[peer.ID]string, done func()) {
	a, b, closeBoth := twoHosts()
	near, far := rpc.NewServer(a, "/words/1.0"), rpc.NewServer(b, "/words/1.0")
	if err := errors.Join(handle(a, near), handle(b, far)); err != nil {
		panic(err)
	}
	client = rpc.NewClientWithServer(a, "/words/1.0", near)
	return client, []peer.ID{a.ID(), b.ID()}, map[peer.ID]string{a.ID(): "near", b.ID(): "far"}, func() {
		_ = client.Close()
		_, _ = near.Close(), far.Close()
		closeBoth()
	}
}

// The replies of many peers come as they arrive, each with its peer. The last
// of one may be an error, which is not the others'.
func ExampleServerStream_CallAll() {
	count := rpc.NewServerStream[int, int]("Words", "Count")
	client, peers, names, done := onBoth(func(_ host.Host, s *rpc.Server) error {
		return count.Handle(s, func(ctx context.Context, to int, out *rpc.Sender[int]) error {
			for n := range to {
				if err := out.Send(ctx, n+1); err != nil {
					return err
				}
			}
			return nil
		})
	})
	defer done()

	for p, result := range count.CallAll(context.Background(), client, peers, 2, rpc.CallTimeout(10*time.Second)) {
		fmt.Println(names[p], result.Value, result.Err)
	}
	// Unordered output:
	// near 1 <nil>
	// near 2 <nil>
	// far 1 <nil>
	// far 2 <nil>
}

// What is sent once goes to many peers, and each gives its reply, or why it has
// none.
func ExampleClientStream_OpenAll() {
	join := rpc.NewClientStream[string, string]("Words", "Join")
	full := errors.New("no room")
	var first peer.ID
	client, peers, names, done := onBoth(func(h host.Host, s *rpc.Server) error {
		if first == "" {
			first = h.ID()
		}
		return join.Handle(s, func(ctx context.Context, in *rpc.Receiver[string]) (string, error) {
			if h.ID() != first {
				return "", full
			}
			var words []string
			for word, err := range in.All(ctx) {
				if err != nil {
					return "", err
				}
				words = append(words, word)
			}
			return strings.Join(words, " "), nil
		})
	})
	defer done()

	ctx := context.Background()
	call := join.OpenAll(ctx, client, peers, fan.StallTimeout(10*time.Second))
	defer call.Close()
	for _, word := range []string{"all", "at", "once"} {
		if err := call.Send(ctx, word); err != nil {
			break // nobody takes any more: Finish tells why
		}
	}
	got, err := call.Finish(ctx)
	fmt.Println("all have:", err == nil)
	for p, text := range got.Values {
		fmt.Println(names[p], text)
	}
	for p, err := range got.Errors {
		fmt.Println(names[p], err)
	}
	// Output:
	// all have: false
	// near all at once
	// far no room
}

// One sender feeds many peers. One that is slow is given up alone.
func ExampleDuplex_OpenAll() {
	a, b, done := twoHosts()
	defer done()
	lengths := rpc.NewDuplex[string, int]("Words", "Lengths")
	handle := func(ctx context.Context, in *rpc.Receiver[string], out *rpc.Sender[int]) error {
		for word, err := range in.All(ctx) {
			if err == nil {
				err = out.Send(ctx, len(word))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	near, far := rpc.NewServer(a, "/words/1.0"), rpc.NewServer(b, "/words/1.0")
	if err := errors.Join(lengths.Handle(near, handle), lengths.Handle(far, handle)); err != nil {
		fmt.Println(err)
		return
	}
	defer near.Close()
	defer far.Close()
	client := rpc.NewClientWithServer(a, "/words/1.0", near)
	defer client.Close()

	ctx := context.Background()
	call := lengths.OpenAll(ctx, client, []peer.ID{a.ID(), b.ID()}, fan.Buffer(100), fan.StallTimeout(10*time.Second))
	defer call.Close()
	go func() {
		defer call.CloseSend()
		for _, word := range []string{"one", "three"} {
			if err := call.Send(ctx, word); err != nil {
				return // All tells why
			}
		}
	}()
	total := map[peer.ID]int{}
	for p, result := range call.All(ctx) {
		if result.Err != nil {
			fmt.Println(result.Err)
			continue
		}
		total[p] += result.Value
	}
	fmt.Println(total[a.ID()], total[b.ID()])
	// Output: 8 8
}

func ExampleClient_MultiCall() {
	server := rpc.NewServer(nil, "/greeter/1.0")
	if err := server.Register(Greeter{}); err != nil {
		fmt.Println(err)
		return
	}
	client := rpc.NewClientWithServer(nil, "/greeter/1.0", server)

	dests := []peer.ID{"", ""} // the peers to call
	ctxs := make([]context.Context, len(dests))
	replies := make([]any, len(dests))
	greetings := make([]string, len(dests))
	for i := range dests {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		ctxs[i], replies[i] = ctx, &greetings[i]
	}
	errs := client.MultiCall(ctxs, dests, "Greeter", "Hello", "all", replies)
	fmt.Println(greetings, errors.Join(errs...))
	// Output: [hello all hello all] <nil>
}
