package fanout_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// replicas store what they are told. Those that are slow wait until they are
// released, or their context ends.
type replicas struct {
	*cluster
	put     *rpc.Method[int, int]
	upload  *rpc.ClientStream[int, int]
	watch   *rpc.ServerStream[int, int]
	talk    *rpc.Duplex[int, int]
	slow    []int
	failing []int
	release chan struct{}
	begun   chan int
	stored  []atomic.Int64
	ended   chan error // the contexts of slow ones that ended
}

// newReplicas returns n, whose methods share one way to store.
func newReplicas(t testing.TB, tr rig.Transport, n int, slow, failing []int) *replicas {
	t.Helper()
	r := &replicas{
		cluster: newCluster(t, tr, n), slow: slow, failing: failing,
		put: rpc.NewMethod[int, int]("Store", "Put"), upload: rpc.NewClientStream[int, int]("Store", "Upload"),
		watch: rpc.NewServerStream[int, int]("Store", "Watch"), talk: rpc.NewDuplex[int, int]("Store", "Talk"),
		release: make(chan struct{}), begun: make(chan int, 1000), stored: make([]atomic.Int64, n), ended: make(chan error, 1000),
	}
	for i, s := range r.servers {
		store := func(ctx context.Context) (int, error) {
			r.begun <- i
			if slices.Contains(r.slow, i) {
				select {
				case <-r.release:
				case <-ctx.Done():
					r.ended <- ctx.Err()
					return 0, ctx.Err()
				}
			}
			if slices.Contains(r.failing, i) {
				return 0, errN
			}
			r.stored[i].Add(1)
			return i, nil
		}
		received := func(ctx context.Context, in *rpc.Receiver[int]) error {
			for _, err := range in.All(ctx) {
				if err != nil {
					return err
				}
			}
			return nil
		}
		err := errors.Join(
			r.put.Handle(s, func(ctx context.Context, _ int) (int, error) { return store(ctx) }),
			r.upload.Handle(s, func(ctx context.Context, in *rpc.Receiver[int]) (int, error) {
				if err := received(ctx, in); err != nil {
					return 0, err
				}
				return store(ctx)
			}),
			r.watch.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
				_, err := store(ctx)
				for range 100 { // more than the pipes hold, if nobody takes them
					err = errors.Join(err, out.Send(ctx, n))
				}
				return err
			}),
			r.talk.Handle(s, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
				if err := received(ctx, in); err != nil {
					return err
				}
				_, err := store(ctx)
				return errors.Join(err, out.Send(ctx, i))
			}))
		if err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// writing is a form of a write, which returns when it is answered.
type writing struct {
	name  string
	write func(ctx context.Context, r *replicas, dests []peer.ID, opts ...fan.Option) (fan.Results[int], error)
}

// collecting are the forms that tell what became of each peer.
var collecting = []writing{
	{"CollectAll", func(ctx context.Context, r *replicas, dests []peer.ID, opts ...fan.Option) (fan.Results[int], error) {
		return r.put.CollectAll(ctx, r.client, dests, 7, opts...)
	}},
	{"Finish", func(ctx context.Context, r *replicas, dests []peer.ID, opts ...fan.Option) (fan.Results[int], error) {
		call := r.upload.OpenAll(ctx, r.client, dests, opts...)
		defer call.Close()
		_ = call.Send(ctx, 7) // Finish tells
		return call.Finish(ctx)
	}},
}

// looping are those that are loops. Their results have what the loop yielded.
var looping = []writing{
	{"CallAll", func(ctx context.Context, r *replicas, dests []peer.ID, opts ...fan.Option) (fan.Results[int], error) {
		return gathered(r.put.CallAll(ctx, r.client, dests, 7, opts...))
	}},
	{"ServerStream", func(ctx context.Context, r *replicas, dests []peer.ID, opts ...fan.Option) (fan.Results[int], error) {
		return gathered(r.watch.CallAll(ctx, r.client, dests, 7, opts...))
	}},
	{"Duplex", func(ctx context.Context, r *replicas, dests []peer.ID, opts ...fan.Option) (fan.Results[int], error) {
		call := r.talk.OpenAll(ctx, r.client, dests, opts...)
		defer call.Close()
		_ = call.Send(ctx, 7)
		_ = call.CloseSend()
		return gathered(call.All(context.WithoutCancel(ctx)))
	}},
}

