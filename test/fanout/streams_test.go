package fanout_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// counts replies with numbers from the argument on, three of them; odd peers
// fail then.
var counts = rpc.NewServerStream[int, int]("Svc", "Counts")

func serveCounts(t testing.TB, c *cluster) {
	t.Helper()
	for i, s := range c.servers {
		err := counts.Handle(s, func(ctx context.Context, from int, out *rpc.Sender[int]) error {
			for n := range 3 {
				if err := out.Send(ctx, from+n); err != nil {
					return err
				}
			}
			if i%2 == 1 {
				return errN
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestServerStreamCallAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 4)
	serveCounts(t, c)
	dead := c.dead(t)
	for _, bound := range []int{0, 1, 2} {
		values, errs := rig.ByPeer(t, counts.CallAll(rig.Context(t), c.client, slices.Concat(c.peers, []peer.ID{dead, ""}), 10, fan.InFlight(bound)))
		for i, p := range c.peers {
			if !slices.Equal(values[p], []int{10, 11, 12}) || (errs[p] != nil) != (i%2 == 1) || errs[p] != nil && errs[p].Error() != errN.Error() {
				t.Errorf("%d at once: peer %d: %v, %v", bound, i, values[p], errs[p])
			}
		}
		if len(values) != 4 || len(errs) != 3 || rpc.CodeOf(errs[dead]) != codes.Unavailable {
			t.Errorf("%d at once: %d peers replied, %d failed, the dead by %v", bound, len(values), len(errs), errs[dead])
		}
	}
}

// Not parallel: it looks at the goroutines of the whole process.
func TestLeavingTheLoopOverStreamsCancelsThem(t *testing.T) {
	for _, first := range []int{0, 1} { // by break, and by having enough
		c := newCluster(t, rig.Wire, 3)
		ended, begun := make(chan error, 10), new(atomic.Int32)
		endless := rpc.NewServerStream[int, int]("Svc", "Endless")
		for i, s := range c.servers {
			err := endless.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
				if i == 0 && first > 0 {
					return nil // the one answer
				}
				begun.Add(1)
				for {
					if err := out.Send(ctx, n); err != nil {
						<-ctx.Done()
						ended <- ctx.Err()
						return err
					}
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[peer.ID]bool)
		for p, r := range endless.CallAll(rig.Context(t), c.client, c.peers, 1, fan.First(first)) {
			if r.Err != nil {
				t.Error(r.Err)
			}
			if seen[p] = true; len(seen) == 3 {
				break
			}
		}
		if first == 0 {
			rig.Eventually(t, "no method goes on", func() bool { return len(ended) == 3 })
		}
		rig.NoGoroutineStays(t)
		if n := int(begun.Load()); n != len(ended) { // with one answer, the others may not have been called
			t.Errorf("%d methods began, and %d ended by their context", n, len(ended))
		}
		for range len(ended) {
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		_ = c.client.Close()
	}
}

// echoes replies with the length of each argument, but for the peers that are
// slow: those receive nothing until they are released.
type echoes struct {
	method  *rpc.Duplex[[]byte, int]
	release chan struct{}
	ended   chan error
}

func serveEchoes(t testing.TB, c *cluster, slow ...int) *echoes {
	t.Helper()
	e := &echoes{rpc.NewDuplex[[]byte, int]("Svc", "Echoes"), make(chan struct{}), make(chan error, 10)}
	for i, s := range c.servers {
		err := e.method.Handle(s, func(ctx context.Context, in *rpc.Receiver[[]byte], out *rpc.Sender[int]) error {
			if slices.Contains(slow, i) {
				select {
				case <-e.release:
				case <-ctx.Done():
					e.ended <- ctx.Err()
					return ctx.Err()
				}
			}
			for arg, err := range in.All(ctx) {
				if err == nil {
					err = out.Send(ctx, len(arg))
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return e
}

// sendMany sends n arguments of 32 KiB, more than the windows of the muxers
// hold, and counts them.
func sendMany(ctx context.Context, send func(context.Context, []byte) error, n int, sent *atomic.Int64) error {
	arg := make([]byte, 32<<10)
	for range n {
		if err := send(ctx, arg); err != nil {
			return err
		}
		sent.Add(1)
	}
	return nil
}

const many = 1000 // of 32 KiB

func TestOpenAllGivesUpTheSlowPeerOnly(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 3)
	e := serveEchoes(t, c, 1)
	dead := c.dead(t)
	call := e.method.OpenAll(rig.Context(t), c.client, append(c.peers, dead), fan.StallTimeout(time.Second))
	defer call.Close()
	sent := rig.InBackground(func() error {
		defer call.CloseSend()
		return sendMany(rig.Context(t), call.Send, many, new(atomic.Int64))
	})
	values, errs := rig.ByPeer(t, call.All(rig.Context(t)))
	if err := rig.Take(t, "all is sent", sent); err != nil {
		t.Error(err)
	}
	for _, i := range []int{0, 2} {
		if p := c.peers[i]; len(values[p]) != many || errs[p] != nil {
			t.Errorf("peer %d got %d, %v", i, len(values[p]), errs[p])
		}
	}
	slow := c.peers[1]
	rig.CheckErr(t, errs[slow], rpc.ClientErr, codes.ResourceExhausted, "Svc.Echoes", slow.String(), "fan.StallTimeout")
	if len(values[slow]) != 0 || rpc.CodeOf(errs[dead]) != codes.Unavailable {
		t.Errorf("the slow replied %v; the dead: %v", values[slow], errs[dead])
	}
	if err := rig.Take(t, "the slow method is told", e.ended); !errors.Is(err, context.Canceled) {
		t.Errorf("by %v", err)
	}
}

func TestOpenAllGivesUpTheSlowPeerAtOnce(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 3)
	e := serveEchoes(t, c, 1)
	call := e.method.OpenAll(rig.Context(t), c.client, c.peers, fan.StallTimeout(time.Nanosecond))
	defer call.Close()
	next, stop := iter.Pull2(call.All(rig.Context(t)))
	defer stop()
	arg := make([]byte, 32<<10)
	for range many { // one at a time: the others are never behind
		if err := call.Send(rig.Context(t), arg); err != nil {
			t.Fatal(err)
		}
		for replies := 0; replies < 2; {
			p, r, more := next()
			switch {
			case !more || r.Err != nil && p != c.peers[1]:
				t.Fatalf("%v: %+v, more is %v", p, r, more)
			case r.Err == nil:
				replies++
			default:
				rig.CheckErr(t, r.Err, rpc.ClientErr, codes.ResourceExhausted, "fan.StallTimeout", p.String())
				return
			}
		}
	}
	t.Error("the slow peer is waited for")
}

func TestOpenAllWaitsForTheSlowPeer(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 3)
	e := serveEchoes(t, c, 1)
	call := e.method.OpenAll(rig.Context(t), c.client, c.peers, fan.Buffer(4), fan.StallTimeout(0))
	defer call.Close()
	sent := new(atomic.Int64)
	result := rig.InBackground(func() error {
		defer call.CloseSend()
		return sendMany(rig.Context(t), call.Send, many, sent)
	})
	got := rig.InBackground(func() (n map[peer.ID]int) {
		n = make(map[peer.ID]int)
		for p, r := range call.All(rig.Context(t)) {
			if r.Err != nil {
				t.Errorf("%v: %v", p, r.Err)
			}
			n[p]++
		}
		return n
	})
	rig.RestsBelow(t, "the sender waits for the slow peer", sent, many)
	close(e.release)
	if err := rig.Take(t, "all is sent", result); err != nil {
		t.Error(err)
	}
	want := map[peer.ID]int{c.peers[0]: many, c.peers[1]: many, c.peers[2]: many}
	if n := rig.Take(t, "all replied", got); !maps.Equal(n, want) {
		t.Errorf("got %v", n)
	}
	if err := call.Send(rig.Context(t), nil); err != io.EOF {
		t.Errorf("Send after the end: %v", err)
	}
}

func TestSendToAllThatIsGivenUpLeavesNoGap(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 3)
	e := serveEchoes(t, c, 1)
	call := e.method.OpenAll(rig.Context(t), c.client, c.peers, fan.Buffer(0))
	defer call.Close()
	ctx, cancel := context.WithCancel(rig.Context(t))
	sent := new(atomic.Int64)
	result := rig.InBackground(func() error { return sendMany(ctx, call.Send, many, sent) })
	got := rig.InBackground(func() [2]any {
		values, errs := rig.ByPeer(t, call.All(rig.Context(t)))
		return [2]any{values, errs}
	})
	n := rig.RestsBelow(t, "the sender waits for the slow peer", sent, many)
	cancel()
	if err := rig.Take(t, "Send returns", result); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "peer "+c.peers[1].String()) {
		t.Errorf("got %v", err)
	}
	if err := rig.Take(t, "the slow method is told", e.ended); !errors.Is(err, context.Canceled) {
		t.Errorf("by %v", err)
	}
	if err := call.Send(rig.Context(t), []byte("more")); err != nil {
		t.Errorf("the others do not go on: %v", err)
	}
	_ = call.CloseSend()
	all := rig.Take(t, "the calls end", got)
	values, errs := all[0].(map[peer.ID][]int), all[1].(map[peer.ID]error)
	if len(errs) != 1 || !errors.Is(errs[c.peers[1]], context.Canceled) {
		t.Errorf("errors %v", errs)
	}
	for _, i := range []int{0, 2} { // all that was sent, and what Send had given them
		if v := values[c.peers[i]]; int64(len(v)) != n+2 || v[len(v)-1] != 4 {
			t.Errorf("peer %d got %d of %d", i, len(v), n+2)
		}
	}
}

// Not parallel: it looks at the goroutines of the whole process.
func TestClosedCallsOfManyAreOver(t *testing.T) {
	c := newCluster(t, rig.Wire, 3)
	e := serveEchoes(t, c, 0, 1, 2)
	call := e.method.OpenAll(rig.Context(t), c.client, c.peers)
	result := rig.InBackground(func() error { return sendMany(rig.Context(t), call.Send, many, new(atomic.Int64)) })
	_ = call.Close()
	if err := rig.Take(t, "Send returns", result); err != io.EOF {
		t.Errorf("got %v", err)
	}
	for p, r := range call.All(rig.Context(t)) {
		t.Errorf("%v: %+v", p, r)
	}
	if err := errors.Join(call.CloseSend(), call.Close()); err != nil {
		t.Error(err)
	}
	rig.NoGoroutineStays(t)
}

func TestClientStreamOpenAll(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 4)
	sum := rpc.NewClientStream[int, int]("Svc", "Sum")
	for i, s := range c.servers {
		err := sum.Handle(s, func(ctx context.Context, in *rpc.Receiver[int]) (total int, err error) {
			for n, err := range in.All(ctx) {
				if err != nil {
					return 0, err
				}
				if total += n; i == 3 && total > 50 {
					return 0, errN // before the arguments end
				}
			}
			return total + i, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	dead := c.dead(t)
	call := sum.OpenAll(rig.Context(t), c.client, slices.Concat(c.peers, []peer.ID{dead, "", c.peers[1]}))
	defer call.Close()
	for n := range 101 {
		if err := call.Send(rig.Context(t), n); err != nil {
			t.Fatal(err)
		}
	}
	got, err := call.Finish(rig.Context(t))
	if want := map[peer.ID]int{c.peers[0]: 5050, c.peers[1]: 5051, c.peers[2]: 5052}; !maps.Equal(got.Values, want) {
		t.Errorf("values %v", got.Values)
	}
	if err == nil || len(got.Errors) != 2 || rpc.CodeOf(got.Errors[dead]) != codes.Unavailable || got.Errors[c.peers[3]].Error() != errN.Error() {
		t.Errorf("errors %v, joined %v", got.Errors, err)
	}
	rig.CheckNames(t, err, "Svc.Sum", dead.String(), c.peers[3].String())
	// Nothing that is left is no success.
	got, err = call.Finish(rig.Context(t))
	if rpc.CodeOf(err) != codes.FailedPrecondition || !rpc.IsClientError(err) || len(got.Values)+len(got.Errors) != 0 {
		t.Errorf("the second Finish: %+v, %v", got, err)
	}
	rig.CheckNames(t, err, "Svc.Sum")

	// A context of Finish ends the calls.
	call = sum.OpenAll(rig.Context(t), c.client, c.peers[:3])
	defer call.Close()
	ctx, cancel := context.WithCancel(rig.Context(t))
	cancel()
	got, err = take2Results(t, func() (fan.Results[int], error) { return call.Finish(ctx) })
	if !errors.Is(err, context.Canceled) || len(got.Errors) != 3 {
		t.Errorf("%+v, %v", got, err)
	}
	if err := call.Send(rig.Context(t), 1); err != io.EOF {
		t.Errorf("Send after Finish: %v", err)
	}
}

// Where there are fewer peers than have to succeed, nobody is called.
func TestOpenAllOutOfReachOfItsQuorum(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		c := newCluster(t, tr, 2)
		var served atomic.Int64
		talk := rpc.NewDuplex[int, int]("Svc", "Talk")
		put := rpc.NewClientStream[int, int]("Svc", "Put")
		for _, s := range c.servers {
			err := errors.Join(
				talk.Handle(s, func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error {
					served.Add(1)
					return nil
				}),
				put.Handle(s, func(context.Context, *rpc.Receiver[int]) (int, error) {
					served.Add(1)
					return 0, nil
				}))
			if err != nil {
				t.Fatal(err)
			}
		}
		talks := talk.OpenAll(rig.Context(t), c.client, c.peers, fan.Quorum(3))
		if err := talks.Send(rig.Context(t), 1); err != io.EOF {
			t.Errorf("Send to nobody: %v", err)
		}
		for p, r := range talks.All(rig.Context(t)) {
			t.Errorf("%v: %+v", p, r)
		}
		puts := put.OpenAll(rig.Context(t), c.client, c.peers, fan.Quorum(3))
		if err := puts.Send(rig.Context(t), 1); err != io.EOF {
			t.Errorf("Send to nobody: %v", err)
		}
		got, err := puts.Finish(rig.Context(t))
		if err == nil || len(got.Values)+len(got.Errors) != 0 {
			t.Errorf("%+v, %v", got, err)
		} else {
			rig.CheckNames(t, err, "Svc.Put", "0 of 2 peers succeeded, and 3 were needed")
		}
		if err := errors.Join(talks.Close(), puts.Close()); err != nil || served.Load() != 0 {
			t.Errorf("%d methods ran, %v", served.Load(), err)
		}
	})
}

// Finish does not pass off calls that were closed as calls that went well.
func TestClosedCallsOfManyAreNotFinished(t *testing.T) {
	t.Parallel()
	c := newCluster(t, rig.Wire, 3)
	wait := rpc.NewClientStream[int, int]("Svc", "Wait")
	running := make(chan struct{}, len(c.servers))
	for _, s := range c.servers {
		err := wait.Handle(s, func(ctx context.Context, _ *rpc.Receiver[int]) (int, error) {
			running <- struct{}{}
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	open := func() (call *fan.ClientStream[int, int], finish func() error) {
		call = wait.OpenAll(rig.Context(t), c.client, c.peers)
		for range c.servers {
			rig.Take(t, "a method runs", running)
		}
		return call, func() error {
			_, err := call.Finish(rig.Context(t))
			return err
		}
	}
	call, finish := open()
	_ = call.Close()
	if err := rig.Take(t, "Finish returns", rig.InBackground(finish)); err == nil || !strings.Contains(err.Error(), "0 of 3 peers") {
		t.Errorf("after Close: %v", err)
	}
	call, finish = open()
	first, second := rig.InBackground(finish), rig.InBackground(finish)
	_ = call.Close()
	if err := errors.Join(rig.Take(t, "Finish returns", first), rig.Take(t, "Finish returns", second)); err == nil {
		t.Error("beside Close: no error")
	}
}
