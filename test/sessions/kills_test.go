package sessions_test

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var killTime = flag.Duration("kills", 3*time.Second, "how long TestKillsLoseAndDoubleNoCall runs, for each way to kill")

// tally counts how often each numbered call ran, whichever server ran it.
type tally struct{ runs sync.Map }

func (t *tally) Run(_ context.Context, n int64, reply *int64) error {
	counter, _ := t.runs.LoadOrStore(n, new(atomic.Int64))
	counter.(*atomic.Int64).Add(1)
	if n%5 == 0 { // some are under way when it happens
		time.Sleep(time.Duration(n%7) * time.Millisecond)
	}
	*reply = n
	return nil
}

func (t *tally) ran(n int64) int64 {
	if counter, ok := t.runs.Load(n); ok {
		return counter.(*atomic.Int64).Load()
	}
	return 0
}

// The server's connection, its server, or all of its host is ended at random
// while numbered calls are made. No call runs twice; one that succeeds ran; one
// whose error says that it was not sent did not run.
func TestKillsLoseAndDoubleNoCall(t *testing.T) {
	t.Parallel()
	d := *killTime
	if testing.Short() {
		d = min(d, time.Second)
	}
	for name, addr := range rig.Muxers {
		for how, kill := range map[string]func(*killed){
			"connection": (*killed).killConnection, "server": (*killed).killServer, "shutdown": (*killed).shutdown, "host": (*killed).killHost,
		} {
			t.Run(name+"/"+how, func(t *testing.T) {
				t.Parallel()
				k := newKilled(t, addr)
				defer k.close()
				k.run(d, kill)
			})
		}
	}
}

// killed is a server that is killed again and again, and a client of it.
type killed struct {
	t      *testing.T
	addr   string // of b, once it has one
	a, b   host.Host
	server *rpc.Server
	client *rpc.Client
	tally  tally
}

func newKilled(t *testing.T, addr string) *killed {
	k := &killed{t: t, a: rig.NewHostOn(t, addr), b: rig.NewHostOn(t, addr)}
	k.addr = k.b.Addrs()[0].String()
	rig.Know(k.a, k.b)
	k.serve()
	k.client = rpc.NewClient(k.a, rig.Protocol)
	return k
}

func (k *killed) serve() {
	k.server = rpc.NewServer(k.b, rig.Protocol, rig.Quiet)
	if err := k.server.RegisterName("Svc", &k.tally); err != nil {
		k.t.Error(err)
	}
}

func (k *killed) close() {
	_ = k.client.Close()
	_ = k.server.Close()
	_ = k.b.Close()
}

func (k *killed) killConnection() {
	if rand.N(2) == 0 {
		_ = k.a.Network().ClosePeer(k.b.ID())
		return
	}
	_ = k.b.Network().ClosePeer(k.a.ID())
}

func (k *killed) killServer() {
	_ = k.server.Close()
	k.serve()
}

func (k *killed) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := k.server.Shutdown(ctx); err != nil {
		k.t.Errorf("shutdown: %v", err)
	}
	k.serve()
}

func (k *killed) killHost() {
	key := k.b.Peerstore().PrivKey(k.b.ID())
	_ = k.b.Close()
	_ = k.server.Close()
	b, err := libp2p.New(libp2p.ListenAddrStrings(k.addr), libp2p.Identity(key), libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		k.t.Errorf("the host does not come again: %v", err)
		return
	}
	k.b = b
	k.serve()
}

// run makes calls while the server is killed again and again.
func (k *killed) run(d time.Duration, kill func(*killed)) {
	const callers = 16
	dest := k.b.ID()
	over := make(chan struct{})
	var numbers, good, unsentCalls, unsure, kills atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n := 0; n%8 != 0 || !rig.IsClosed(over); n++ {
				id, reply := numbers.Add(1), int64(0)
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				err := k.client.CallContext(ctx, dest, "Svc", "Run", id, &reply)
				cancel()
				var e *rpc.Error
				switch {
				case err == nil && reply == id:
					good.Add(1)
					if k.tally.ran(id) != 1 {
						k.t.Errorf("call %d succeeded and ran %d times", id, k.tally.ran(id))
					}
				case err == nil:
					k.t.Errorf("call %d got the reply of %d", id, reply)
				case !errors.As(err, &e) || errors.Is(err, context.DeadlineExceeded):
					k.t.Errorf("call %d: %v", id, err)
				case e.Unsent():
					unsentCalls.Add(1)
					if k.tally.ran(id) != 0 {
						k.t.Errorf("call %d ran, and was not sent: %v", id, err)
					}
					k.a.Network().(*swarm.Swarm).Backoff().Clear(dest)
				default:
					unsure.Add(1)
				}
			}
		})
	}
	wg.Go(func() {
		defer close(over)
		end := time.Now().Add(d)
		for time.Now().Before(end) || kills.Load() < 3 {
			timer := time.NewTimer(rand.N(60 * time.Millisecond))
			<-timer.C
			kill(k)
			kills.Add(1)
		}
		// On a slow machine few calls come between two kills.
		for end = time.Now().Add(20 * time.Second); good.Load() <= numbers.Load()/10 && time.Now().Before(end); {
			<-time.After(10 * time.Millisecond)
		}
	})
	wg.Wait()
	k.tally.runs.Range(func(n, counter any) bool {
		if runs := counter.(*atomic.Int64).Load(); runs > 1 {
			k.t.Errorf("call %d ran %d times", n, runs)
		}
		return true
	})
	k.t.Logf("%d calls, %d kills: %d succeeded, %d certainly not sent, %d unsure", numbers.Load(), kills.Load(), good.Load(), unsentCalls.Load(), unsure.Load())
	if good.Load() < numbers.Load()/10 || kills.Load() < 3 {
		k.t.Errorf("little was tested: %d of %d calls succeeded, %d kills", good.Load(), numbers.Load(), kills.Load())
	}
}

// A call after this side has closed the connection is made on another. A QUIC
// stream takes for a moment what is written to it then.
func TestCallsAfterTheConnectionWasClosedHereAreMadeOnAnother(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHostOn(t, rig.Muxers["quic"]), rig.NewHostOn(t, rig.Muxers["quic"])
	rig.Connect(t, a, b)
	rig.Serve(t, b, rig.Arith{})
	c := rig.Client(t, a)
	for i := range 200 {
		var n int
		if err := c.Call(b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
			t.Fatalf("after %d connections: %d, %v", i, n, err)
		}
		if err := a.Network().ClosePeer(b.ID()); err != nil {
			t.Fatal(err)
		}
	}
}
