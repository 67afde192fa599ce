package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// usage is what the process holds.
type usage struct{ heap, stacks, goroutines float64 }

// settled is what is held when all is quiet: garbage collected, pools emptied,
// stacks shrunk, stopped timers forgotten.
func settled() usage {
	goroutines := 0
	for range 50 { // those that end have ended
		time.Sleep(20 * time.Millisecond)
		n := runtime.NumGoroutine()
		if n == goroutines {
			break
		}
		goroutines = n
	}
	dropTimers()
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return usage{float64(m.HeapAlloc), float64(m.StackInuse), float64(runtime.NumGoroutine())}
}

// dropTimers makes the runtime let go of timers that were stopped, and with
// them of what their functions hold: it does so when they are many.
func dropTimers() {
	var wg sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for range 5000 {
				time.AfterFunc(time.Hour, func() {}).Stop()
			}
			time.Sleep(time.Millisecond)
		})
	}
	wg.Wait()
}

func (u usage) since(before usage) usage {
	return usage{u.heap - before.heap, u.stacks - before.stacks, u.goroutines - before.goroutines}
}

// bytes are three numbers, which usageOf reads.
func (u usage) bytes() []byte {
	b, err := binary.Append(nil, binary.BigEndian, [3]float64{u.heap, u.stacks, u.goroutines})
	if err != nil {
		panic(err) // there is no array that it does not take
	}
	return b
}

// usageOf asks what the process holds that control calls.
func usageOf(ctx context.Context, control system) (usage, error) {
	var n [3]float64
	err := control.echo(ctx, ask(askUsage, 64), func(reply []byte) error {
		_, err := binary.Decode(reply, binary.BigEndian, &n)
		return err
	})
	return usage{n[0], n[1], n[2]}, err
}

// until waits for something to hold.
func until(holds func() (bool, error)) error {
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ok, err := holds(); ok || err != nil {
			return err
		}
	}
	return errors.New("it did not come to be in a minute")
}

// held starts n calls that wait in the server, not too many at a time, and
// returns what more is held in this process then. control makes the calls that
// see to it.
func held(ctx context.Context, control system, n int, start func(done chan<- error) error) (usage, error) {
	results := make(chan error, n)
	before := settled()
	started := 0
	for started < n {
		for range min(64, n-started) {
			if err := start(results); err != nil {
				return usage{}, err
			}
			started++
		}
		err := until(func() (bool, error) {
			select {
			case err := <-results:
				return false, fmt.Errorf("a call did not wait: %v", err)
			default:
			}
			waiting := 0
			err := control.echo(ctx, ask(askCount, 64), func(reply []byte) error {
				if len(reply) != 8 {
					return errors.New("that is no count")
				}
				waiting = int(binary.BigEndian.Uint64(reply))
				return nil
			})
			return waiting == started, err
		})
		if err != nil {
			return usage{}, fmt.Errorf("%d calls: %w", started, err)
		}
	}
	during := settled().since(before)
	if err := control.echo(ctx, ask(askOpen, 64), func([]byte) error { return nil }); err != nil {
		return usage{}, err
	}
	for range n {
		if err := <-results; err != nil {
			return usage{}, err
		}
	}
	return during, nil
}

// heldBy makes calls of a system wait, each in a goroutine of the caller's.
func heldBy(ctx context.Context, control, s system, n int) (usage, error) {
	m := ask(askWait, 64)
	check := func([]byte) error { return nil }
	if err := s.echo(ctx, newMessage(64), check); err != nil { // what is opened is open
		return usage{}, err
	}
	return held(ctx, control, n, func(done chan<- error) error {
		go func() { done <- s.echo(ctx, m, check) }()
		return nil
	})
}

// goroutines counts those of both ends while calls wait.
func (b *bench) goroutines(ctx context.Context, name string) error {
	p, err := newPair(ctx, rig.OverTCP)
	if err != nil {
		return err
	}
	defer p.close()
	b.table(name, fmt.Sprintf("%d calls of 64 B, both ends together, without the callers' own. One a call runs the method.", b.callers),
		"", "goroutines", "a call")
	for _, list := range [][]openSystem{ours, theirs} {
		for _, open := range list {
			s, control, done, err := withControl(ctx, p.a, p.b.ID(), open)
			if err != nil {
				return err
			}
			during, err := heldBy(ctx, control, s, b.callers)
			done()
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			n := during.goroutines - float64(b.callers)
			b.row(s.name, fmt.Sprintf("%.0f", n), fmt.Sprintf("%.2f", n/float64(b.callers)))
		}
	}
	return nil
}

