package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
)

// traffic is small calls and large replies that share what there is.
type traffic struct {
	name         string
	small, large func(ctx context.Context) error
	close        func()
}

const rawTraffics = "raw bytes on open streams"

// latencyResult is of small calls, alone and beside large replies: the median,
// the 99th percentile, and of those beside the longest.
type latencyResult struct {
	system                                    string
	alone, alone99, beside, beside99, longest time.Duration
}

// ofSystem makes both by one client.
func ofSystem(s system) traffic {
	small, large := newMessage(64), ask(askLarge, 64)
	sized := func(n int) func([]byte) error {
		return func(reply []byte) error {
			if len(reply) != n {
				return fmt.Errorf("a reply of %d bytes, not %d", len(reply), n)
			}
			return nil
		}
	}
	checkSmall, checkLarge := sized(64), sized(len(largeReply))
	return traffic{
		name:  s.name,
		small: func(ctx context.Context) error { return s.echo(ctx, small, checkSmall) },
		large: func(ctx context.Context) error { return s.echo(ctx, large, checkLarge) },
		close: s.close,
	}
}

// rawTraffic is an open stream for each, of one connection: what that allows.
func rawTraffic(ctx context.Context, from host.Host, to peer.ID) (traffic, error) {
	pipe, err := from.NewStream(ctx, to, pipeProtocol)
	if err != nil {
		return traffic{}, err
	}
	bulk, err := from.NewStream(ctx, to, largeProtocol)
	if err != nil {
		_ = pipe.Reset()
		return traffic{}, err
	}
	m, b := newMessage(64), make([]byte, len(largeReply))
	return traffic{
		name:  rawTraffics,
		small: func(context.Context) error { return trip(pipe, m, func([]byte) error { return nil }) },
		large: func(context.Context) error {
			if _, err := bulk.Write([]byte{askLarge}); err != nil {
				return err
			}
			_, err := io.ReadFull(bulk, b)
			return err
		},
		close: func() {
			_ = pipe.Reset()
			_ = bulk.Reset()
		},
	}, nil
}

// latency measures calls of 64 B, one after the other, beside replies of 4 MiB,
// one after the other, of the same client.
func (b *bench) latency(ctx context.Context, name, addr string) error {
	p, err := newPair(ctx, addr)
	if err != nil {
		return err
	}
	defer p.close()
	raw, err := rawTraffic(ctx, p.a, p.b.ID())
	if err != nil {
		return err
	}
	all := []traffic{raw}
	defer func() {
		for _, t := range all {
			t.close()
		}
	}()
	systems, _, err := newSystems(ctx, p.a, p.b.ID(), ours, theirs)
	if err != nil {
		return err
	}
	for _, s := range systems {
		all = append(all, ofSystem(s))
	}
	if b.of != nil {
		all = slices.DeleteFunc(all, func(t traffic) bool {
			out := !b.of.MatchString(t.name)
			if out {
				t.close()
			}
			return out
		})
	}
	measured := make([]besideResult, len(all))
	for round := range b.rounds {
		for _, i := range order(round, len(all)) {
			if err := measured[i].add(ctx, all[i], b.time); err != nil {
				return fmt.Errorf("%s: %w", all[i].name, err)
			}
		}
	}
	b.table(name, "Calls of 64 B, one after the other, alone and beside replies of 4 MiB, one after the other, of the same client.",
		"", "alone, median", "p99", "beside, median", "p99", "longest", "replies, MB/s")
	for i, t := range all {
		m := &measured[i]
		slices.Sort(m.alone)
		slices.Sort(m.beside)
		r := latencyResult{t.name, quantile(m.alone, 50), quantile(m.alone, 99), quantile(m.beside, 50), quantile(m.beside, 99), quantile(m.beside, 100)}
		b.row(t.name, durationText(r.alone), durationText(r.alone99), durationText(r.beside), durationText(r.beside99), durationText(r.longest),
			fmt.Sprintf("%.0f", m.moved/m.spent.Seconds()/1e6))
		b.latencies[name] = append(b.latencies[name], r)
	}
	return nil
}

// besideResult is how long one system's small calls took, alone and beside large
// replies.
type besideResult struct {
	alone, beside []time.Duration
	moved         float64 // bytes of large replies
	spent         time.Duration
}

// add measures a round.
func (r *besideResult) add(ctx context.Context, t traffic, d time.Duration) error {
	trips, _, _, err := callBeside(ctx, t, d/2, false)
	if err != nil {
		return err
	}
	r.alone = append(r.alone, trips...)
	trips, large, took, err := callBeside(ctx, t, d, true)
	if err != nil {
		return err
	}
	r.beside = append(r.beside, trips...)
	r.moved += float64(large * len(largeReply))
	r.spent += took
	return nil
}

func quantile(sorted []time.Duration, percent int) time.Duration {
	return sorted[min(len(sorted)-1, len(sorted)*percent/100)]
}

func durationText(d time.Duration) string { return timeText(float64(d)) }

// callBeside makes small calls for a time, at least one, and large ones beside
// them or none. It counts the large.
func callBeside(ctx context.Context, t traffic, d time.Duration, withLarge bool) (trips []time.Duration, large int, took time.Duration, err error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	var largeErr error
	begun := make(chan struct{})
	if withLarge {
		wg.Go(func() {
			once := sync.OnceFunc(func() { close(begun) })
			defer once()
			for !stop.Load() && largeErr == nil {
				largeErr = t.large(ctx)
				large++
				once()
			}
		})
		<-begun
	}
	start := time.Now()
	for err == nil && (len(trips) == 0 || time.Since(start) < d) {
		begin := time.Now()
		err = t.small(ctx)
		trips = append(trips, time.Since(begin))
	}
	stop.Store(true)
	wg.Wait()
	return trips, large, time.Since(start), errors.Join(err, largeErr)
}
