package account_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	kib     = 1 << 10
	message = 64 * kib
	lent    = 4 * message
)

// scopes returns n streams of a peer that libp2p grants so much together.
func scopes(t testing.TB, limit, n int) (all []network.StreamManagementScope, held func() int64) {
	t.Helper()
	limits := rcmgr.PartialLimitConfig{PeerDefault: rcmgr.ResourceLimits{Memory: rcmgr.LimitVal64(limit)}}
	m, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Build(rcmgr.InfiniteLimits)), rcmgr.WithMetricsDisabled())
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		s, err := m.OpenStream(peer.ID("p"), network.DirInbound)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	t.Cleanup(func() {
		for _, s := range all {
			s.Done()
		}
		_ = m.Close()
	})
	return all, func() (n int64) {
		for _, s := range all {
			n += s.Stat().Memory
		}
		return n
	}
}

func accounts(t testing.TB, limit, n int, waits bool) (all []*account.Account, held func() int64) {
	t.Helper()
	mems, held := scopes(t, limit, n)
	peers := account.NewPeers(message)
	for _, m := range mems {
		a := new(account.Account)
		a.Init(m, 0, 0)
		a.Share(peers.Of("p", waits))
		all = append(all, a)
	}
	return all, held
}

// What libp2p refuses for the sake of others is lent, for either way, and what it
// would refuse in any case is not.
func TestWhatIsLent(t *testing.T) {
	t.Parallel()
	all, held := accounts(t, message, 4, false)
	first, second, third, fourth := all[0], all[1], all[2], all[3]
	if err := first.Hold(message, message); err != nil || first.InDebt() {
		t.Fatalf("what libp2p grants: %v, in debt %v", err, first.InDebt())
	}
	for _, hold := range []func(int, int) error{second.Hold, second.Grow} {
		err := hold(message+1, message+1)
		if !errors.Is(err, account.ErrMemory) || !account.IsForGood(err) || account.IsPassing(err) || !errors.Is(err, network.ErrResourceLimitExceeded) {
			t.Errorf("more than libp2p has: %v", err)
		}
		if err = hold(1, message+1); !account.IsForGood(err) {
			t.Errorf("a part of more than libp2p has: %v", err)
		}
	}
	if err := second.Hold(lent, message); err != nil || !second.InDebt() {
		t.Errorf("all that is lent: %v", err)
	}
	if err := third.Hold(1, 1); !account.IsPassing(err) || account.IsForGood(err) {
		t.Errorf("more out than is lent: %v", err)
	}
	if err := third.Grow(lent, message); err != nil {
		t.Errorf("the other way: %v", err)
	}
	if err := third.Grow(message, message); err != nil {
		t.Errorf("the one message that may exceed it: %v", err)
	}
	if err := fourth.Grow(message, message); !account.IsPassing(err) {
		t.Errorf("a second one: %v", err)
	}
	third.Release(message) // and is not in debt for what exceeded
	second.Close()
	if err := fourth.Hold(lent, message); err != nil {
		t.Errorf("what was given back: %v", err)
	}
	for _, a := range all {
		a.Close()
	}
	if n := held(); n != 0 {
		t.Errorf("%d bytes are left", n)
	}
}

// Without a share nothing is lent, and a refusal that says no limit is as it is.
func TestNothingIsLent(t *testing.T) {
	t.Parallel()
	mems, _ := scopes(t, message, 2)
	var a, b account.Account
	a.Init(mems[0], kib, 4*kib)
	b.Init(mems[1], 0, 0)
	if err := a.Grow(message+kib, message); err != nil || a.Used() != message+kib {
		t.Errorf("what is not reserved, and what is: %v, %d", err, a.Used())
	}
	if err := b.Grow(1, 1); !errors.Is(err, account.ErrMemory) || account.IsPassing(err) || account.IsForGood(err) {
		t.Errorf("without a share: %v", err)
	}
	a.End()
	if mems[0].Stat().Memory != 0 || a.Used() != message+kib {
		t.Errorf("at its end %d bytes are reserved, and %d in use", mems[0].Stat().Memory, a.Used())
	}
	a.Release(message + kib)
	if a.Used() != 0 {
		t.Errorf("%d bytes are in use", a.Used())
	}
}

