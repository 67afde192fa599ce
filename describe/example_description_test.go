package describe_test

import (
	"context"
	"fmt"
	"strings"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// A server that is told to describes what a caller may call: enough to make a form of it,
// or a page of documentation.
func ExamplePeer() {
	order := rpc.NewMethod[orderV1, int]("Shop", "Order")
	server := rpc.NewServer(nil, "/shop/1.0", rpc.WithDescriptions(true),
		rpc.WithMethodConfig(order.ID(), rpc.MethodConfig{Doc: "Order sells what is on the list.", MessageSize: 4096}))
	defer server.Close()
	_ = order.Handle(server, func(context.Context, orderV1) (int, error) { return 0, nil })
	client := rpc.NewClientWithServer(nil, "/shop/1.0", server) // in one process, for the example
	defer client.Close()

	d, err := describe.Peer(context.Background(), client, "")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, service := range d.Services {
		printService(d, service)
	}
	// Output:
	// Shop.Order: Order sells what is on the list.
	//   4096 bytes at most
	//   ID: int of 64 bits
	//   Lines: list
}

func printService(d describe.Description, s describe.Service) {
	for _, m := range s.Methods {
		printMethod(s.Name, m, d.Types[m.Args])
	}
	if m, ok := d.Method(rpc.ServiceID{Name: s.Name, Method: "Order"}); ok {
		printLimits(m.Limits)
	}
	for _, f := range d.Types["describe_test.orderV1"].Fields {
		printField(f, d.Types[f.Type])
	}
}

func printMethod(service string, m describe.OfferedMethod, _ describe.Type) {
	fmt.Printf("%s.%s: %s\n", service, m.Name, m.Doc)
}

func printLimits(l describe.Limits) { fmt.Println("  " + fmt.Sprint(l.MessageSize) + " bytes at most") }

func printField(f describe.Field, t describe.Type) {
	fmt.Printf("  %s: %s", f.Name, t.Kind)
	if t.Bits > 0 {
		fmt.Printf(" of %d bits", t.Bits)
	}
	fmt.Println()
}

// A description is kept as JSON, as rpctest.Snapshot does, to be compared with that of a
// later version. Equal ones have one hash.
func ExampleRead() {
	server := rpc.NewServer(nil, "/shop/1.0")
	defer server.Close()
	_ = rpc.NewMethod[int, bool]("Shop", "Cancel").Handle(server, func(context.Context, int) (bool, error) { return true, nil })

	file := describe.Server(server).JSON()
	d, err := describe.Read(file)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(len(d.Hash()), d.Hash() == describe.Server(server).Hash())
	// Output: 64 true
}

// What a server describes can be kept, and compared with a later version.
func ExampleCompare() {
	old, now := rpc.NewServer(nil, "/shop/1.0"), rpc.NewServer(nil, "/shop/1.0")
	defer old.Close()
	defer now.Close()
	_ = rpc.NewMethod[orderV1, int]("Shop", "Order").Handle(old,
		func(context.Context, orderV1) (int, error) { return 0, nil })
	_ = rpc.NewMethod[orderV2, int]("Shop", "Order").Handle(now,
		func(context.Context, orderV2) (int, error) { return 0, nil })

	changes, err := describe.Compare(describe.Server(old), describe.Server(now))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, c := range changes {
		printChange(c)
	}
	if err := changes.Err(); err != nil {
		fmt.Println("do not release:", len(changes.Breaking()), "of", len(changes))
	}
	// Output:
	// Shop.Order argument-field-added: they do not send it: it is zero
	// Shop.Order type: calls fail with InvalidArgument, or replies do not decode
	// do not release: 1 of 2
}

// printChange tells of a change what its rule says of peers of the version before.
func printChange(c describe.Change) {
	for _, r := range describe.Rules() {
		if then := thenOf(r, c); then != "" {
			fmt.Println(c.Method, then)
		}
	}
}

func thenOf(r describe.Rule, c describe.Change) string {
	if r.Name != c.Rule {
		return ""
	}
	return strings.Join([]string{r.Name, r.Then}, ": ")
}
