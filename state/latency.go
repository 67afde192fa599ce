package state

import (
	"math"
	"time"
)

// Latency says how long calls took, from beginning to end: for streaming calls, all of
// the stream.
type Latency struct {
	Sum time.Duration `json:"sum"`
	// Buckets have the calls by how long they took, shortest first. Those without a call
	// are left out.
	Buckets []Bucket `json:"buckets,omitempty"`
}

// Bucket counts the calls that took from From to less than To, which is at most twice as
// long and mostly five quarters. The last one has no end: its To is the greatest duration.
type Bucket struct {
	From time.Duration `json:"from"`
	To   time.Duration `json:"to"`
	N    uint64        `json:"n"`
}

// Count is how many calls there are.
func (l Latency) Count() (n uint64) {
	for _, b := range l.Buckets {
		n += b.N
	}
	return n
}

// Quantile returns the time in which the part q of the calls was over, 0.5 for the
// median: within an eighth of it, for a bucket's calls are taken to lie evenly in it. It is 0
// without calls.
func (l Latency) Quantile(q float64) time.Duration {
	rank := q * float64(l.Count())
	var last time.Duration
	for _, b := range l.Buckets {
		if n := float64(b.N); rank <= n {
			if b.To == math.MaxInt64 {
				return b.From
			}
			return b.From + time.Duration(max(rank, 0)/n*float64(b.To-b.From))
		} else {
			rank -= n
		}
		last = b.To
	}
	return last
}

// Since returns the calls that have come since before, an earlier Latency of the same.
func (l Latency) Since(before Latency) Latency {
	had := make(map[time.Duration]uint64, len(before.Buckets))
	for _, b := range before.Buckets {
		had[b.From] = b.N
	}
	since := Latency{Sum: l.Sum - before.Sum}
	for _, b := range l.Buckets {
		if n := had[b.From]; b.N > n {
			b.N -= n
			since.Buckets = append(since.Buckets, b)
		}
	}
	return since
}

// Plus returns the calls of both.
func (l Latency) Plus(m Latency) Latency {
	sum := Latency{Sum: l.Sum + m.Sum}
	a, b := l.Buckets, m.Buckets
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].From < b[0].From:
			sum.Buckets, a = append(sum.Buckets, a[0]), a[1:]
		case len(a) == 0 || b[0].From < a[0].From:
			sum.Buckets, b = append(sum.Buckets, b[0]), b[1:]
		default:
			both := a[0]
			both.N += b[0].N
			sum.Buckets, a, b = append(sum.Buckets, both), a[1:], b[1:]
		}
	}
	return sum
}
