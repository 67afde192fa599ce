package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	protocolid "github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func pid(s string) protocolid.ID { return protocolid.ID(s) }

// registering measures calls by many callers while services are registered
// all the time, beside calls while none are.
func registering(ctx context.Context, out io.Writer, cfg config) error {
	p, err := newPair(ctx, "/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer p.close()
	local := rpc.NewClientWithServer(p.b, protocol, p.server)
	defer local.Close()
	fmt.Fprintf(out, "\n### Registering while %d callers call\n\n", cfg.callers)
	fmt.Fprintln(out, "| | | median | p99 | longest | over 10 ms |\n| --- | --- | ---: | ---: | ---: | ---: |")
	names := 0
	for _, c := range []struct {
		name   string
		client *rpc.Client
	}{{"local", local}, {"over TCP", p.client}} {
		for _, busy := range []bool{false, true} {
			var trips []time.Duration
			for range cfg.rounds {
				t, err := callWhile(ctx, cfg, p, c.client, busy, &names)
				if err != nil {
					return err
				}
				trips = append(trips, t...)
			}
			slices.Sort(trips)
			slow, _ := slices.BinarySearch(trips, 10*time.Millisecond)
			what := "nothing is registered"
			if busy {
				what = "a service a millisecond is"
			}
			fmt.Fprintf(out, "| %s | %s | %v | %v | %v | %d of %d |\n", c.name, what,
				trips[len(trips)/2], trips[len(trips)*99/100], trips[len(trips)-1], len(trips)-slow, len(trips))
		}
	}
	return nil
}

func callWhile(ctx context.Context, cfg config, p *pair, client *rpc.Client, busy bool, names *int) ([]time.Duration, error) {
	var stop atomic.Bool
	var wg sync.WaitGroup
	if busy {
		wg.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for !stop.Load() {
				*names++
				if err := p.server.RegisterName(fmt.Sprint("Echo", *names), Echo{}); err != nil {
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