func gathered(results func(func(peer.ID, fan.Result[int]) bool)) (got fan.Results[int], err error) {
	got = fan.Results[int]{Values: make(map[peer.ID]int), Errors: make(map[peer.ID]error)}
	results(func(p peer.ID, r fan.Result[int]) bool {
		if r.Err != nil {
			got.Errors[p] = r.Err
			err = errors.Join(err, r.Err)
		} else {
			got.Values[p] = r.Value
		}
		return true
	})
	return got, err
}

// everyForm runs f for each form of a write over each transport between processes.
// Some of the peers, the caller's own, are of this one.
func everyForm(t *testing.T, forms []writing, f func(t *testing.T, tr rig.Transport, w writing)) {
	t.Helper()
	for _, w := range forms {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) { f(t, tr, w) })
		})
	}
}

// checkEach sees to it that each peer is in one of the fields.
func checkEach(t *testing.T, dests []peer.ID, got fan.Results[int]) {
	t.Helper()
	in := make(map[peer.ID]int)
	for p := range got.Values {
		in[p]++
	}
	for p := range got.Errors {
		in[p]++
	}
	for _, p := range slices.Concat(got.Going, got.Cancelled, got.NotCalled) {
		in[p]++
	}
	for _, p := range dests {
		if in[p] != 1 {
			t.Errorf("%v is in %d of the fields of %+v", p, in[p], got)
		}
	}
	if len(in) != len(dests) {
		t.Errorf("results of %d peers, of %d: %+v", len(in), len(dests), got)
	}
}

// rest gathers what becomes of the calls that go on.
func rest(t *testing.T, got fan.Results[int]) (values map[peer.ID][]int, errs map[peer.ID]error) {
	t.Helper()
	values, errs = rig.ByPeer(t, got.Rest(rig.Context(t)))
	if len(values)+len(errs) != len(got.Going) {
		t.Errorf("of %d peers: %v, %v", len(got.Going), values, errs)
	}
	return values, errs
}

// The answer is there while some are slow; these finish all the same, though the
// caller's context has ended, and the results tell so.
func TestWriteQuorumLetsTheRestFinish(t *testing.T) {
	t.Parallel()
	everyForm(t, slices.Concat(collecting, looping), func(t *testing.T, tr rig.Transport, w writing) {
		r := newReplicas(t, tr, 5, []int{0, 4}, nil) // one of them local
		ctx, cancel := context.WithCancel(rig.Context(t))
		got, err := w.write(ctx, r, r.peers, fan.WriteQuorum(3))
		if err != nil || len(got.Errors) > 0 {
			t.Fatalf("%v, %+v", err, got)
		}
		if going := got.Going; len(got.Values) == 3 && slices.ContainsFunc(collecting, func(c writing) bool { return c.name == w.name }) {
			checkEach(t, r.peers, got)
			if !slices.Equal(going, []peer.ID{r.peers[0], r.peers[4]}) {
				t.Errorf("going on are %v", going)
			}
		}
		for _, i := range r.slow { // calls that end with the context, to know when it has ended there
			go func() { _, _ = r.put.Call(ctx, r.client, r.peers[i], 8) }()
		}
		for range len(r.peers) + len(r.slow) {
			rig.Take(t, "every peer is called", r.begun)
		}
		cancel() // as that of a request is that has been answered
		for range r.slow {
			rig.Take(t, "the context has ended", r.ended)
		}
		close(r.release)
		rig.Eventually(t, "every replica stores it", func() bool {
			return !slices.ContainsFunc(r.peers, func(p peer.ID) bool { return r.stored[slices.Index(r.peers, p)].Load() != 1 })
		})
		values, errs := rest(t, got)
		for _, p := range got.Going {
			if v := values[p]; len(v) != 1 || v[0] != slices.Index(r.peers, p) || errs[p] != nil {
				t.Errorf("the rest: %v, %v", values, errs)
			}
		}
		if again, _ := rest(t, got); len(again) != len(values) {
			t.Errorf("another loop has %v", again)
		}
	})
}