// Half-grown messages never wait for each other: each becomes whole, whatever
// libp2p grants and in whichever steps they grow.
func TestAllMessagesBecomeWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for seed := range uint64(50) {
			all, held := accounts(t, message+int(seed)*kib, 24, true)
			var wg sync.WaitGroup
			for i, a := range all {
				rnd := rand.New(rand.NewPCG(seed, uint64(i)))
				wg.Go(func() {
					defer a.Close()
					for range 3 {
						for a.Used() < message {
							n := min(1+rnd.IntN(message/2), message-a.Used())
							if err := a.GrowOrWait(n, message); err != nil {
								t.Error(err)
								return
							}
						}
						a.Release(a.Used())
					}
				})
			}
			wg.Wait()
			if n := held(); n != 0 {
				t.Errorf("%d bytes are left", n)
			}
		}
	})
}

// A wait ends with its call; so do later ones, and others go on.
func TestStopEndsAWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, held := accounts(t, message, 4, true)
		if err := all[0].Grow(message, message); err != nil {
			t.Fatal(err)
		}
		if err := all[1].Grow(lent+message, message); err != nil {
			t.Fatal(err)
		}
		ends := make([]error, 4)
		for i := 2; i < 4; i++ {
			go func() { ends[i] = all[i].GrowOrWait(message, message) }()
		}
		synctest.Wait()
		all[2].Stop()
		synctest.Wait()
		if ends[2] != account.ErrStopped || ends[3] != nil || all[3].Used() != 0 {
			t.Errorf("one was stopped: %v, %v, %d", ends[2], ends[3], all[3].Used())
		}
		if err := all[2].GrowOrWait(message, message); err != account.ErrStopped {
			t.Errorf("a later one: %v", err)
		}
		all[1].Close()
		if err := all[1].Grow(lent+message, message); !account.IsPassing(err) {
			t.Errorf("one that comes later is before the one that waits: %v", err)
		}
		synctest.Wait()
		if ends[3] != nil || all[3].Used() != message {
			t.Errorf("the other goes on with %v, %d", ends[3], all[3].Used())
		}
		for _, a := range all {
			a.Close()
		}
		if n := held(); n != 0 {
			t.Errorf("%d bytes are left", n)
		}
	})
}

// The turn of a message ends with it, though nothing of it was lent.
func TestTurnEndsWithItsMessage(t *testing.T) {
	t.Parallel()
	all, _ := accounts(t, message, 3, true)
	if err := all[0].Grow(lent+message, message); err != nil { // more than is lent: the turn
		t.Fatal(err)
	}
	if !all[0].InDebt() {
		t.Error("it has no turn")
	}
	all[0].Close()
	if all[0].InDebt() {
		t.Error("it keeps its turn")
	}
	if err := all[1].Grow(lent+message, message); err != nil {
		t.Errorf("the next: %v", err)
	}
	all[1].Close()
}

// A stream that has waited for one message waits behind the others for its next.
func TestTurnsGoInTheOrderInWhichMessagesWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		all, _ := accounts(t, message, 4, true)
		holder, first, second := all[1], all[2], all[3]
		hold := func() {
			if err := holder.Grow(lent+message, message); err != nil {
				t.Fatal(err)
			}
		}
		var order []string
		wait := func(a *account.Account, name string) {
			go func() {
				if err := a.GrowOrWait(message, message); err != nil {
					t.Error(err)
				}
				order = append(order, name)
				a.Close()
			}()
			synctest.Wait()
		}
		if err := all[0].Grow(message, message); err != nil {
			t.Fatal(err)
		}
		hold()
		wait(first, "first")
		holder.Close()
		synctest.Wait()
		hold()
		wait(second, "second")
		wait(first, "first again")
		holder.Close()
		synctest.Wait()
		if want := []string{"first", "second", "first again"}; !slices.Equal(order, want) {
			t.Errorf("the order was %q", order)
		}
		all[0].Close()
	})
}
