package values_test

import (
	"context"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

type cycle struct {
	Name string
	Self *cycle
	Any  any
	Map  map[string]any
	Maps recursiveMap
	List recursiveList
	Key  map[any]string
}

type (
	recursiveMap  map[string]recursiveMap
	recursiveList []recursiveList
)

// cycles make values of which a copy has no end, or is too deep for a stack.
// Each is built where it is sent: the chain takes its time.
var cycles = map[string]func() *cycle{
	"pointer": func() *cycle {
		c := &cycle{Name: "p"}
		c.Self = c
		return c
	},
	"interface": func() *cycle {
		c := &cycle{Name: "a"}
		c.Any = c
		return c
	},
	"map": func() *cycle {
		c := &cycle{Name: "m", Map: make(map[string]any)}
		c.Map["self"] = c.Map
		return c
	},
	"slice": func() *cycle {
		slice := []any{nil}
		slice[0] = slice
		return &cycle{Name: "s", Any: slice}
	},
	"array": func() *cycle {
		array := new([1]any)
		array[0] = array
		return &cycle{Name: "r", Any: array}
	},
	"pointer to itself": func() *cycle { return &cycle{Name: "i", Any: toItself()} }, // not even a container
	"recursive map": func() *cycle {
		maps := make(recursiveMap)
		maps["self"] = maps
		return &cycle{Name: "M", Maps: maps}
	},
	"recursive slice": func() *cycle {
		list := make(recursiveList, 1)
		list[0] = list
		return &cycle{Name: "S", List: list}
	},
	"several": func() *cycle {
		around := map[int][]any{1: {nil, struct{ In any }{}}}
		around[1][1] = struct{ In any }{around}
		return &cycle{Name: "v", Any: around}
	},
	"chain": func() *cycle {
		var chain any
		for range 5_000_000 { // of no cycle, and as deep as one to the codec
			chain = []any{chain}
		}
		return &cycle{Name: "c", Any: chain}
	},
	"key":     func() *cycle { return &cycle{Name: "k", Key: map[any]string{toItself(): ""}} },
	"channel": func() *cycle { return &cycle{Name: "ch", Any: make(chan any, 1)} },
}

func toItself() any {
	var pointed any
	pointed = &pointed
	return pointed
}

// cycleEnv makes a process one that sends the cycle of that name.
const cycleEnv = "RPC_TEST_CYCLE"

// No recover catches a stack overflow: each cycle has a process of its own.
func TestCyclicArgumentIsAnError(t *testing.T) {
	if name := os.Getenv(cycleEnv); name != "" {
		debug.SetMaxStack(64 << 20)
		sendCycle(t, cycles[name]())
		return
	}
	t.Parallel()
	for name := range cycles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(rig.Context(t), os.Args[0], "-test.run=^TestCyclicArgumentIsAnError$")
			cmd.Env = append(os.Environ(), cycleEnv+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %.400s", err, out)
			}
		})
	}
}

func sendCycle(t *testing.T, arg *cycle) {
	rig.OverAll(t, cyclic{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for kind, err := range map[string]error{
			"reply":     s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Give", os.Getenv(cycleEnv), new(cycle)),
			"unary":     s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Take", arg, new(int)),
			"streaming": rig.StreamOnce[int](t, s, "Takes", arg),
		} {
			if s.Dest == s.Sender { // nothing is encoded
				if err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			} else if kind == "reply" {
				if !rpc.IsServerError(err) || rpc.CodeOf(err) != codes.Internal {
					t.Errorf("%s: got %v", kind, err)
				}
				rig.CheckNames(t, err, "Svc.Give", "cycle")
			} else if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.InvalidArgument {
				t.Errorf("%s: got %v", kind, err)
			} else {
				rig.CheckNames(t, err, "Svc.Take", "cycle")
			}
		}
		// The client goes on to work.
		var n int
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Take", &cycle{Name: "xyz"}, &n); err != nil || n != 3 {
			t.Errorf("afterwards: got %d, %v", n, err)
		}
	})
}

// Depth and sharing that are no cycle.
func TestDepthAndSharingOfArguments(t *testing.T) {
	t.Parallel()
	const most = 1000
	nested := func(depth int) (v any) {
		for range depth {
			v = []any{v}
		}
		return v
	}
	shared := any("x")
	for range 8 {
		shared = map[string]any{"a": shared, "b": []any{shared}}
	}
	deepest := rpc.Limits{MessageDepth: -1}
	o := rig.Options{Server: []rpc.ServerOption{rpc.WithServerLimits(deepest)}, Client: []rpc.ClientOption{rpc.WithClientLimits(deepest)}}
	rig.OverAll(t, echoing[any]{}, o, func(t *testing.T, s rig.Setup) {
		var got any
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", nested(most), &got); err != nil || !reflect.DeepEqual(got, nested(most)) {
			t.Errorf("%d levels: %v", most, err)
		}
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", shared, new(any)); err != nil {
			t.Errorf("shared parts: %v", err)
		}
		if s.Dest == s.Sender {
			return
		}
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", nested(most+1), new(any))
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.InvalidArgument {
			t.Errorf("%d levels: %v", most+1, err)
		}
		rig.CheckNames(t, err, "Svc.Echo", "[]interface {}", "1000", "cyclic")
		var endless any = []any{nil}
		for range 60 {
			endless = []any{endless, endless}
		}
		err = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", endless, new(any))
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.InvalidArgument {
			t.Errorf("2^60 times the same: %v", err)
		}
		rig.CheckNames(t, err, "Svc.Echo", "67108864 values")
	})
}

type cyclic struct{}

func (cyclic) Give(_ context.Context, name string, c *cycle) error {
	*c = *cycles[name]()
	return nil
}

func (cyclic) Take(_ context.Context, c *cycle, n *int) error {
	*n = len(c.Name)
	return nil
}

func (cyclic) Takes(_ context.Context, in <-chan *cycle, out chan<- int) error {
	for c := range in {
		out <- len(c.Name)
	}
	return nil
}
