package calls_test

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// What a small call of another peer may allocate, both ends together, libp2p's own
// among it: the 7 that it takes on a session, and a few more than the 225 on a stream.
// Not parallel: others allocate too. Local calls have tests of their own.
func TestAllocationsOfRemoteCallsAreWithinTheirBudgets(t *testing.T) {
	if rig.Race {
		t.Skip("the race detector makes pools forget")
	}
	for tr, budget := range map[*rig.Transport]float64{&rig.Session: 7, &rig.Wire: 240} {
		t.Run(tr.Name, func(t *testing.T) {
			s := tr.With(t, rig.Arith{}, rig.Options{})
			ctx := context.Background()
			args, product := &rig.Args{A: 6, B: 7}, new(int)
			for name, call := range map[string]func() error{
				"by name": func() error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Multiply", args, product) },
				"typed": func() (err error) {
					*product, err = rig.MultiplyMethod.Call(ctx, s.Client, s.Dest, args)
					return err
				},
			} {
				n := testing.AllocsPerRun(500, func() {
					if err := call(); err != nil {
						t.Fatal(err)
					}
				})
				if t.Logf("%s: %v allocations", name, n); n > budget {
					t.Errorf("%s: %v allocations, and %v may be", name, n, budget)
				}
			}
		})
	}
}
