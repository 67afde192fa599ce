package admit

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

func TestBucketGivesItsBurstAndThenItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(2, 3)
		for i := range 3 {
			if wait := r.Take("a"); wait != 0 {
				t.Errorf("%d of the burst waits %v", i, wait)
			}
		}
		for range 2 { // a call that is refused takes nothing
			if wait := r.Take("a"); wait != time.Second/2 {
				t.Errorf("after the burst it waits %v", wait)
			}
		}
		if wait := r.Take("b"); wait != 0 {
			t.Errorf("another peer waits %v", wait)
		}
		for range 10 {
			time.Sleep(time.Second / 2)
			if first, second := r.Take("a"), r.Take("a"); first != 0 || second != time.Second/2 {
				t.Errorf("at its rate it waits %v, and then %v", first, second)
			}
		}
		time.Sleep(time.Hour)
		for i := range 3 {
			if wait := r.Take("a"); wait != 0 {
				t.Errorf("%d after an hour waits %v", i, wait)
			}
		}
		if wait := r.Take("a"); wait == 0 {
			t.Error("an hour has given more than the burst")
		}
	})
}

func TestBucketsAreForgottenWhenTheyAreFullOrTooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := NewRates(1, 10) // fills in 10 s
		for i := range 1000 {
			r.Take(peer.ID(fmt.Sprint(i)))
			if n := len(r.late) + len(r.before); n > 22 {
				t.Fatalf("%d buckets after %d s", n, i)
			}
			time.Sleep(time.Second)
		}
		for i := range 10 * mostBuckets {
			r.Take(peer.ID(fmt.Sprint("many ", i)))
		}
		if n := len(r.late) + len(r.before); n > 2*mostBuckets {
			t.Errorf("%d buckets", n)
		}
	})
}

// Nearest counts field by field, and a negative number lifts what is farther.
func TestRulesAreThoseSetNearest(t *testing.T) {
	limits := &call.Limits{Set: call.Set{MessageSize: 1000}}
	var c Configs
	c.Set(call.ID{}, Config{Timeout: time.Hour, MessageSize: 10, Calls: 3, Rate: 7})
	c.Set(call.ID{Name: "S"}, Config{Timeout: time.Minute, CallsPerPeer: 5, MessageSize: 5000})
	c.Set(call.ID{Name: "S", Method: "M"}, Config{Calls: -1, Timeout: -1, Rate: 0.1})
	c.Set(call.ID{Name: "S", Method: "N"}, Config{})
	c.Init(limits)
	for id, want := range map[call.ID]string{
		{Name: "S", Method: "M"}: "0s 0 0 5 0.1",
		{Name: "S", Method: "N"}: "1m0s 0 3 5 7",
		{Name: "T", Method: "M"}: "1h0m0s 10 3 0 7",
	} {
		r := c.Of(id)
		calls, perPeer := 0, 0
		if r.calls != nil {
			calls = r.calls.Most()
		}
		if r.perPeer != nil {
			perPeer = r.perPeer.Most()
		}
		got := fmt.Sprint(r.timeout, r.Limits.OfMethod, calls, perPeer, r.rate.PerSecond())
		if got != want || (r.Late != nil) != (r.timeout > 0) {
			t.Errorf("%v: %s, not %s", id, got, want)
		}
	}
	if c.Of(call.ID{Name: "S", Method: "N"}).calls != c.Of(call.ID{Name: "T"}).calls {
		t.Error("two methods of one scope are counted apart")
	}
}

func TestPlacesOfACallThatIsRefusedAreGivenBack(t *testing.T) {
	var c Configs
	c.Set(call.ID{}, Config{Calls: 2, CallsPerPeer: 1, Rate: 1e-9})
	c.Init(new(call.Limits))
	r := c.Of(call.ID{})
	for i, want := range []bool{true, false, false, false} { // by the peer's place, then by its rate
		if err := r.Enter("a"); (err == nil) != want {
			t.Errorf("call %d: %v", i, err)
		} else if i == 1 {
			r.Leave("a")
		}
	}
	for range 2 {
		if err := r.Enter("b"); err != nil {
			t.Errorf("another peer: %v", err)
		}
		if wait := r.rate.Take("b"); wait < time.Hour {
			t.Errorf("a billionth a second waits %v", wait)
		}
		r.Leave("b")
		r.rate = NewRates(1e-9, 1)
	}
	if len(r.calls.of)+len(r.perPeer.of) != 0 {
		t.Errorf("places are kept: %v, %v", r.calls.of, r.perPeer.of)
	}
}

func TestCallsThatEnterAndLeaveInAnyOrder(t *testing.T) {
	var c Calls[int]
	c.Init(3)
	var e [5]Entry[int]
	for i := range e {
		e[i].Call = i
	}
	enter := func(i int, epoch uint64, want int) {
		t.Helper()
		if got := c.Enter(&e[i], epoch); got != want {
			t.Errorf("entering %d: %d, not %d", i, got, want)
		}
	}
	enter(0, 0, Entered)
	enter(1, 0, Entered)
	enter(2, 0, Entered)
	enter(3, 0, Full)
	c.Leave(&e[1])
	if all := c.Changed(); fmt.Sprint(all) != "[2 0]" {
		t.Errorf("there are %v", all)
	}
	enter(3, 0, Stale)
	enter(3, c.Epoch(), Entered)
	c.Leave(&e[3])
	c.Leave(&e[0])
	c.Leave(&e[2])
	if all := c.Changed(); len(all) > 0 || c.n != 0 {
		t.Errorf("there are %v, and %d are counted", all, c.n)
	}
}
