package faults_test

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// event is something that happens to a link or to a peer.
type event struct {
	at, lasts time.Duration
	what      string
	where     int // which link, or which peer
}

func (e event) String() string {
	return fmt.Sprintf("%6v %s %d, for %v", e.at.Round(time.Millisecond), e.what, e.where, e.lasts.Round(time.Millisecond))
}

// What happens to links, and to peers.
const (
	freeze  = "freeze link"
	kill    = "kill connections of link"
	slow    = "slow link"
	trim    = "trim connections of peer"
	restart = "restart server of peer"
)

// random is the source of one purpose: what is drawn for one does not change another's.
func random(seed, purpose uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, purpose)) }

// between draws a time.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	return least + time.Duration(r.Int64N(int64(most-least)))
}

// schedule is what happens within d. The seed says it all.
func schedule(seed uint64, d time.Duration, links, peers int) (events []event) {
	r := random(seed, 0)
	for at := between(r, 0, 400*time.Millisecond); at < d; at += between(r, 50*time.Millisecond, 600*time.Millisecond) {
		e := event{at: at, lasts: between(r, 50*time.Millisecond, 2*silence)}
		switch r.IntN(8) {
		case 0, 1, 2:
			e.what, e.where = freeze, r.IntN(links)
		case 3, 4:
			e.what, e.where = kill, r.IntN(links)
		case 5:
			e.what, e.where = slow, r.IntN(links)
		case 6:
			e.what, e.where = trim, r.IntN(peers)
		case 7:
			e.what, e.where = restart, r.IntN(peers)
			e.lasts = between(r, 0, 300*time.Millisecond) // between Shutdown and the next
		}
		events = append(events, e)
	}
	return events
}
