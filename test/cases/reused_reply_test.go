package cases_test

import (
	"context"
	"fmt"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type answer struct {
	M map[string]int
	S string `codec:",omitempty"`
	B []byte
	L []int
	P *int
}

func number(i int) *int { return &i }

var answers = []answer{
	{map[string]int{"a": 1}, "x", []byte("AAAA"), []int{1, 2, 3}, number(1)},
	{map[string]int{"b": 2}, "", []byte("BB"), []int{9}, number(2)},
}

type polled struct{}

func (polled) Get(_ context.Context, i int, r *answer) error { *r = answers[i]; return nil }

func show(a answer) string { return fmt.Sprint(a.M, a.S, " ", string(a.B), a.L, *a.P) }

// A second call with the same variable: it has the second answer and nothing
// else, and what was copied of the first stays.
func TestReusedReply(t *testing.T) {
	for name, remote := range map[string]bool{"local": false, "remote": true} {
		t.Run(name, func(t *testing.T) {
			hosts := rpctest.MemoryHosts(t, 2)
			server := rpc.NewServer(hosts[0], "/p")
			_ = server.RegisterName("S", polled{})
			client := rpc.NewClientWithServer(hosts[0], "/p", server)
			if remote {
				client = rpc.NewClient(hosts[1], "/p")
			}
			var r, old answer
			for i := range 2 {
				old = r
				if err := client.Call(hosts[0].ID(), "S", "Get", i, &r); err != nil {
					t.Fatal(err)
				}
			}
			if show(r) != show(answers[1]) {
				t.Errorf("the second answer is %s, not %s", show(r), show(answers[1]))
			}
			if show(old) != show(answers[0]) {
				t.Errorf("the first has become %s, and was %s", show(old), show(answers[0]))
			}
		})
	}
}
