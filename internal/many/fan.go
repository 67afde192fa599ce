package many

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// Call is the call of one peer. It passes on what comes before its end by emit,
// until that returns false, and returns what comes last.
type Call[R any] func(ctx context.Context, dest peer.ID, emit func(R) bool) (last Event[R])

// Config is what a Fan is told beside its options.
type Config struct {
	Options
	// Bounded says that the calls have timeouts of their own.
	Bounded bool
	// Closed ends when the client is closed.
	Closed context.Context
	// Ended is the error of a peer's call that was ended from here, which had err; of
	// all of them together without a peer.
	Ended func(p peer.ID, err error, why *call.Fault) error
	// Again is the error of who wants results that another has had.
	Again func() error
	// Method is what is called, and Names reports whether an error's text says already
	// that it is a peer's: for the error of all together.
	Method string
	Names  func(p peer.ID, err error) bool
}

// DefaultTimeout is what the calls of a write that have no timeout are left when the
// answer is there and nobody waits for them.
const DefaultTimeout = 30 * time.Second

// Fan is calls of many peers under way, with no more goroutines for them than there
// are calls at once. One goroutine at a time takes the results, by Each.
type Fan[R any] struct {
	Config
	dests  []peer.ID
	ctx    context.Context // of the calls
	cancel context.CancelFunc
	why    atomic.Pointer[call.Fault] // the calls were cancelled from here, if not by Stop

	tally   tally
	started bool
	taken   []bool // by Each, which has had the last of these dests
	results chan Event[R]
	stopped chan struct{} // closed when nobody is called or waited for any more
	letGo   chan struct{} // closed when the calls of a write go on by themselves; else nil
	workers sync.WaitGroup

	mu      sync.Mutex
	over    bool          // one of the two is closed
	begun   int           // dests before it are called, or were
	limit   int           // dests from it on never will be
	running int           // workers
	own     func() bool   // takes the calls out of the caller's context
	bounds  []func() bool // and out of what else ends them
	late    []Event[R]    // the last of each call that was let go
	more    chan struct{} // closed and replaced when there is one more
}

// New returns a Fan that has to be ended.
func New[R any](ctx context.Context, dests []peer.ID, c Config) *Fan[R] {
	f := &Fan[R]{
		Config: c, dests: dests, tally: tally{Options: c.Options, total: len(dests), left: len(dests)},
		taken: make([]bool, len(dests)), results: make(chan Event[R]),
		stopped: make(chan struct{}), limit: len(dests), own: func() bool { return true },
	}
	if !c.Write {
		f.ctx, f.cancel = context.WithCancel(ctx)
		return f
	}
	f.letGo, f.more = make(chan struct{}), make(chan struct{})
	f.ctx, f.cancel = context.WithCancel(context.WithoutCancel(ctx))
	f.bounds = append(f.bounds, context.AfterFunc(c.Closed, func() { f.end(call.Closed()) }))
	switch {
	case ctx.Err() != nil:
		f.end(call.Ended(ctx))
	case !c.Detached:
		f.own = context.AfterFunc(ctx, func() { f.end(call.Ended(ctx)) })
	}
	return f
}

// Context is the calls', for who sends to them.
func (f *Fan[R]) Context() context.Context { return f.ctx }

// end cancels the calls, and tells why.
func (f *Fan[R]) end(why *call.Fault) {
	f.why.CompareAndSwap(nil, why)
	f.cancel()
}

// Start makes the calls, or none where they could not be enough.
func (f *Fan[R]) Start(call Call[R]) {
	if !f.tally.goesOn() {
		f.cancel() // for who sends to them
		return
	}
	f.started = true
	f.running = len(f.dests)
	if f.InFlight > 0 {
		f.running = min(f.running, f.InFlight)
	}
	for range f.running {
		f.workers.Go(func() { f.work(call) })
	}
}

// work makes one call after the other. rpctest.CheckLeaks knows it by its name.
func (f *Fan[R]) work(makes Call[R]) {
	defer f.gone()
	for i, ok := f.next(); ok; i, ok = f.next() {
		f.one(makes, i)
	}
}

func (f *Fan[R]) one(makes Call[R], at int) {
	dest, returned := f.dests[at], false
	end := func(last Event[R]) {
		last.Peer, last.at, last.last = dest, at, true
		f.emit(last)
	}
	defer func() {
		if !returned { // a method or an interceptor ends this goroutine
			f.another(makes)
			end(Event[R]{Err: f.Config.Ended(dest, nil, call.Exited(call.OfClient)), Has: true})
		}
	}()
	last := makes(f.ctx, dest, func(r R) bool { return f.emit(Event[R]{Peer: dest, Value: r, Has: true}) })
	returned = true
	if why := f.why.Load(); why != nil && errors.Is(last.Err, context.Canceled) {
		last.Err = f.Config.Ended(dest, last.Err, why)
	}
	end(last)
}

