package policy_test

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/policy"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var (
	version = rpc.NewMethod[struct{}, string]("Node", "Version")
	unpin   = rpc.NewMethod[string, struct{}]("Pins", "Unpin")
	purge   = rpc.NewMethod[struct{}, int]("Pins", "Purge")
)

// Rules say who may call what, and their report whether a method was
// forgotten.
func ExampleRules() {
	members := map[peer.ID]bool{"a member": true}
	rules := policy.Rules{
		version.ID():   policy.Everyone(),
		{Name: "Pins"}: policy.Trusted(func(p peer.ID) bool { return members[p] }),
		purge.ID():     policy.Nobody(), // only in this process
	}
	server := rpc.NewServer(nil, "/node/1.0", policy.With(rules))
	defer server.Close()
	_ = version.Handle(server, func(context.Context, struct{}) (string, error) { return "1.0", nil })
	_ = unpin.Handle(server, func(context.Context, string) (struct{}, error) { return struct{}{}, nil })
	_ = purge.Handle(server, func(context.Context, struct{}) (int, error) { return 0, nil })

	report := rules.Report(server)
	fmt.Print(report)
	fmt.Println("forgotten:", report.Err())
	// Output:
	// Node.Version: everyone
	// Pins.Purge: nobody
	// Pins.Unpin: trusted peers
	// forgotten: <nil>
}

// Rules are tested without a server: whom a method's rule lets in.
func ExampleRules_Authorize() {
	admins := policy.Peers("an admin", "another admin")
	rules := policy.Rules{unpin.ID(): admins}
	fmt.Println(rules.Authorize("an admin", "Pins", "Unpin"), rules.Authorize("a stranger", "Pins", "Unpin"))
	fmt.Println(admins.Allows("another admin"), rules.Authorize("an admin", "Pins", "Purge"))
	// Output:
	// true false
	// true false
}

// A program that starts with a method that has no rule, or a rule without a method,
// has a mistake in one of them.
func ExampleReport() {
	rules := policy.Rules{version.ID(): policy.Everyone(), unpin.ID(): policy.Nobody()}
	server := rpc.NewServer(nil, "/node/1.0", policy.With(rules))
	defer server.Close()
	_ = version.Handle(server, func(context.Context, struct{}) (string, error) { return "1.0", nil })
	_ = purge.Handle(server, func(context.Context, struct{}) (int, error) { return 0, nil })
	report := rules.Report(server)
	for _, m := range report.Methods {
		fmt.Println(m.Method, m.Rule, "stated:", m.Stated)
	}
	fmt.Println("unused:", report.Unused)
	// Output:
	// Node.Version everyone stated: true
	// Pins.Purge nobody stated: false
	// unused: [Pins.Unpin]
}