// withControl makes a system, and another that asks after its calls.
func withControl(ctx context.Context, from host.Host, to peer.ID, open openSystem) (s, control system, done func(), err error) {
	all, done, err := newSystems(ctx, from, to, []openSystem{newNetRPC, open})
	if err != nil {
		return s, control, nil, err
	}
	if err := all[0].echo(ctx, newMessage(64), func([]byte) error { return nil }); err != nil {
		done()
		return s, control, nil, err
	}
	return all[1], all[0], done, nil
}

// How calls wait.
const (
	byCallers = "a goroutine of the caller's each"
	byGo      = "Client.Go, a channel each"
)

// nameBare is a caller's goroutine without the call.
const nameBare = "no call, but a channel's receive"

// bareGoroutines is what as many goroutines hold that do nothing but wait.
func bareGoroutines(n int) usage {
	before := settled()
	release := make(chan struct{})
	for range n {
		go func() { <-release }()
	}
	during := settled().since(before)
	close(release)
	return during
}

// waitResult is of a call.
type waitResult struct {
	system, how string
	usage
}

// waitingCalls measures what many waiting calls take in a client, whose server
// is another process.
func (b *bench) waitingCalls(ctx context.Context, name string) error {
	b.table(name, fmt.Sprintf("%d calls of 64 B that wait on one peer, which is another process; what the client has more, a call. "+
		"Stacks are mostly the callers' own, whose goroutines are not counted.", b.waiting),
		"", "", "heap", "stacks", "goroutines")
	hosts, err := rig.NewHosts(1)
	if err != nil {
		return err
	}
	defer rig.CloseHosts(hosts)
	from := hosts[0]
	peers, stop, err := startChild(ctx, 1)
	if err != nil {
		return err
	}
	defer stop()
	if err := from.Connect(ctx, peers[0]); err != nil {
		return err
	}
	row := func(name, how string, u usage, callers int) {
		n := float64(b.waiting)
		r := waitResult{name, how, usage{u.heap / n, u.stacks / n, (u.goroutines - float64(callers)) / n}}
		b.row(append([]string{name, how}, r.texts()...)...)
		b.waits = append(b.waits, r)
	}
	row(nameBare, byCallers, bareGoroutines(b.waiting), b.waiting)
	for _, list := range [][]openSystem{ours, theirs} {
		for _, open := range list {
			s, control, done, err := withControl(ctx, from, peers[0].ID, open)
			if err != nil {
				return err
			}
			u, err := heldBy(ctx, control, s, b.waiting)
			done()
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			row(s.name, byCallers, u, b.waiting)
		}
	}
	u, err := b.heldByGo(ctx, from, peers[0].ID)
	if err != nil {
		return fmt.Errorf("calls by Go: %w", err)
	}
	row(nameSession, byGo, u, 0)
	return nil
}

// heldByGo makes calls wait by Client.Go.
func (b *bench) heldByGo(ctx context.Context, from host.Host, to peer.ID) (usage, error) {
	control, err := newNetRPC(ctx, from, to)
	if err != nil {
		return usage{}, err
	}
	defer control.close()
	client := rpc.NewClient(from, protocol, rpc.WithClientLimits(raised))
	defer client.Close()
	var warm []byte
	if err := client.CallContext(ctx, to, "Echo", "Bytes", newMessage(64).body(), &warm); err != nil {
		return usage{}, err
	}
	m := ask(askWait, 64)
	calls := make(chan chan *rpc.Call, b.waiting)
	defer close(calls)
	collecting := false
	u, err := held(ctx, control, b.waiting, func(done chan<- error) error {
		if !collecting {
			collecting = true
			go func() {
				for c := range calls {
					done <- (<-c).Error
				}
			}()
		}
		c := make(chan *rpc.Call, 1)
		calls <- c
		return client.GoContext(ctx, to, "Echo", "Bytes", m.body(), new([]byte), c)
	})
	u.goroutines-- // that which collects
	return u, err
}
