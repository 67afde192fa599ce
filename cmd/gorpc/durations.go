package main

import (
	"fmt"
	"io"
	"math"
	"math/bits"
	"strings"
	"time"
)

// durations counts how long calls took, each with an error of less than a hundredth. It
// takes no more room for many than for few. It is not safe for concurrent use.
type durations struct {
	counts    [(64 - fineBits) << fineBits]uint64
	n         uint64
	sum       float64
	low, high time.Duration
}

// fineBits are how many bits of a duration are told apart, beside the first.
const fineBits = 7

// cell returns where a duration is counted.
func cell(d time.Duration) int {
	shift := max(bits.Len64(uint64(d))-fineBits-1, 0)
	return shift<<fineBits + int(d>>shift)
}

// floor is the least duration that is counted in a cell.
func floor(cell int) time.Duration {
	shift := max(cell>>fineBits-1, 0)
	return time.Duration(cell-shift<<fineBits) << shift
}

func (h *durations) add(d time.Duration) {
	d = max(d, 0)
	h.counts[cell(d)]++
	if h.n == 0 || d < h.low {
		h.low = d
	}
	h.n, h.sum, h.high = h.n+1, h.sum+float64(d), max(h.high, d)
}

// merge adds what o has counted.
func (h *durations) merge(o *durations) {
	if o.n == 0 {
		return
	}
	if h.n == 0 || o.low < h.low {
		h.low = o.low
	}
	for i, n := range o.counts {
		h.counts[i] += n
	}
	h.n, h.sum, h.high = h.n+o.n, h.sum+o.sum, max(h.high, o.high)
}

func (h *durations) mean() time.Duration {
	if h.n == 0 {
		return 0
	}
	return time.Duration(h.sum / float64(h.n))
}

// quantile returns what the share q of the calls took at most.
func (h *durations) quantile(q float64) time.Duration {
	rank, seen := uint64(math.Ceil(q*float64(h.n))), uint64(0)
	for i, n := range h.counts {
		if seen += n; seen >= max(rank, 1) {
			return min(max((floor(i)+floor(i+1))/2, h.low), h.high)
		}
	}
	return h.high
}

// bar is how many calls took up to a time, and longer than the bar before says.
type bar struct {
	UpTo  jsonTime `json:"upTo"`
	Calls uint64   `json:"calls"`
}

// bars divides the calls at 1, 2 and 5 of each power of ten.
func (h *durations) bars() (all []bar) {
	if h.n == 0 {
		return nil
	}
	i := 0
	for decade := time.Duration(1); ; decade *= 10 {
		for _, step := range [...]time.Duration{1, 2, 5} {
			to, n := decade*step, uint64(0)
			for ; i < len(h.counts) && floor(i) < to; i++ {
				n += h.counts[i]
			}
			if n > 0 || len(all) > 0 {
				all = append(all, bar{jsonTime(to), n})
			}
			if to > h.high {
				return all
			}
		}
	}
}

// draw writes bars for people.
func draw(w io.Writer, all []bar) {
	const width = 50
	var most uint64
	for _, b := range all {
		most = max(most, b.Calls)
	}
	for _, b := range all {
		share := strings.Repeat("#", int(math.Ceil(float64(b.Calls)*width/float64(most))))
		fmt.Fprintf(w, "  %8s  %-*s %d\n", "< "+time.Duration(b.UpTo).String(), width, share, b.Calls)
	}
}
