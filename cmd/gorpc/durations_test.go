package main

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A quantile is what sorting says, within a hundredth, and durations counted apart are
// as good as those counted together.
func TestDurations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []time.Duration
	var h, other durations
	for i := range 10_000 {
		d := time.Duration(r.ExpFloat64() * float64(time.Millisecond))
		all = append(all, d)
		if i%3 == 0 {
			other.add(d)
		} else {
			h.add(d)
		}
	}
	h.merge(&other)
	h.merge(new(durations))
	slices.Sort(all)
	for _, q := range []float64{0, .5, .9, .99, .999, 1} {
		want := all[max(0, int(q*float64(len(all)))-1)]
		if got := h.quantile(q); (got - want).Abs() > want/100+1 {
			t.Errorf("the quantile %v is %v, not %v", q, got, want)
		}
	}
	if h.n != 10_000 || h.low != all[0] || h.high != all[len(all)-1] {
		t.Errorf("%d durations from %v to %v", h.n, h.low, h.high)
	}
	var n uint64
	for _, b := range h.bars() {
		n += b.Calls
		if got := uint64(len(all)); b.Calls > got {
			t.Errorf("a bar of %d", b.Calls)
		}
	}
	if n != 10_000 {
		t.Errorf("the bars have %d", n)
	}
}

// Every duration is counted in the cell that begins at or before it.
func TestCells(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 127, 128, 255, 256, 257, 1000, 1 << 40, 1<<63 - 1} {
		if c := cell(d); floor(c) > d || c+1 < len(durations{}.counts) && floor(c+1) <= d {
			t.Errorf("%d is counted in cell %d, from %d", d, c, floor(c))
		}
	}
}
