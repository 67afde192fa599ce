package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// growthResult is of one number of destinations, over session or wire.
type growthResult struct {
	destinations int
	transport    string
	ns           float64 // a MultiCall
	during       usage   // more, while all calls of a MultiCall wait
}

// growthOfMultiCall measures what a MultiCall takes as its destinations grow:
// time, and while all the methods are held, memory and goroutines of both ends.
func (b *bench) growthOfMultiCall(ctx context.Context, name string) error {
	b.table(name, "Hosts of one process, over loopback TCP. A call is 64 B to every destination. Memory and goroutines are "+
		"what both ends have more while all methods are held, a destination. On a session that is no goroutine: the method "+
		"runs in the one that read the call, and one that was parked reads on; without, one waits and one runs the method.",
		"destinations", "", "time", "a destination", "heap", "stacks", "goroutines")
	for _, n := range b.growth {
		if err := b.growTo(ctx, n); err != nil {
			return fmt.Errorf("%d destinations: %w", n, err)
		}
	}
	return nil
}

func (b *bench) growTo(ctx context.Context, n int) error {
	f, err := newFan(ctx, n, func(h host.Host) (func(), error) {
		server := rpc.NewServer(h, protocol)
		return func() { _ = server.Close() }, server.Register(Echo{})
	})
	if err != nil {
		return err
	}
	defer f.close()
	session, wire := rpc.NewClient(f.hub, protocol), rpc.NewClient(f.hub, protocol, rpc.WithClientSessions(false))
	defer session.Close()
	defer wire.Close()
	names := []string{"session", "wire"}
	calls := []*multi{newMulti(ctx, session, f.peers), newMulti(ctx, wire, f.peers)}
	times, err := b.grownTimes(calls)
	if err != nil {
		return err
	}
	for i, m := range calls {
		during, err := grownHeld(m)
		if err != nil {
			return fmt.Errorf("%s: %w", names[i], err)
		}
		r := growthResult{n, names[i], times[i], during}
		b.growths = append(b.growths, r)
		b.row(fmt.Sprint(n), r.transport, timeText(r.ns), timeText(r.ns/float64(n)),
			fmt.Sprintf("%.0f", r.during.heap/float64(n)), fmt.Sprintf("%.0f", r.during.stacks/float64(n)),
			fmt.Sprintf("%.2f", r.during.goroutines/float64(n)))
	}
	return nil
}

// grownTimes lets each MultiCall take its turns, and returns the medians.
func (b *bench) grownTimes(calls []*multi) ([]float64, error) {
	arg := newMessage(64).body()
	turns := make([][]float64, len(calls))
	for _, m := range calls { // what is opened is open
		if err := m.call(arg, arg); err != nil {
			return nil, err
		}
	}
	for round := range b.rounds {
		for _, i := range order(round, len(calls)) {
			runtime.GC()
			count, start := 0, time.Now()
			for ; count == 0 || time.Since(start) < b.time; count++ {
				if err := calls[i].call(arg, arg); err != nil {
					return nil, err
				}
			}
			turns[i] = append(turns[i], float64(time.Since(start))/float64(count))
		}
	}
	medians := make([]float64, len(calls))
	for i, t := range turns {
		medians[i] = median(t, func(ns float64) float64 { return ns })
	}
	return medians, nil
}

// grownHeld is what is held more while the methods wait.
func grownHeld(m *multi) (usage, error) {
	before := settled()
	result := make(chan error, 1)
	go func() { result <- m.call(ask(askWait, 64).body(), nil) }()
	err := until(func() (bool, error) {
		select {
		case err := <-result:
			return false, fmt.Errorf("the calls did not wait: %v", err)
		default:
			return theGate.waiting.Load() == int64(len(m.peers)), nil
		}
	})
	during := settled().since(before)
	theGate.open()
	if err == nil {
		err = <-result
	}
	during.goroutines-- // the one above
	return during, err
}
