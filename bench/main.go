// Bench compares the library with what it is built on, side by side: in every
// round each contestant of a cell takes its turn, over the same connection, in
// another order, and medians over the rounds are compared. One machine's
// figures mean little; their ratios, taken in one run, mean something.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// contestant does n operations, and returns what went wrong.
type contestant struct {
	name string
	run  func(ctx context.Context, n int) error
}

// cell is one comparison. The first contestant is what the others are
// compared with.
type cell struct {
	name        string
	bytes       int // of payload an operation moves one way; 0 where that is not the point
	contestants []contestant
}

// group makes cells that share a set-up, which close takes down.
type group struct {
	name string
	make func(ctx context.Context) (cells []cell, close func(), err error)
}

type config struct {
	rounds  int
	time    time.Duration // of a contestant's turn
	only    *regexp.Regexp
	callers int
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	rounds := flags.Int("rounds", 11, "how many turns each contestant has")
	turn := flags.Duration("time", 300*time.Millisecond, "how long a turn is")
	only := flags.String("run", "", "run the cells whose names match this regular expression")
	quick := flags.Bool("quick", false, "turns so short that the figures mean nothing: to see that all runs")
	cpu := flags.String("cpuprofile", "", "write a CPU profile to this file")
	if err := flags.Parse(args); err != nil {
		return err
	}
	re, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	cfg := config{rounds: max(*rounds, 1), time: *turn, only: re, callers: 64}
	if *quick {
		cfg.rounds, cfg.time = 2, 5*time.Millisecond
	}
	if *cpu != "" {
		f, err := os.Create(*cpu)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	fmt.Fprintf(out, "%s, %s/%s, %d processors, %d rounds of %v\n", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.GOMAXPROCS(0), cfg.rounds, cfg.time)
	for _, g := range groups(cfg) {
		if err := runGroup(ctx, out, cfg, g); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	if cfg.only.MatchString("registering") {
		return registering(ctx, out, cfg)
	}
	return nil
}

func runGroup(ctx context.Context, out io.Writer, cfg config, g group) error {
	cells, done, err := g.make(ctx)
	if err != nil {
		return err
	}
	defer done()
	printed := false
	for _, c := range cells {
		if !cfg.only.MatchString(g.name + " " + c.name) {
			continue
		}
		results, err := c.measure(ctx, cfg)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if !printed {
			fmt.Fprintf(out, "\n### %s\n\n| | | time | ratio | MB/s | allocations | bytes |\n| --- | --- | ---: | ---: | ---: | ---: | ---: |\n", g.name)
			printed = true
		}
		for i, r := range results {
			rate := ""
			if c.bytes > 0 {
				rate = fmt.Sprintf("%.0f", float64(c.bytes)*1e3/r.ns)
			}
			fmt.Fprintf(out, "| %s | %s | %s | %s | %s | %.0f | %.0f |\n", c.name, c.contestants[i].name,
				timeText(r.ns), ratioText(r.ns/results[0].ns), rate, r.allocs, r.bytes)
		}
	}
	return nil
}

// result is the medians of a contestant's turns, an operation each.
type result struct {
	ns, allocs, bytes float64
}

// measure lets all contestants take their turns.
func (c cell) measure(ctx context.Context, cfg config) ([]result, error) {
	n := make([]int, len(c.contestants))
	for i, con := range c.contestants { // warm up, and find out how many make a turn
		var err error
		if n[i], err = calibrate(ctx, con, cfg.time); err != nil {
			return nil, fmt.Errorf("%s: %w", con.name, err)
		}
	}
	turns := make([][]result, len(c.contestants))
	for round := range cfg.rounds {
		for k := range c.contestants {
			i := (round + k) % len(c.contestants)
			r, err := turn(ctx, c.contestants[i], n[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.contestants[i].name, err)
			}
			turns[i] = append(turns[i], r)
		}
	}
	medians := make([]result, len(turns))
	for i, t := range turns {
		medians[i] = result{
			ns:     median(t, func(r result) float64 { return r.ns }),
			allocs: median(t, func(r result) float64 { return r.allocs }),
			bytes:  median(t, func(r result) float64 { return r.bytes }),
		}
	}
	return medians, nil
}

func calibrate(ctx context.Context, con contestant, d time.Duration) (int, error) {
	for n := 1; ; n *= 4 {
		start := time.Now()
		if err := con.run(ctx, n); err != nil {
			return 0, err
		}
		if took := time.Since(start); took >= d/4 {
			return max(1, int(float64(n)*float64(d)/float64(took))), nil
		}
	}
}

// turn runs n operations. Both ends are in this process: their allocations
// are counted together.
func turn(ctx context.Context, con contestant, n int) (result, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	err := con.run(ctx, n)
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	return result{
		ns:     float64(took) / float64(n),
		allocs: float64(after.Mallocs-before.Mallocs) / float64(n),
		bytes:  float64(after.TotalAlloc-before.TotalAlloc) / float64(n),
	}, err
}

func median(rs []result, value func(result) float64) float64 {
	all := make([]float64, len(rs))
	for i, r := range rs {
		all[i] = value(r)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func timeText(ns float64) string {
	switch {
	case ns < 10:
		return fmt.Sprintf("%.1f ns", ns)
	case ns < 10e3:
		return fmt.Sprintf("%.0f ns", ns)
	case ns < 10e6:
		return fmt.Sprintf("%.0f µs", ns/1e3)
	}
	return fmt.Sprintf("%.0f ms", ns/1e6)
}

func ratioText(r float64) string {
	if r < 10 {
		return fmt.Sprintf("%.2f", r)
	}
	return fmt.Sprintf("%.0f", r)
}