func TestWriteQuorumTellsOfTheRestThatFails(t *testing.T) {
	t.Parallel()
	everyForm(t, collecting, func(t *testing.T, tr rig.Transport, w writing) {
		r := newReplicas(t, tr, 4, []int{2, 3}, []int{3})
		dead := r.dead(t)
		dests := append(slices.Clone(r.peers), dead)
		got, err := w.write(rig.Context(t), r, dests, fan.WriteQuorum(2))
		if err != nil {
			t.Fatal(err)
		}
		checkEach(t, dests, got)
		ctx, cancel := context.WithCancel(rig.Context(t))
		cancel()
		ended := 0
		for p, result := range got.Rest(ctx) {
			if p == "" && errors.Is(result.Err, context.Canceled) {
				ended++
			}
		}
		if ended != 1 {
			t.Errorf("a loop whose context has ended had %d ends", ended)
		}
		close(r.release)
		values, errs := rest(t, got)
		_, early := got.Errors[dead]
		if v := values[r.peers[2]]; len(v) != 1 || errs[r.peers[3]] == nil || errs[r.peers[3]].Error() != errN.Error() ||
			!early && rpc.CodeOf(errs[dead]) != codes.Unavailable {
			t.Errorf("the rest: %v, %v", values, errs)
		}
	})
}

// A quorum that is out of reach is told at once. What was begun is finished, and
// nobody else is called.
func TestWriteQuorumOutOfReach(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := newReplicas(t, tr, 5, []int{2}, []int{0, 1})
		dests := []peer.ID{r.peers[2], r.peers[0], r.peers[1], r.peers[3], r.peers[4]}
		got, err := r.put.CollectAll(rig.Context(t), r.client, dests, 7, fan.WriteQuorum(4), fan.InFlight(2))
		if !errors.Is(err, got.Errors[r.peers[0]]) || !errors.Is(err, got.Errors[r.peers[1]]) {
			t.Errorf("got %v", err)
		}
		rig.CheckNames(t, err, "Store.Put", "0 of 5 peers succeeded, and 4 were needed", r.peers[0].String(), r.peers[1].String())
		checkEach(t, dests, got)
		if !slices.Contains(got.Going, r.peers[2]) {
			t.Errorf("%+v", got)
		}
		close(r.release)
		if values, _ := rest(t, got); len(values[r.peers[2]]) != 1 {
			t.Errorf("the rest: %v", values)
		}
		for _, p := range got.NotCalled {
			if n := r.stored[slices.Index(r.peers, p)].Load(); n != 0 {
				t.Errorf("%v was called", p)
			}
		}
		if len(got.NotCalled) == 0 {
			t.Errorf("all were called: %+v", got)
		}

		got, err = r.put.CollectAll(rig.Context(t), r.client, r.peers, 7, fan.WriteQuorum(6))
		if checkEach(t, r.peers, got); err == nil || len(got.NotCalled) != 5 {
			t.Errorf("of more than there are: %+v, %v", got, err)
		}
	})
}

// Peers that wait for their turn are called after the answer.
func TestWriteQuorumCallsThoseThatWait(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := newReplicas(t, tr, 5, []int{1}, nil)
		dests := []peer.ID{r.peers[0], r.peers[1], r.peers[2], r.peers[3], r.peers[4]}
		got, err := r.put.CollectAll(rig.Context(t), r.client, dests, 7, fan.WriteQuorum(1), fan.InFlight(1))
		if checkEach(t, dests, got); err != nil || len(got.Values) != 1 || len(got.Going) != 4 {
			t.Errorf("%+v, %v", got, err)
		}
		close(r.release)
		if values, errs := rest(t, got); len(values) != 4 {
			t.Errorf("the rest: %v, %v", values, errs)
		}
	})
}

// Before the answer the end of the caller's context is that of the calls, or, for
// those that are detached, of the waiting only.
func TestEndOfTheContextBeforeAWriteIsAnswered(t *testing.T) {
	t.Parallel()
	everyForm(t, slices.Concat(collecting, looping), func(t *testing.T, tr rig.Transport, w writing) {
		for _, detached := range []bool{false, true} {
			if detached && w.name == "Duplex" {
				continue // its loop has a context of its own
			}
			r := newReplicas(t, tr, 4, []int{0, 2, 3}, nil)
			ctx, cancel := context.WithCancel(rig.Context(t))
			go func() {
				for range r.peers {
					<-r.begun
				}
				cancel()
			}()
			type answer struct {
				fan.Results[int]
				err error
			}
			got := rig.Take(t, "the write returns", rig.InBackground(func() answer {
				got, err := w.write(ctx, r, r.peers, fan.WriteQuorum(3), fan.Detached(detached))
				return answer{got, err}
			}))
			if !errors.Is(got.err, context.Canceled) {
				t.Errorf("detached %v: %v", detached, got.err)
			}
			if !detached {
				for _, i := range r.slow {
					if err := got.Errors[r.peers[i]]; !errors.Is(err, context.Canceled) {
						t.Errorf("peer %d: %v", i, err)
					}
					if err := rig.Take(t, "the slow methods are told", r.ended); !errors.Is(err, context.Canceled) {
						t.Errorf("by %v", err)
					}
				}
				continue
			}
			close(r.release)
			for _, i := range r.slow {
				rig.Eventually(t, "the slow replicas store it", func() bool { return r.stored[i].Load() == 1 })
			}
			if w.name == "CollectAll" || w.name == "Finish" {
				checkEach(t, r.peers, got.Results)
				rest(t, got.Results)
			}
		}
	})
}

