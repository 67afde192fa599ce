package admit

import (
	"math"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// mostBuckets is how many peers' buckets there are at most, twice: of those that
// came lately, and of those before.
const mostBuckets = 1 << 14

// Rates has a token bucket for each peer that came lately. A bucket that is full
// is as good as a new one: the buckets of peers that have not come for as long as
// one takes to fill are forgotten. When there are too many, the oldest are forgotten
// before: who has that many identities gains nothing by it. Its methods are safe for
// concurrent use.
type Rates struct {
	limit rate.Limit
	burst int
	fills time.Duration

	mu           sync.Mutex
	late, before map[peer.ID]*rate.Limiter
	turned       time.Time // when late began
}

// NewRates returns buckets of burst tokens that get perSecond tokens a second.
func NewRates(perSecond float64, burst int) *Rates {
	fills := float64(burst) / perSecond * float64(time.Second)
	return &Rates{limit: rate.Limit(perSecond), burst: burst, fills: time.Duration(min(fills, math.MaxInt64/2))}
}

// PerSecond is how many tokens a bucket gets.
func (r *Rates) PerSecond() float64 { return float64(r.limit) }

// Take takes a token from a peer's bucket and returns 0, or returns how long it
// takes until there is one.
func (r *Rates) Take(id peer.ID) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	b := r.bucket(id, now)
	taken := b.ReserveN(now, 1)
	wait := taken.DelayFrom(now)
	if wait > 0 {
		taken.CancelAt(now)
	}
	return wait
}

func (r *Rates) bucket(id peer.ID, now time.Time) *rate.Limiter {
	if r.late == nil || now.Sub(r.turned) >= r.fills || len(r.late) >= mostBuckets {
		r.late, r.before, r.turned = make(map[peer.ID]*rate.Limiter), r.late, now
	}
	b := r.late[id]
	if b != nil {
		return b
	}
	if b = r.before[id]; b == nil {
		b = rate.NewLimiter(r.limit, r.burst)
	}
	r.late[id] = b
	return b
}
