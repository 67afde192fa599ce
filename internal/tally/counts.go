// Package tally counts the calls of a server or a client, by method and by peer, and
// makes a [state.Side] of what it has counted. To count a call takes no lock and no
// memory: who is counted is looked up before.
package tally

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Buckets are of a microsecond, or rather 1,024 ns, up to eight of these, and then four
// for each doubling: up to two minutes, and one for what takes longer.
const (
	unitShift = 10
	buckets   = 108
)

func bucketOf(d time.Duration) int {
	v := uint64(max(d, 0)) >> unitShift
	if v < 4 {
		return int(v)
	}
	e := bits.Len64(v) - 3
	return min(4*e+int(v>>e), buckets-1)
}

// boundsOf are where a bucket begins and ends.
func boundsOf(i int) (from, to time.Duration) {
	if i == buckets-1 {
		return startOf(i), math.MaxInt64
	}
	return startOf(i), startOf(i + 1)
}

func startOf(i int) time.Duration {
	if i < 8 {
		return time.Duration(i) << unitShift
	}
	e := i/4 - 1
	return time.Duration(4+i%4) << (e + unitShift)
}

// numCodes is how many codes there are. Others count as Unknown.
const numCodes = int(codes.Unauthenticated) + 1

// Counts count calls that are over. The zero Counts are ready; their methods are safe
// for concurrent use.
type Counts struct {
	sum     atomic.Int64
	buckets [buckets]atomic.Uint64
	failed  [numCodes]atomic.Uint64
}

// Count counts a call that took d.
func (c *Counts) Count(d time.Duration, code codes.Code) {
	c.sum.Add(int64(d))
	c.buckets[bucketOf(d)].Add(1)
	if code == codes.OK {
		return
	}
	if int(code) >= numCodes {
		code = codes.Unknown
	}
	c.failed[code].Add(1)
}

// State returns what has been counted.
func (c *Counts) State() (t state.Totals) {
	t.Latency.Sum = time.Duration(c.sum.Load())
	for i := range c.buckets {
		if n := c.buckets[i].Load(); n > 0 {
			from, to := boundsOf(i)
			t.Latency.Buckets = append(t.Latency.Buckets, state.Bucket{From: from, To: to, N: n})
			t.Calls += n
		}
	}
	for i := range c.failed {
		if n := c.failed[i].Load(); n > 0 {
			t.Failed = append(t.Failed, state.Count{Name: codes.Code(i).String(), N: n})
		}
	}
	return t
}

// add adds what from has counted, when that is given up.
func (c *Counts) add(from *Counts) {
	c.sum.Add(from.sum.Load())
	for i := range c.buckets {
		c.buckets[i].Add(from.buckets[i].Load())
	}
	for i := range c.failed {
		c.failed[i].Add(from.failed[i].Load())
	}
}
