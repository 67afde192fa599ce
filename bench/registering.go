package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
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
	elsewhere := rpc.NewServer(nil, protocol)
	names := 0
	for _, c := range []struct {
		name   string
		client *rpc.Client
	}{{"local", local}, {"over TCP", p.client}} {
		modes := []struct {
			name string
			at   *rpc.Server
		}{{"nothing is registered", nil}, {"elsewhere, a service a millisecond", elsewhere}, {"here, a service a millisecond", p.server}}
		trips := make([][]time.Duration, len(modes))
		for round := range cfg.rounds {
			for k := range modes {
				i := (round + k) % len(modes)
				t, err := callWhile(ctx, cfg, p, c.client, modes[i].at, &names)
				if err != nil {
					return err
				}
				trips[i] = append(trips[i], t...)
			}
		}
		for i, t := range trips {
			slices.Sort(t)
			slow, _ := slices.BinarySearch(t, 10*time.Millisecond)
			fmt.Fprintf(out, "| %s | %s | %v | %v | %v | %d of %d |\n", c.name, modes[i].name,
				t[len(t)/2], t[len(t)*99/100], t[len(t)-1], len(t)-slow, len(t))
		}
	}
	return nil
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
