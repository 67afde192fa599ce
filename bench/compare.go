package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
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
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM) // an interrupt leaves nothing behind
	defer stop()
	began := time.Now()
	temp, err := os.MkdirTemp("", "rpc-compare")
	if err != nil {
		return err
	}
	defer func() {
		if ctx.Err() != nil {
			err = context.Cause(ctx) // which is why processes ended
		}
		err = errors.Join(err, os.RemoveAll(temp))
	}()
	builds, err := c.build(ctx, temp)
	if err != nil {
		return err
	}
	if c.noise {
		builds = slices.Concat(builds, builds)
	}
	m := &match{b, builds}
	cells, err := m.cells(ctx)
	if err != nil {
		return err
	}
	about := time.Duration(len(cells)*len(builds)*b.rounds) * b.time
	fmt.Fprintf(b.out, "%s\n\nbase: %s; new: %s; %d cells, in about %v\n", b.machine, builds[0].name, builds[1].name, len(cells),
		(about * 2).Round(time.Second))
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

// match has processes of builds take turns: of the base's, the other's, and for
// the noise of each of them again.
type match struct {
	*bench
	builds []build
}

// start runs a process of each build.
func (m *match) start(ctx context.Context) (sides []*process, stop func(), err error) {
	stop = func() {
		for _, p := range sides {
			p.stop()
		}
	}
	for _, b := range m.builds {
		p, err := b.start(ctx)
		if err != nil {
			stop()
			return nil, nil, err
		}
		sides = append(sides, p)
	}
	return sides, stop, nil
}

// cells are those that were asked for.
func (m *match) cells(ctx context.Context) ([]string, error) {
	p, err := m.builds[0].start(ctx)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	r, err := p.ask(rig.Request{})
	if err != nil {
		return nil, err
	}
	cells := slices.DeleteFunc(r.Cells, func(name string) bool { return !m.only.MatchString(name) })
	if len(cells) == 0 {
		return nil, errors.New("-run matches no cell")
	}
	return cells, nil
}

// compared is a cell's turns, by build.
type compared struct {
	name   string
	turns  []turns
	versus // the other with the base
}

// again is each build compared with itself; empty without -noise.
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

// play has all builds take turns at all cells, and prints a table.
func (m *match) play(ctx context.Context, title string, cells []string, rounds int) ([]compared, error) {
	all := make([]compared, len(cells))
	for i, name := range cells {
		all[i] = compared{name: name, turns: make([]turns, len(m.builds))}
	}
	for round := range rounds {
		began := time.Now()
		if err := m.round(ctx, round, all); err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "round %d of %d took %v\n", round+1, rounds, time.Since(began).Round(time.Millisecond))
	}
	columns := []string{"", "base", ":from to", "new", ":from to", "ratio", "paired", "p", "allocations", "new"}
	if len(m.builds) > 2 {
		columns = append(columns, "base again", "new again")
	}
	m.table(title, "", columns...)
	for i := range all {
		all[i].versus = compareTurns(all[i].turns[0], all[i].turns[1])
		m.comparedRow(all[i])
	}
	return all, nil
}

// round has each build take one turn at each cell, cell after cell, in processes of
// its own: one process of a build can be a tenth slower than another for as long
// as it lives, by where its memory happens to be, which many turns would not show.
func (m *match) round(ctx context.Context, round int, all []compared) error {
	sides, stop, err := m.start(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for i := range all {
		results, err := takeTurns(sides, round, all[i].name, m.time)
		if err != nil {
			return err
		}
		for side, r := range results {
			all[i].turns[side] = append(all[i].turns[side], r)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// takeTurns has processes warm up and then take a turn each at a cell, one after
// the other, with the same number of operations: as many as the slowest does in d.
// In every other round the order is reversed.
func takeTurns(sides []*process, round int, cell string, d time.Duration) ([]rig.Result, error) {
	order := make([]int, len(sides))
	for i := range order {
		order[i] = i
	}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	n := math.MaxInt
	for _, side := range order {
		r, err := sides[side].ask(rig.Request{Cell: cell, Time: d})
		if err != nil {
			return nil, err
		}
		n = min(n, r.N)
	}
	results := make([]rig.Result, len(sides))
	for _, side := range order {
		r, err := sides[side].ask(rig.Request{Cell: cell, N: n})
		if err != nil {
			return nil, err
		}
		results[side] = r.Result
	}
	return results, nil
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
	again := make([][]float64, len(m.builds)-2)
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