func TestWriteUnderAnEndedContextReachesNobody(t *testing.T) {
	t.Parallel()
	everyForm(t, slices.Concat(collecting, looping), func(t *testing.T, tr rig.Transport, w writing) {
		for _, detached := range []bool{false, true} {
			r := newReplicas(t, tr, 3, nil, nil)
			ctx, cancel := context.WithCancel(rig.Context(t))
			cancel()
			if got, err := w.write(ctx, r, r.peers, fan.WriteQuorum(2), fan.Detached(detached)); !errors.Is(err, context.Canceled) || len(got.Values) > 0 {
				t.Errorf("detached %v: %+v, %v", detached, got, err)
			}
			_ = r.client.Close()
			if len(r.begun) > 0 {
				t.Errorf("detached %v: peer %d was called", detached, <-r.begun)
			}
		}
	})
}

// Not parallel: it looks at the goroutines of the whole process.
func TestNothingStaysOfAWrite(t *testing.T) {
	for _, tr := range rig.Transports {
		if tr.Local {
			continue
		}
		for _, w := range slices.Concat(collecting, looping) {
			for _, how := range []string{"finished", "closed"} {
				t.Run(tr.Name+"/"+w.name+"/"+how, func(t *testing.T) {
					r := newReplicas(t, tr, 5, []int{0, 4}, nil)
					got, err := w.write(rig.Context(t), r, r.peers, fan.WriteQuorum(3))
					if err != nil {
						t.Fatal(err)
					}
					for range r.peers {
						rig.Take(t, "every peer is called", r.begun)
					}
					if how == "finished" {
						close(r.release)
					} else {
						_ = r.client.Close()
						for range r.slow {
							rig.Take(t, "the slow methods are told", r.ended)
						}
						_, errs := rest(t, got)
						for p, err := range errs {
							if rpc.CodeOf(err) != codes.Unavailable {
								t.Errorf("%v: %v", p, err)
							}
						}
					}
					rig.NoGoroutineStays(t)
				})
			}
		}
	}
}

// To leave the loop lets the calls go on.
func TestLeavingTheLoopOfAWriteLetsCallsGoOn(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := newReplicas(t, tr, 4, []int{0, 2, 3}, nil)
		for range r.put.CallAll(rig.Context(t), r.client, r.peers, 7, fan.WriteQuorum(3)) {
			break
		}
		close(r.release)
		for i := range r.peers {
			rig.Eventually(t, "every replica stores it", func() bool { return r.stored[i].Load() == 1 })
		}
	})
}

// Close before the answer ends the calls of a write as those of any other.
func TestClosedWritesAreOver(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := newReplicas(t, tr, 3, []int{0, 1, 2}, nil)
		call := r.talk.OpenAll(rig.Context(t), r.client, r.peers, fan.WriteQuorum(2))
		_ = call.CloseSend()
		for range r.peers {
			rig.Take(t, "every peer is called", r.begun)
		}
		_ = call.Close()
		for range r.peers {
			rig.Take(t, "the methods are told", r.ended)
		}
		for p, result := range call.All(rig.Context(t)) {
			t.Errorf("%v: %+v", p, result)
		}
	})
}

