package peers_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// quickCalls are calls of every kind of Arith's methods.
func quickCalls(c *rpc.Client, to peer.ID) map[string]func(context.Context) error {
	quotients := rpc.NewServerStream[rig.Args, rig.Quotient]("Typed", "Divides")
	return map[string]func(context.Context) error{
		"by name": func(ctx context.Context) error {
			return c.CallContext(ctx, to, "Svc", "Multiply", &rig.Args{}, new(int))
		},
		"go": func(ctx context.Context) error {
			done := make(chan *rpc.Call, 1)
			if err := c.GoContext(ctx, to, "Svc", "Multiply", &rig.Args{}, new(int), done); err != nil {
				return err
			}
			return (<-done).Error
		},
		"typed": func(ctx context.Context) error {
			_, err := rig.MultiplyMethod.Call(ctx, c, to, &rig.Args{})
			return err
		},
		"stream": func(ctx context.Context) error {
			args := make(chan rig.Args)
			close(args)
			return c.Stream(ctx, to, "Svc", "Divides", args, make(chan rig.Quotient))
		},
		"typed stream": func(ctx context.Context) (err error) {
			for _, err = range quotients.Call(ctx, c, to, rig.Args{A: 1, B: 1}) {
			}
			return err
		},
	}
}

// TestADeadConnectionBesideALiveOne: the peer has come back by another connection, and
// libp2p prefers the dead one. Calls of every kind find the other within 1.25 times
// SilenceTimeout, patient ones and those with a timeout that is shorter.
func TestADeadConnectionBesideALiveOne(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, patient := range []bool{true, false} {
			t.Run(fmt.Sprintf("patient %v", patient), func(t *testing.T) {
				t.Parallel()
				rig.Measured(t, func() error { return firstSuccess(t, tr, patient) })
			})
		}
	})
}

func firstSuccess(t *testing.T, tr rig.Transport, patient bool) error {
	silence := rig.Slower(3 * time.Second)
	type found struct {
		name string
		took time.Duration
	}
	all := make(chan found, 10)
	n := 0
	for name := range quickCalls(nil, "") {
		n++
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		a := rig.NewHost(t)
		var hosts []host.Host // of one identity
		for range 2 {
			b := rig.NewHost(t, libp2p.Identity(key))
			s := rig.Serve(t, b, rig.Arith{})
			if err := rpc.NewServerStream[rig.Args, rig.Quotient]("Typed", "Divides").Handle(s,
				func(ctx context.Context, _ rig.Args, out *rpc.Sender[rig.Quotient]) error {
					return out.Send(ctx, rig.Quotient{})
				}); err != nil {
				t.Fatal(err)
			}
			hosts = append(hosts, b)
		}
		link := rig.NewLink(t, hosts[0])
		ctx := rig.Context(t)
		if err := a.Connect(ctx, peer.AddrInfo{ID: hosts[0].ID(), Addrs: []multiaddr.Multiaddr{link.Addr}}); err != nil {
			t.Fatal(err)
		}
		call := quickCalls(tr.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence})), hosts[0].ID())[name]
		if err := call(ctx); err != nil {
			t.Fatal(name, err)
		}
		for range 4 { // others use it, too
			if _, err := a.Network().NewStream(ctx, hosts[0].ID()); err != nil {
				t.Fatal(err)
			}
		}
		link.Freeze()
		rig.Connect(t, hosts[1], a)
		go func() {
			start := time.Now()
			for time.Since(start) < 4*silence {
				timeout := 4 * silence
				if !patient {
					timeout = silence / 20
				}
				ctx, cancel := context.WithTimeout(ctx, timeout)
				err := call(ctx)
				cancel()
				if err == nil {
					break
				}
			}
			all <- found{name, time.Since(start)}
		}()
	}
	var err error
	for range n {
		if f := rig.Take(t, "a call succeeds", all); f.took > silence*5/4+rig.Late/2 {
			err = fmt.Errorf("%s succeeds after %v", f.name, f.took)
		}
	}
	return err
}
