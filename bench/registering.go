package main

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

const registerProto = "/bench/registering"

const (
	registerNot       = "nothing is registered"
	registerElsewhere = "elsewhere, a service a millisecond"
	registerHere      = "here, a service a millisecond"
)

// registeringResult counts calls, and those that took over 10 ms: in all, and
// in the median turn.
type registeringResult struct {
	over, mode           string
	calls, slow, typical int
}

// registering measures calls by many callers while services are registered
// all the time, beside calls while none are.
func (b *bench) registering(ctx context.Context, name string) error {
	cfg := b.config
	p, err := newPair(ctx, rig.OverTCP)
	if err != nil {
		return err
	}
	defer p.close()
	server := rpc.NewServer(p.b, registerProto)
	defer server.Close()
	if err := server.Register(Echo{}); err != nil {
		return err
	}
	local, remote := rpc.NewClientWithServer(p.b, registerProto, server), rpc.NewClient(p.a, registerProto)
	defer local.Close()
	defer remote.Close()
	b.table(name, callersText(cfg.callers)+".", "", "", "median", "p99", "longest", "over 10 ms", "in the median turn")
	elsewhere := rpc.NewServer(nil, registerProto)
	names := 0
	for _, c := range []struct {
		name   string
		client *rpc.Client
	}{{"local", local}, {"over TCP", remote}} {
		modes := []struct {
			name string
			at   *rpc.Server
		}{{registerNot, nil}, {registerElsewhere, elsewhere}, {registerHere, server}}
		trips := make([][]time.Duration, len(modes))
		slow := make([][]int, len(modes)) // in each turn
		for round := range cfg.rounds {
			for _, i := range order(round, len(modes)) {
				t, err := callWhile(ctx, cfg, p, c.client, modes[i].at, &names)
				if err != nil {
					return err
				}
				trips[i] = append(trips[i], t...)
				slow[i] = append(slow[i], countSlow(t))
			}
		}
		for i, t := range trips {
			r := registeringResult{c.name, modes[i].name, len(t), countSlow(t), int(median(slow[i], func(n int) float64 { return float64(n) }))}
			slices.Sort(t)
			b.row(r.over, r.mode, durationText(quantile(t, 50)), durationText(quantile(t, 99)), durationText(quantile(t, 100)),
				fmt.Sprintf("%d of %d", r.slow, r.calls), fmt.Sprint(r.typical))
			b.registerings = append(b.registerings, r)
		}
	}
	return nil
}

func countSlow(trips []time.Duration) int {
	n := 0
	for _, t := range trips {
		if t > 10*time.Millisecond {
			n++
		}
	}
	return n
}

func callWhile(ctx context.Context, cfg config, p *pair, client *rpc.Client, at *rpc.Server, names *int) ([]time.Duration, error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	if at != nil {
		wg.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for !stop.Load() {
				*names++
				if err := at.RegisterName(fmt.Sprint("Echo", *names), Echo{}); err != nil {
					return
				}
				<-tick.C
			}
		})
	}
	all := make([][]time.Duration, cfg.callers)
	errs := make(chan error, cfg.callers)
	for i := range all {
		wg.Go(func() {
			args, reply := &Args{6, 7}, new(int)
			for !stop.Load() {
				start := time.Now()
				if err := client.CallContext(ctx, p.b.ID(), "Echo", "Multiply", args, reply); err != nil {
					errs <- err
					return
				}
				all[i] = append(all[i], time.Since(start))
				runtime.Gosched() // or a call would wait for others' turns
			}
		})
	}
	timer := time.NewTimer(cfg.time)
	<-timer.C
	stop.Store(true)
	wg.Wait()
	close(errs)
	return slices.Concat(all...), <-errs
}