// Each call that goes on has its own time, 30 s after the answer if it was given
// none.
func TestTimeoutsOfTheRest(t *testing.T) {
	for _, c := range []struct {
		name   string
		opts   []fan.Option
		method []rpc.CallOption
		client []rpc.ClientOption
		after  time.Duration
		code   codes.Code
	}{
		{"none", nil, nil, nil, 30 * time.Second, codes.DeadlineExceeded},
		{"of 0", []fan.Option{rpc.CallTimeout(0)}, nil, nil, 30 * time.Second, codes.DeadlineExceeded},
		{"of the call", []fan.Option{rpc.CallTimeout(time.Minute)}, nil, nil, time.Minute, codes.DeadlineExceeded},
		{"of the method", nil, []rpc.CallOption{rpc.CallTimeout(2 * time.Minute)}, nil, 2 * time.Minute, codes.DeadlineExceeded},
		{"of the client", nil, nil, []rpc.ClientOption{rpc.WithCallOptions(rpc.CallTimeout(time.Second))}, time.Second, codes.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				// One peer only is local: the answer is that nobody had to succeed.
				s := rpc.NewServer(nil, rig.Protocol)
				client := rpc.NewClientWithServer(nil, rig.Protocol, s, c.client...)
				defer client.Close()
				put := rpc.NewMethod[int, int]("Store", "Put", c.method...)
				rig.MustHandle(t, s, put, func(ctx context.Context, _ int) (int, error) {
					<-ctx.Done()
					return 0, ctx.Err()
				})
				begun := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Millisecond, cancel)
				got, err := put.CollectAll(ctx, client, []peer.ID{""}, 7, append(c.opts, fan.WriteQuorum(1), fan.Detached(true))...)
				if !errors.Is(err, context.Canceled) || len(got.Going) != 1 {
					t.Fatalf("%+v, %v", got, err)
				}
				n := 0
				for _, result := range got.Rest(t.Context()) {
					n++
					if rpc.CodeOf(result.Err) != c.code {
						t.Errorf("got %v", result.Err)
					}
				}
				if d := time.Since(begun).Round(10 * time.Millisecond); n != 1 || d != c.after {
					t.Errorf("%d results after %v", n, d)
				}
			})
		})
	}
}

// Errors that the caller takes for answers count, and stay errors.
func TestErrorsThatAreAnswers(t *testing.T) {
	t.Parallel()
	everyForm(t, collecting, func(t *testing.T, tr rig.Transport, w writing) {
		r := newReplicas(t, tr, 4, nil, []int{1, 2, 3})
		found := func(err error) bool { return err.Error() == errN.Error() }
		for _, opts := range [][]fan.Option{nil, {fan.Quorum(4)}, {fan.WriteQuorum(4)}, {fan.First(4)}} {
			got, err := w.write(rig.Context(t), r, r.peers, append(opts, fan.Answers(found))...)
			if checkEach(t, r.peers, got); err != nil || len(got.Values) != 1 || len(got.Errors) != 3 {
				t.Errorf("%d options: %+v, %v", len(opts), got, err)
			}
		}
		dead := r.dead(t)
		_, err := w.write(rig.Context(t), r, append(slices.Clone(r.peers), dead), fan.Answers(found))
		rig.CheckNames(t, err, "4 of 5 peers succeeded", dead.String())
		if errors.Is(err, errN) || slices.ContainsFunc(r.peers, func(p peer.ID) bool { return strings.Contains(err.Error(), p.String()) }) {
			t.Errorf("names those that answered: %v", err)
		}
	})
}

// A read names everybody, too.
func TestResultsOfAReadNameEveryPeer(t *testing.T) {
	t.Parallel()
	everyForm(t, collecting, func(t *testing.T, tr rig.Transport, w writing) {
		r := newReplicas(t, tr, 5, []int{1, 2}, nil)
		got, err := w.write(rig.Context(t), r, r.peers, fan.Quorum(3))
		if checkEach(t, r.peers, got); err != nil || !slices.Equal(got.Cancelled, r.peers[1:3]) {
			t.Errorf("%+v, %v", got, err)
		}
		for p, result := range got.Rest(rig.Context(t)) {
			t.Errorf("%v goes on: %+v", p, result)
		}
	})
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := newReplicas(t, tr, 3, nil, nil)
		got, err := r.put.CollectAll(rig.Context(t), r.client, r.peers, 7, fan.First(1), fan.InFlight(1))
		if checkEach(t, r.peers, got); err != nil || len(got.NotCalled) == 0 {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// The case for which there is WriteQuorum: five replicas, of which two are always
// late, have every write.
func TestEveryReplicaHasEveryWrite(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := newReplicas(t, tr, 5, []int{3, 4}, nil)
		const writes = 50
		for range writes {
			if got, err := r.put.CollectAll(rig.Context(t), r.client, r.peers, 7, fan.WriteQuorum(3)); err != nil || len(got.Values) < 3 {
				t.Fatal(err, got)
			}
		}
		close(r.release)
		for i := range r.peers {
			rig.Eventually(t, "every replica has every write", func() bool { return r.stored[i].Load() == writes })
		}
	})
}
