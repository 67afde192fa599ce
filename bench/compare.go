package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// comparison is of two builds of the library, whose processes take turns.
type comparison struct {
	base, to string // commits; to is empty for the working tree
	baseTags string // of the cells, if base has other names of the library
	noise    bool   // compare each build with itself, too
	dir      string // in the working tree
}

const (
	suspect       = 1.05 // a ratio over this is measured again,
	suspectRounds = 41   // with so many rounds
)

func (c *comparison) flags(flags *flag.FlagSet) {
	flags.StringVar(&c.base, "compare", "", "compare the working tree's library with this commit's: their processes take turns, and -run chooses cells")
	flags.StringVar(&c.to, "to", "", "with -compare, another commit in place of the working tree")
	flags.BoolVar(&c.noise, "noise", false, "with -compare, compare each of the two with itself, too")
	flags.StringVar(&c.baseTags, "basetags", "", "with -compare, the base's build tags, for names that changed: see bench/rig/names.go")
}

// check sees that flags fit together; others are those that a comparison has no
// use for.
func (c comparison) check(others bool) error {
	switch {
	case c.base == "" && c != comparison{}:
		return errors.New("-to, -noise and -basetags say what -compare does")
	case c.base != "" && others:
		return errors.New("-compare runs without -of and profiles")
	}
	return nil
}

// compare prints how the times of two builds compare, cell by cell.
func (b *bench) compare(ctx context.Context, c comparison) (err error) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt) // an interrupt leaves nothing behind
	defer stop()
	began := time.Now()
	temp, err := os.MkdirTemp("", "rpc-compare")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(temp)) }()
	builds, err := c.build(ctx, temp)
	if err != nil {
		return err
	}
	m := &match{bench: b}
	defer m.stop()
	if err := m.start(ctx, builds, c.noise); err != nil {
		return err
	}
	cells, err := m.cells()
	if err != nil {
		return err
	}
	about := time.Duration(len(cells)*len(m.sides)*(b.rounds+1)) * b.time
	fmt.Fprintf(b.out, "%s\n\nbase: %s; new: %s; %d cells, in about %v\n", b.machine, builds[0].name, builds[1].name, len(cells),
		(about * 3 / 2).Round(time.Second))
	results, err := m.play(ctx, "Times compared", cells, b.rounds)
	if err != nil {
		return err
	}
	m.summary(results)
	if again := suspects(results); len(again) > 0 {
		rounds := max(b.rounds, suspectRounds)
		results, err := m.play(ctx, fmt.Sprintf("Those over %.2f again, %d rounds", suspect, rounds), again, rounds)
		if err != nil {
			return err
		}
		if still := suspects(results); len(still) > 0 {
			fmt.Fprintf(b.out, "\nStill over %.2f: %s.\n", suspect, strings.Join(still, "; "))
		} else {
			fmt.Fprintf(b.out, "\nNone is over %.2f now.\n", suspect)
		}
	}
	fmt.Fprintf(b.out, "\nIt took %v.\n", time.Since(began).Round(time.Second))
	return nil
}

// build makes the base's build, and the other.
func (c comparison) build(ctx context.Context, temp string) ([]build, error) {
	from, err := newBuilder(ctx, c.dir, temp)
	if err != nil {
		return nil, err
	}
	base, err := from.commit(ctx, c.base, c.baseTags)
	if err != nil {
		return nil, err
	}
	if c.to == "" {
		other, err := from.tree(ctx)
		return []build{base, other}, err
	}
	other, err := from.commit(ctx, c.to, "")
	return []build{base, other}, err
}

// match is processes that take turns: the base's, the other's, and for the noise
// another one of each.
type match struct {
	*bench
	sides []*process
}

func (m *match) start(ctx context.Context, builds []build, noise bool) error {
	if noise {
		builds = slices.Concat(builds, builds)
	}
	for _, b := range builds {
		p, err := b.start(ctx)
		if err != nil {
			return err
		}
		m.sides = append(m.sides, p)
	}
	return nil
}

func (m *match) stop() {
	for _, p := range m.sides {
		p.stop()
	}
}

