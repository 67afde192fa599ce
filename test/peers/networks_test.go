package peers_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/pnet"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// carried has methods that are called over all kinds of network.
type carried struct {
	calls   *atomic.Int64
	started chan struct{}
	ended   chan error
}

func newCarried() carried {
	return carried{new(atomic.Int64), make(chan struct{}, 1), make(chan error, 1)}
}

func (c carried) Echo(_ context.Context, b []byte, r *[]byte) error {
	c.calls.Add(1)
	*r = b
	return nil
}

func (c carried) Echoes(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	defer close(out)
	c.calls.Add(1)
	for b := range in {
		out <- b
	}
	return nil
}

func (c carried) Wait(ctx context.Context, _ struct{}, _ *struct{}) error {
	c.started <- struct{}{}
	<-ctx.Done()
	c.ended <- ctx.Err()
	return ctx.Err()
}

func (c carried) Waits(ctx context.Context, _ <-chan struct{}, _ chan<- struct{}) error {
	return c.Wait(ctx, struct{}{}, nil)
}

// callsWork makes calls from a to b, which can reach each other over a
// connection whose address has all the given parts.
func callsWork(t *testing.T, base context.Context, a, b host.Host, parts ...string) {
	t.Helper()
	svc := newCarried()
	rig.Serve(t, b, svc)
	c := rig.Client(t, a)
	for name, size := range map[string]int{"64 B": 64, "1 MiB": 1 << 20} {
		t.Run("unary "+name, func(t *testing.T) {
			arg, reply := make([]byte, size), []byte(nil)
			_, _ = rand.Read(arg)
			if err := c.CallContext(base, b.ID(), "Svc", "Echo", arg, &reply); err != nil || !bytes.Equal(arg, reply) {
				t.Fatalf("%d bytes, %v", len(reply), err)
			}
		})
	}
	t.Run("stream", func(t *testing.T) {
		var items [][]byte
		for i := range 50 {
			items = append(items, bytes.Repeat([]byte{byte(i)}, 1+i*200))
		}
		args, replies := make(chan []byte), make(chan []byte)
		rig.SendAll(base, args, items...)
		got := rig.Collect(replies)
		err := c.Stream(base, b.ID(), "Svc", "Echoes", args, replies)
		if all := got(); err != nil || !slices.EqualFunc(all, items, bytes.Equal) {
			t.Fatalf("%d replies, %v", len(all), err)
		}
	})
	for name, call := range map[string]func(context.Context) error{
		"unary": func(ctx context.Context) error {
			return c.CallContext(ctx, b.ID(), "Svc", "Wait", struct{}{}, new(struct{}))
		},
		"stream": func(ctx context.Context) error {
			return c.Stream(ctx, b.ID(), "Svc", "Waits", make(chan struct{}), make(chan struct{}))
		},
	} {
		t.Run("cancelled "+name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(base)
			defer cancel()
			go func() {
				select {
				case <-svc.started:
				case <-base.Done():
				}
				cancel()
			}()
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Fatalf("the caller got %v", err)
			}
			select {
			case err := <-svc.ended:
				if !errors.Is(err, context.Canceled) {
					t.Fatalf("the method got %v", err)
				}
			case <-base.Done():
				t.Fatal("the method was not cancelled")
			}
		})
	}
	conns := a.Network().ConnsToPeer(b.ID())
	if len(conns) == 0 {
		t.Error("there is no connection left")
	}
	for _, conn := range conns {
		for _, part := range parts {
			if addr := conn.RemoteMultiaddr().String(); !strings.Contains(addr, part) {
				t.Errorf("the connection is %s, without %s", addr, part)
			}
		}
	}
}

func TestCallsWorkOverTCP(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	callsWork(t, rig.Context(t), a, b, "/tcp/")
}

func TestCallsWorkOverQUIC(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHostsOn(t, "/ip4/127.0.0.1/udp/0/quic-v1")
	callsWork(t, rig.Context(t), a, b, "/quic-v1")
}

func TestCallsWorkOverWebSocket(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHostsOn(t, "/ip4/127.0.0.1/tcp/0/ws")
	callsWork(t, rig.Context(t), a, b, "/tcp/", "/ws")
}

func TestCallsWorkInAPrivateNetworkOnly(t *testing.T) {
	t.Parallel()
	key, other := make(pnet.PSK, 32), make(pnet.PSK, 32)
	_, _ = rand.Read(key)
	_, _ = rand.Read(other)
	a, b := rig.NewHosts(t, libp2p.PrivateNetwork(key))
	callsWork(t, rig.Context(t), a, b, "/tcp/")

	svc := newCarried()
	rig.Serve(t, b, svc)
	for name, opts := range map[string][]libp2p.Option{
		"no key":      nil,
		"another key": {libp2p.PrivateNetwork(other)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outsider := rig.NewHost(t, opts...)
			rig.Know(outsider, b)
			c := rig.Client(t, outsider)
			// What the one says is noise to the other, which may wait for the
			// rest of it.
			ctx, cancel := context.WithTimeout(rig.Context(t), rig.Lonely)
			defer cancel()
			err := c.CallContext(ctx, b.ID(), "Svc", "Echo", []byte("x"), new([]byte))
			if code := rpc.CodeOf(err); code != codes.DeadlineExceeded && !(rpc.IsClientError(err) && code == codes.Unavailable) {
				t.Errorf("got %v", err)
			}
			if svc.calls.Load() > 0 {
				t.Error("the call was served")
			}
		})
	}
}

func TestCallsWorkOverALimitedConnectionThatIsAllowed(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	callsWork(t, network.WithAllowLimitedConn(rig.Context(t), "test"), a, b, "/p2p-circuit")
}

func TestCallsOverALimitedConnectionAreRefusedUnlessAllowed(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	svc := newCarried()
	rig.Serve(t, b, svc)
	c := rig.Client(t, a)
	// libp2p waits for a direct connection, which may be on its way.
	waiting := network.WithDialPeerTimeout(rig.Context(t), rig.Lonely)
	errs := make(chan error, 2)
	go func() { errs <- c.CallContext(waiting, b.ID(), "Svc", "Echo", []byte("x"), new([]byte)) }()
	go func() { errs <- c.Stream(waiting, b.ID(), "Svc", "Echoes", make(chan []byte), make(chan []byte)) }()
	for range 2 {
		err := rig.Take(t, "the call ends", errs)
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("got %v, %v", rpc.CodeOf(err), err)
		}
		if errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, network.ErrLimitedConn) {
			t.Errorf("%v is another error too", err)
		}
		rig.CheckNames(t, err, "Svc.Echo", "relayed (limited)", "network.WithAllowLimitedConn")
	}
	// The caller's own end is that, and tells why there was a wait.
	for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
		ctx, cancel := context.WithTimeout(rig.Context(t), rig.Lonely)
		if want == context.Canceled {
			time.AfterFunc(rig.Lonely/2, cancel)
		}
		err := c.CallContext(ctx, b.ID(), "Svc", "Echo", []byte("x"), new([]byte))
		cancel()
		rig.CheckEnded(t, err, want, "Svc.Echo", "relayed (limited)", "network.WithAllowLimitedConn")
	}
	// Without a word on that from the caller it waits no longer than a hole
	// punch may take.
	start := time.Now()
	err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Echo", []byte("x"), new([]byte))
	if took := time.Since(start); rpc.CodeOf(err) != codes.Unavailable || took > 20*time.Second {
		t.Errorf("after %v: %v", took, err)
	}
	if svc.calls.Load() > 0 {
		t.Error("a call was served")
	}
}
