// Package rig measures calls of the library alone, each a cell with a name, in a
// process that is told which (Serve), so that the processes of two builds can
// take turns. The benchmarks use its hosts and its clock, too.
//
// A comparison copies this directory into the commits that it compares, and
// compiles it there, in the library's module. So it imports what that requires
// and nothing else, and of the library only what those commits have: v0.6's names
// anywhere, others in names.go alone, which says what to do when one of them
// changes.
package rig

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// cell is one measured kind of operation. verify does one and looks closely; it
// may be nil where run looks closely itself.
type cell struct {
	name   string
	run    Op
	verify func(ctx context.Context) error
}

// group makes cells that share a set-up, which close takes down. Their names are
// known before: a set-up of a hundred hosts is made only when it is measured.
type group struct {
	names []string
	open  func(ctx context.Context) (cells []cell, close func(), err error)
}

// bench has the set-up of one group at a time.
type bench struct {
	groups []group
	at     int // the group that is open, or -1
	cells  []cell
	close  func()
}

func newBench() *bench {
	return &bench{groups: groups(), at: -1, close: func() {}}
}

func (b *bench) names() []string {
	var all []string
	for _, g := range b.groups {
		all = append(all, g.names...)
	}
	return all
}

// find returns a cell, whose group it opens in place of another.
func (b *bench) find(ctx context.Context, name string) (cell, error) {
	at := slices.IndexFunc(b.groups, func(g group) bool { return slices.Contains(g.names, name) })
	if at < 0 {
		return cell{}, fmt.Errorf("there is no cell %q", name)
	}
	if at != b.at {
		b.close()
		b.at, b.close = -1, func() {}
		cells, done, err := b.groups[at].open(ctx)
		if err != nil {
			return cell{}, err
		}
		b.at, b.cells, b.close = at, cells, done
	}
	i := slices.IndexFunc(b.cells, func(c cell) bool { return c.name == name })
	if i < 0 {
		return cell{}, fmt.Errorf("the cell %q is announced, but not made", name)
	}
	return b.cells[i], nil
}

// prepare sees that a cell works, warms it up, and finds out how many operations
// take d.
func (b *bench) prepare(ctx context.Context, name string, d time.Duration) (int, error) {
	c, err := b.find(ctx, name)
	if err == nil && c.verify != nil {
		err = c.verify(ctx)
	}
	if err != nil {
		return 0, err
	}
	return Calibrate(ctx, c.run, d)
}

func (b *bench) turn(ctx context.Context, name string, n int) (Result, error) {
	c, err := b.find(ctx, name)
	if err != nil {
		return Result{}, err
	}
	return Turn(ctx, c.run, n)
}
