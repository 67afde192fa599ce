package main

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// contestant is one way to do what a cell compares.
type contestant struct {
	name   string
	floor  bool // only moves bytes
	run    rig.Op
	verify func(ctx context.Context) error // does one and looks closely; may be nil
}

// cell is one comparison.
type cell struct {
	name        string
	bytes       int // of payload an operation moves one way; 0 where that is not the point
	contestants []contestant
}

// group makes cells that share a set-up, which close takes down.
type group struct {
	name  string
	about string
	make  func(ctx context.Context) (cells []cell, close func(), err error)
}

// result is the medians of a contestant's turns, an operation each.
type result struct {
	ns, allocs, bytes float64
}

type cellResult struct {
	cell
	results []result
}

// base is the time that the others are compared with: the better floor's, or
// the first contestant's where there is none.
func (c *cellResult) base() float64 {
	best := 0.0
	for i, r := range c.results {
		if c.contestants[i].floor && (best == 0 || r.ns < best) {
			best = r.ns
		}
	}
	if best == 0 {
		best = c.results[0].ns
	}
	return best
}

// of finds a contestant's result.
func (c *cellResult) of(name string) (result, bool) {
	for i, con := range c.contestants {
		if con.name == name {
			return c.results[i], true
		}
	}
	return result{}, false
}

// find returns a cell that was measured, or nil.
func (b *bench) find(group, cell string) *cellResult {
	for i := range b.cells[group] {
		if c := &b.cells[group][i]; c.name == cell {
			return c
		}
	}
	return nil
}

const aboutFloors = "Ratios are of the better floor's time. Allocations and bytes are those of both ends."

func (b *bench) group(ctx context.Context, g group) error {
	cells, done, err := g.make(ctx)
	if err != nil {
		return err
	}
	defer done()
	printed := false
	for _, c := range cells {
		if !b.only.MatchString(g.name + " " + c.name) {
			continue
		}
		if b.of != nil {
			c.contestants = slices.DeleteFunc(c.contestants, func(con contestant) bool { return !b.of.MatchString(con.name) })
		}
		if len(c.contestants) == 0 {
			continue
		}
		results, err := c.measure(ctx, b.config)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if !printed {
			b.table(g.name, g.about, "", "", "time", "ratio", "MB/s", "allocations", "bytes")
			printed = true
		}
		r := cellResult{c, results}
		b.cellRows(&r)
		b.cells[g.name] = append(b.cells[g.name], r)
	}
	return nil
}

func (b *bench) cellRows(c *cellResult) {
	base := c.base()
	for i, r := range c.results {
		rate := ""
		if c.bytes > 0 {
			rate = fmt.Sprintf("%.0f", float64(c.bytes)*1e3/r.ns)
		}
		b.row(c.name, c.contestants[i].name, timeText(r.ns), ratioText(r.ns/base), rate,
			fmt.Sprintf("%.0f", r.allocs), fmt.Sprintf("%.0f", r.bytes))
	}
}

// measure lets all contestants take their turns.
func (c cell) measure(ctx context.Context, cfg config) ([]result, error) {
	n := make([]int, len(c.contestants))
	for i, con := range c.contestants { // warm up, and find out how many make a turn
		var err error
		if con.verify != nil {
			err = con.verify(ctx)
		}
		if err == nil {
			n[i], err = rig.Calibrate(ctx, con.run, cfg.time)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", con.name, err)
		}
	}
	turns := make([][]result, len(c.contestants))
	for round := range cfg.rounds {
		for _, i := range order(round, len(c.contestants)) {
			r, err := rig.Turn(ctx, c.contestants[i].run, n[i])
			if err != nil {
				return nil, fmt.Errorf("%s: %w", c.contestants[i].name, err)
			}
			turns[i] = append(turns[i], result{r.NS, r.Allocs, r.Bytes})
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

// order is whose turn it is in a round, another in each and the same in every
// run: nobody always follows the same.
func order(round, n int) []int {
	return rand.New(rand.NewPCG(uint64(round), uint64(n))).Perm(n)
}

func median[T any](rs []T, value func(T) float64) float64 {
	all := make([]float64, len(rs))
	for i, r := range rs {
		all[i] = value(r)
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// unit is what a number is of.
type unit struct {
	names []string
	bytes bool // each is 1024 of the one before, and not 1000
}

var (
	ofTime  = unit{names: []string{"ns", "µs", "ms", "s"}}
	ofSize  = unit{names: []string{"B", "KiB", "MiB", "GiB"}, bytes: true}
	ofCount = unit{names: []string{""}}
)

// timeText is a time given in nanoseconds.
func timeText(ns float64) string { return ofTime.text(ns) }

// sizeText is a number of bytes that was measured.
func sizeText(n float64) string { return ofSize.text(n) }

// text writes a number that was measured, with three digits that count, zeros
// too, or a whole number if there is nothing smaller.
func (u unit) text(v float64) string {
	v, name := u.in(v)
	digits := 2
	for x := math.Abs(v); x >= 9.995 && digits > 0; x /= 10 {
		digits--
	}
	if u.bytes && name == u.names[0] {
		digits = 0
	}
	return strings.TrimSpace(strconv.FormatFloat(v, 'f', digits, 64) + " " + name)
}

// mark writes a round number.
func (u unit) mark(v float64) string {
	v, name := u.in(v)
	return strings.TrimSpace(countText(math.Round(v*1000)/1000) + " " + name)
}

// in is v in the unit in which it has no more than three digits before the
// point.
func (u unit) in(v float64) (float64, string) {
	names, step := u.names, 1000.0
	if u.bytes {
		step = 1024
	}
	for math.Abs(v) >= 999.5 && len(names) > 1 {
		v, names = v/step, names[1:]
	}
	return v, names[0]
}

func ratioText(r float64) string {
	if r < 10 {
		return fmt.Sprintf("%.2f", r)
	}
	return fmt.Sprintf("%.0f", r)
}

func bytesText(n int) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	if n < 1<<20 {
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d MiB", n>>20)
}

func callersText(n int) string {
	if n == 1 {
		return "1 caller"
	}
	return fmt.Sprintf("%d callers", n)
}