// another has one more worker.
func (f *Fan[R]) another(makes Call[R]) {
	f.mu.Lock()
	f.running++
	f.mu.Unlock()
	f.workers.Go(func() { f.work(makes) })
}

// next returns the next peer to call.
func (f *Fan[R]) next() (at int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.begun >= f.limit {
		return 0, false
	}
	f.begun++
	return f.begun - 1, true
}

// gone is called when a worker has ended. The last releases what all have.
func (f *Fan[R]) gone() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.running--; f.running == 0 {
		f.release()
	}
}

func (f *Fan[R]) release() {
	f.own()
	for _, unbind := range f.bounds {
		unbind()
	}
	f.cancel()
}

// emit passes an event on. Of calls that were let go only the last is kept.
func (f *Fan[R]) emit(e Event[R]) bool {
	select {
	case f.results <- e:
		return true
	case <-f.stopped:
		return false
	case <-f.letGo:
	}
	if e.last {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.late = append(f.late, e)
		close(f.more)
		f.more = make(chan struct{})
	}
	return true
}

// Each yields results until there are enough, or none are left, and then returns
// true. It returns false if yield did, if the calls were stopped or, after an event
// that tells so, if ctx has ended.
func (f *Fan[R]) Each(ctx context.Context, yield func(Event[R]) bool) bool {
	for f.goesOn() {
		select {
		case got := <-f.results:
			if got.last {
				got.Answer = f.tally.add(got.Err)
				f.taken[got.at] = true
			}
			if got.Has && !yield(got) {
				return false
			}
		case <-f.stopped:
			return false
		case <-ctx.Done():
			yield(f.ended(ctx))
			return false
		}
	}
	return true
}

// goesOn reports whether results are waited for: all, if the calls of a write were
// ended from here, as they are over at once.
func (f *Fan[R]) goesOn() bool {
	return f.started && (f.tally.goesOn() || f.tally.left > 0 && f.why.Load() != nil)
}

// ended is the event of a context that has ended.
func (f *Fan[R]) ended(ctx context.Context) Event[R] {
	return Event[R]{Err: f.Config.Ended("", nil, call.Ended(ctx)), Has: true, Ended: true}
}

// End is called when nobody takes results any more: it lets the calls of a write go
// on, and stops others.
func (f *Fan[R]) End() {
	if !f.Write {
		f.Stop()
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.over {
		return
	}
	f.over = true
	close(f.letGo)
	if !f.tally.reachable() {
		f.limit = f.begun // to call more is of no use
	}
	if f.running == 0 {
		f.release()
		return
	}
	f.own()
	if !f.Bounded {
		timer := time.AfterFunc(DefaultTimeout, func() {
			f.end(call.Fail(call.OfClient, codes.DeadlineExceeded,
				"the call went on for %v after the others were enough", DefaultTimeout).Limited("CallTimeout"))
		})
		f.bounds = append(f.bounds, timer.Stop)
	}
}

// Stop cancels the calls that are under way, unless they were let go, and waits for
// them.
func (f *Fan[R]) Stop() {
	f.mu.Lock()
	if !f.over {
		f.over = true
		f.limit = f.begun
		close(f.stopped)
	}
	f.mu.Unlock()
	if f.WereLetGo() {
		return
	}
	f.cancel()
	f.workers.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.release()
}

// WereLetGo reports whether calls go on by themselves.
func (f *Fan[R]) WereLetGo() bool { return flow.IsClosed(f.letGo) }

// Left returns the peers whose results Each has not taken, after the end: those that
// were called, or will be, and those that never are.
func (f *Fan[R]) Left() (called, not []peer.ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, p := range f.dests[:f.limit] {
		if !f.taken[i] {
			called = append(called, p)
		}
	}
	return called, f.dests[f.limit:]
}

// Rest yields the results of the calls that were let go, as they end, until there
// are no more. It may be called again. If ctx ends before, the last event tells so.
func (f *Fan[R]) Rest(ctx context.Context, yield func(Event[R]) bool) {
	if !f.WereLetGo() {
		return
	}
	going, _ := f.Left()
	for i := range going {
		f.mu.Lock()
		for len(f.late) <= i {
			more := f.more
			f.mu.Unlock()
			select {
			case <-more:
			case <-ctx.Done():
				yield(f.ended(ctx))
				return
			}
			f.mu.Lock()
		}
		e := f.late[i]
		f.mu.Unlock()
		if e.Has && !yield(e) {
			return
		}
	}
}

// Waiting is the context that bounds waiting for results: the calls' own ends bring
// theirs, unless they go on without the caller's.
func (f *Fan[R]) Waiting(ctx context.Context) context.Context {
	if f.Detached {
		return ctx
	}
	return context.Background()
}

// Reached reports whether as many have succeeded as were asked for.
func (f *Fan[R]) Reached() bool { return f.tally.reached() }