// cells are those that were asked for.
func (m *match) cells() ([]string, error) {
	r, err := m.sides[0].ask(rig.Request{})
	if err != nil {
		return nil, err
	}
	cells := slices.DeleteFunc(r.Cells, func(name string) bool { return !m.only.MatchString(name) })
	if len(cells) == 0 {
		return nil, errors.New("-run matches no cell")
	}
	return cells, nil
}

// compared is a cell's turns, by side.
type compared struct {
	name   string
	turns  []turns
	versus // the other with the base
}

// again is each build's second process compared with its first; empty without
// them.
func (c compared) again() []versus {
	var all []versus
	for i := 2; i < len(c.turns); i++ {
		all = append(all, compareTurns(c.turns[i-2], c.turns[i]))
	}
	return all
}

// suspects are the names of cells that took longer.
func suspects(all []compared) []string {
	var names []string
	for _, c := range all {
		if c.medians > suspect {
			names = append(names, c.name)
		}
	}
	return names
}

// play has all sides take turns at all cells, and prints a table.
func (m *match) play(ctx context.Context, title string, cells []string, rounds int) ([]compared, error) {
	columns := []string{"", "base", ":from to", "new", ":from to", "ratio", "paired", "p", "allocations", "new"}
	if len(m.sides) > 2 {
		columns = append(columns, "base again", "new again")
	}
	m.table(title, "", columns...)
	var all []compared
	for _, name := range cells {
		c := compared{name: name}
		var err error
		if c.turns, err = m.cell(ctx, name, rounds); err != nil {
			return nil, err
		}
		c.versus = compareTurns(c.turns[0], c.turns[1])
		m.comparedRow(c)
		all = append(all, c)
	}
	return all, nil
}

// cell has all sides take turns at one cell. All have the same number of
// operations in a turn, and in every other round the order is reversed.
func (m *match) cell(ctx context.Context, name string, rounds int) ([]turns, error) {
	n := 0
	for i, p := range m.sides {
		r, err := p.ask(rig.Request{Cell: name, Time: m.time})
		if err != nil {
			return nil, err
		}
		if i == 0 || r.N < n {
			n = r.N
		}
	}
	all := make([]turns, len(m.sides))
	for round := range rounds {
		for i := range m.sides {
			if round%2 == 1 {
				i = len(m.sides) - 1 - i
			}
			r, err := m.sides[i].ask(rig.Request{Cell: name, N: n})
			if err != nil {
				return nil, err
			}
			all[i] = append(all[i], r.Result)
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (m *match) comparedRow(c compared) {
	a, b := c.turns[0], c.turns[1]
	base, other := a.sample(nsOfTurn), b.sample(nsOfTurn)
	fields := []string{
		c.name, timeText(center(base)), span(base), timeText(center(other)), span(other),
		fmt.Sprintf("%.3f", c.medians), fmt.Sprintf("%.3f", c.paired), fmt.Sprintf("%.3f", c.p),
		fmt.Sprintf("%.1f", center(a.sample(allocsOfTurn))), fmt.Sprintf("%.1f", center(b.sample(allocsOfTurn))),
	}
	for _, v := range c.again() {
		fields = append(fields, fmt.Sprintf("%.3f", v.medians))
	}
	m.row(fields...)
}

// summary prints the means over all cells.
func (m *match) summary(all []compared) {
	var medians, paired []float64
	again := make([][]float64, len(m.sides)-2)
	for _, c := range all {
		medians, paired = append(medians, c.medians), append(paired, c.paired)
		for i, v := range c.again() {
			again[i] = append(again[i], v.medians)
		}
	}
	fmt.Fprintf(m.out, "\nGeometric mean over %d cells (least to greatest): ratio %s, paired %s.\n", len(all), meanText(medians), meanText(paired))
	if len(again) == 2 {
		fmt.Fprintf(m.out, "Noise: base again %s, new again %s.\n", meanText(again[0]), meanText(again[1]))
	}
}

// machineText is what figures were measured on, and how.
func (cfg config) machineText() string {
	return fmt.Sprintf("%s, %s/%s, %d processors, %d rounds of %v", runtime.Version(), runtime.GOOS, runtime.GOARCH,
		runtime.GOMAXPROCS(0), cfg.rounds, cfg.time)
}
