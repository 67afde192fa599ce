package cases_test

import (
	"context"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// An array or slice that is longer than the receiver's array loses its last
// elements, an integer 1 becomes true, and a shorter one leaves the rest zero:
// no error. Locally each is refused ("the method takes ..."). docs/migrating.md
// says of a wrong type: "an error that names the method and both types, the
// same remotely".
func TestALongerArrayIsNotCutShort(t *testing.T) {
	hosts := rpctest.MemoryHosts(t, 2)
	server := rpc.NewServer(hosts[0], "/p/1")
	var got [3]int
	rpc.NewMethod[[3]int, int]("Svc", "Key").Handle(server, func(_ context.Context, k [3]int) (int, error) { got = k; return 0, nil })
	var on bool
	rpc.NewMethod[bool, int]("Svc", "Switch").Handle(server, func(_ context.Context, b bool) (int, error) { on = b; return 0, nil })
	local, remote := rpc.NewClientWithServer(hosts[0], "/p/1", server), rpc.NewClient(hosts[1], "/p/1")
	key := rpc.NewMethod[[4]int, int]("Svc", "Key") // another version's
	count := rpc.NewMethod[int, int]("Svc", "Switch")
	_, localErr := key.Call(t.Context(), local, "", [4]int{5, 6, 7, 8})
	if _, err := key.Call(t.Context(), remote, hosts[0].ID(), [4]int{5, 6, 7, 8}); err == nil {
		t.Errorf("{5, 6, 7, 8} arrives as %v (locally: %v)", got, localErr)
	}
	_, localErr = count.Call(t.Context(), local, "", 1)
	if _, err := count.Call(t.Context(), remote, hosts[0].ID(), 1); err == nil {
		t.Errorf("1 arrives as %v (locally: %v)", on, localErr)
	}
}
