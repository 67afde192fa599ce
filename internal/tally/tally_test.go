package tally

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

func TestEveryDurationIsInItsBucket(t *testing.T) {
	last := time.Duration(0)
	for i := range buckets {
		from, to := boundsOf(i)
		if from != last || to <= from {
			t.Fatalf("bucket %d is from %v to %v, and the one before ends at %v", i, from, to, last)
		}
		last = to
		for _, d := range []time.Duration{from, from + (to-from)/2, to - 1} {
			if got := bucketOf(d); got != i {
				t.Fatalf("%v is in bucket %d, want %d", d, got, i)
			}
		}
	}
	if last != math.MaxInt64 || bucketOf(-1) != 0 || startOf(buckets-1) < 2*time.Minute {
		t.Errorf("the last ends at %v and begins at %v", last, startOf(buckets-1))
	}
}

func TestStrangersCannotMakeItGrow(t *testing.T) {
	var s Side
	s.Init()
	kept := s.Peers.Get("kept")
	for i := range 3 * state.MostPeers {
		id := peer.ID(fmt.Sprint("p", i))
		var c Call
		s.Begin(&c, s.Methods.Of(ID{"S", fmt.Sprint("m", i*i)}))
		s.End(&c, id, codes.NotFound)
		s.Refuse(nil, id, state.Denied)
	}
	for i := range 2 * state.MostMethods {
		s.Methods.Of(ID{"S", fmt.Sprint("n", i)}).Count(1, codes.OK)
	}
	var c Call
	s.Begin(&c, s.Methods.Other())
	c.With(kept)
	s.End(&c, "kept", 99)
	st := s.State(nil)
	if len(st.Peers) > state.MostPeers+1 || len(st.Methods) > state.MostMethods+1 {
		t.Errorf("%d peers and %d methods", len(st.Peers), len(st.Methods))
	}
	var calls, denied uint64
	for _, p := range st.Peers {
		calls, denied = calls+p.Calls, denied+p.Denied
		if p.ID == peer.ID("kept").String() && p.Calls != 1 {
			t.Errorf("one that is in use: %+v", p)
		}
	}
	if want := uint64(3*state.MostPeers + 1); calls != want || denied != want-1 {
		t.Errorf("%d calls and %d denied of all peers, want %d and %d", calls, denied, want, want-1)
	}
	if st.Total.Calls != 3*state.MostPeers+2*state.MostMethods+1 {
		t.Errorf("%d in all", st.Total.Calls)
	}
	if st.Peers[len(st.Peers)-1].ID != state.Other || st.Methods[len(st.Methods)-1].Service != state.Other {
		t.Error("the others are not last")
	}
	all := make([]*Peer, state.MostPeers+5)
	for i := range all {
		all[i] = s.Peers.Get(peer.ID(fmt.Sprint("in use ", i)))
	}
	if all[len(all)-1] != &s.Peers.other {
		t.Error("all are in use, and another was listed")
	}
	for _, p := range all {
		s.Peers.Put(p)
	}
}

func TestCountingTakesNoMemory(t *testing.T) {
	var s Side
	s.Init()
	p := s.Peers.Get("p")
	c := new(Call)
	if n := testing.AllocsPerRun(100, func() {
		s.Begin(c, s.Methods.Of(ID{"S", "M"}))
		c.With(p)
		s.End(c, "p", codes.OK)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCount(b *testing.B) {
	var s Side
	s.Init()
	p := s.Peers.Get("p")
	c := new(Call)
	for b.Loop() {
		s.Begin(c, s.Methods.Of(ID{"Service", "Method"}))
		c.With(p)
		s.End(c, "p", codes.OK)
	}
}
