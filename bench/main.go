// Bench compares the library with others and with what it is built on, side by
// side: in every round each contestant of a cell takes its turn, over the same
// libp2p connection, in another order, and medians over the rounds are
// compared. One machine's figures mean little; their ratios, taken in one run,
// mean something.
//
//	go run ./bench                    all tables, in Markdown
//	go run ./bench -run 'TCP 64 B'    some of them
//	go run ./bench -run '4 KiB, 64' -of session -cpuprofile cpu.prof
//	go run ./bench -draw              all tables, and the charts in docs/
//	go run ./bench -write             the same, and the tables into docs/benchmarks.md
//	go run ./bench -compare HEAD~1    the library alone, that commit's and the working tree's
//
// Charts and the document are of whole runs only, and of a run with -quick only
// in a directory that -docs names, so that docs/ keeps what means something.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"runtime/pprof"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

func main() {
	if isChild() {
		child()
		return
	}
	if err := run(context.Background(), os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type config struct {
	rounds  int
	time    time.Duration // of a contestant's turn
	only    *regexp.Regexp
	of      *regexp.Regexp // contestants; nil for all
	callers int

	waiting int   // calls that wait on one peer
	idle    int   // peers with an idle session each
	fanOut  []int // destinations
	growth  []int // destinations, of which memory is measured too
}

func defaults() config {
	return config{callers: 64, waiting: 10_000, idle: 100, fanOut: []int{1, 10, 100}, growth: []int{10, 30, 100, 300, 1000}}
}

// quick makes turns so short, and numbers so small, that figures mean nothing.
func (c *config) quick() {
	c.rounds, c.time = 2, 5*time.Millisecond
	c.waiting, c.idle, c.fanOut, c.growth = 200, 5, []int{1, 10}, []int{5, 10}
}

// machineText is what figures were measured on, and how.
func (c config) machineText() string {
	return fmt.Sprintf("%s, %s/%s, %d processors, %d rounds of %v", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.GOMAXPROCS(0), c.rounds, c.time)
}

// bench is one run: what it measured is kept for the charts and the targets.
type bench struct {
	config
	out          io.Writer
	machine      string
	cells        map[string][]cellResult // by group
	growths      []growthResult
	waits        []waitResult
	idles        []idleResult
	latencies    map[string][]latencyResult // by section
	registerings []registeringResult
}

// section is a part of a run that makes tables of its own form.
type section struct {
	name string
	run  func(b *bench, ctx context.Context, name string) error
}

const (
	latencyTCP  = "Latency beside large replies over TCP"
	latencyQUIC = "Latency beside large replies over QUIC"
)

func sections() []section {
	return []section{
		{fanOutTCP, (*bench).fanOutCells},
		{"Growth of MultiCall", (*bench).growthOfMultiCall},
		{"Goroutines while calls wait", (*bench).goroutines},
		{"Memory of waiting calls", (*bench).waitingCalls},
		{"Memory of idle sessions", (*bench).idleSessions},
		{latencyTCP, func(b *bench, ctx context.Context, name string) error { return b.latency(ctx, name, rig.OverTCP) }},
		{latencyQUIC, func(b *bench, ctx context.Context, name string) error { return b.latency(ctx, name, rig.OverQUIC) }},
		{"Registering while callers call", (*bench).registering},
	}
}

// options are the command's, but for the config.
type options struct {
	quick, draw, write bool
	docs               string
	cpu, mem           string
	compare            comparison
}

func parse(args []string) (cfg config, o options, err error) {
	cfg = defaults()
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&cfg.rounds, "rounds", 9, "how many turns each contestant has")
	flags.DurationVar(&cfg.time, "time", 150*time.Millisecond, "how long a turn is")
	only := flags.String("run", "", "run what this regular expression matches: a cell's group and name, a section's name")
	of := flags.String("of", "", "of cells and latencies, only the contestants that this regular expression matches: for profiles; no targets then")
	flags.BoolVar(&o.quick, "quick", false, "turns so short that the figures mean nothing: to see that all runs")
	flags.BoolVar(&o.draw, "draw", false, "draw the charts into docs/")
	flags.BoolVar(&o.write, "write", false, "write the tables into docs/benchmarks.md, between its markers, and draw the charts")
	flags.StringVar(&o.docs, "docs", "", "use this directory in place of the project's docs")
	flags.StringVar(&o.cpu, "cpuprofile", "", "write a CPU profile to this file")
	flags.StringVar(&o.mem, "memprofile", "", "write a profile of all allocations to this file")
	o.compare.flags(flags)
	if err = flags.Parse(args); err != nil {
		return cfg, o, err
	}
	if cfg.only, err = regexp.Compile(*only); err != nil {
		return cfg, o, fmt.Errorf("-run: %w", err)
	}
	if *of != "" {
		if cfg.of, err = regexp.Compile(*of); err != nil {
			return cfg, o, fmt.Errorf("-of: %w", err)
		}
	}
	cfg.rounds = max(cfg.rounds, 1)
	if o.quick {
		cfg.quick()
	}
	if !o.draw && !o.write {
		return cfg, o, o.compare.check(*of != "" || o.cpu != "" || o.mem != "")
	}
	switch {
	case o.compare != comparison{}:
		err = errors.New("-draw and -write are of figures, not of a comparison")
	case *only != "" || *of != "":
		err = errors.New("-draw and -write are of whole runs, without -run and -of")
	case o.docs != "":
	case o.quick:
		err = errors.New("the figures of -quick mean nothing; name a directory with -docs")
	default:
		o.docs, err = findDocs()
	}
	return cfg, o, err
}

func run(ctx context.Context, args []string, out io.Writer) error {
	cfg, o, err := parse(args)
	if err != nil {
		return err
	}
	stop, err := profile(o)
	if err != nil {
		return err
	}
	var figures bytes.Buffer
	b := &bench{
		config: cfg, out: io.MultiWriter(out, &figures),
		cells: make(map[string][]cellResult), latencies: make(map[string][]latencyResult),
		machine: cfg.machineText(),
	}
	if o.compare.base != "" {
		return b.compare(ctx, o.compare)
	}
	if err := errors.Join(b.all(ctx), stop()); err != nil {
		return err
	}
	if o.draw || o.write {
		if err := b.draw(o.docs); err != nil {
			return err
		}
	}
	if o.write {
		return writeFigures(filepath.Join(o.docs, "benchmarks.md"), figures.Bytes())
	}
	return nil
}

// all measures what was asked for.
func (b *bench) all(ctx context.Context) error {
	fmt.Fprintln(b.out, b.machine)
	for _, g := range groups(b.config) {
		if err := b.group(ctx, g); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
	}
	for _, s := range sections() {
		if !b.only.MatchString(s.name) {
			continue
		}
		if err := s.run(b, ctx, s.name); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	if b.of == nil {
		b.printTargets()
	}
	return nil
}

// profile starts what was asked for, which stop ends.
func profile(o options) (stop func() error, err error) {
	var cpu *os.File
	if o.cpu != "" {
		if cpu, err = os.Create(o.cpu); err != nil {
			return nil, err
		}
		if err := pprof.StartCPUProfile(cpu); err != nil {
			return nil, errors.Join(err, cpu.Close())
		}
	}
	return func() error {
		if cpu != nil {
			pprof.StopCPUProfile()
			if err := cpu.Close(); err != nil {
				return err
			}
		}
		if o.mem == "" {
			return nil
		}
		f, err := os.Create(o.mem)
		if err != nil {
			return err
		}
		return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
	}, nil
}

// findDocs finds the project's docs from its root or from the module.
func findDocs() (string, error) {
	for _, at := range []string{".", ".."} {
		if _, err := os.Stat(filepath.Join(at, "bench", "go.mod")); err != nil {
			continue
		}
		if info, err := os.Stat(filepath.Join(at, "docs")); err == nil && info.IsDir() {
			return filepath.Join(at, "docs"), nil
		}
	}
	return "", errors.New("there is no docs directory here; name one with -docs")
}

// table prints a heading, what is to be said about it, and a table's head.
// Columns are aligned right, but for the first, one without a name, and one
// whose name begins with a colon.
func (b *bench) table(name, about string, columns ...string) {
	fmt.Fprintf(b.out, "\n### %s\n\n", name)
	if about != "" {
		fmt.Fprintf(b.out, "%s\n\n", about)
	}
	rule := make([]string, len(columns))
	for i, c := range columns {
		rule[i] = "---:"
		if i == 0 || c == "" || c[0] == ':' {
			rule[i] = "---"
		}
		columns[i] = strings.TrimPrefix(c, ":")
	}
	b.row(columns...)
	b.row(rule...)
}

func (b *bench) row(fields ...string) {
	for _, f := range fields {
		fmt.Fprintf(b.out, "| %s ", f)
	}
	fmt.Fprintln(b.out, "|")
}
