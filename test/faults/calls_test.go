package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Note is the argument of all calls.
type Note struct {
	ID    int
	Pause time.Duration // of the method
	Body  []byte
}

// noted is the service. It notes what runs.
type noted struct{ w *world }

func (n *noted) Note(ctx context.Context, in Note, reply *Note) error {
	n.w.book.runs(in.ID)
	select {
	case <-time.After(in.Pause):
	case <-ctx.Done():
		return ctx.Err()
	}
	*reply = in
	return nil
}

// Notes is Note for several items, the first of which counts.
func (n *noted) Notes(ctx context.Context, in <-chan Note, out chan<- Note) error {
	defer close(out)
	first := true
	for item := range in {
		if first {
			n.w.book.runs(item.ID)
			first = false
		}
		select {
		case out <- item:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// calls makes calls until the round is over. What is called, and how, is of the seed.
func (w *world) calls(p *one, r *rand.Rand, over <-chan struct{}) {
	for !rig.IsClosed(over) {
		to := p.targets[r.IntN(len(p.targets))]
		c := p.clients[r.IntN(len(p.clients))]
		note := Note{ID: int(w.ids.Add(1)), Body: make([]byte, r.IntN(1<<10))}
		if r.IntN(10) == 0 {
			note.Body = make([]byte, r.IntN(100<<10))
		}
		if r.IntN(4) == 0 {
			note.Pause = between(r, 0, 300*time.Millisecond)
		}
		rec := record{id: note.ID, idempotent: r.IntN(2) == 0, bound: between(r, 50*time.Millisecond, 3*time.Second)}
		opts := []rpc.CallOption{rpc.CallIdempotent(rec.idempotent)}
		kind, retries := r.IntN(4), r.IntN(2) == 0
		ctx, cancel := network.WithAllowLimitedConn(context.Background(), "test"), context.CancelFunc(func() {})
		if r.IntN(8) == 0 && !retries { // without a deadline
			rec.bound = note.Pause + dialing + negotiation + silence*5/4
		} else {
			ctx, cancel = context.WithTimeout(ctx, rec.bound)
		}
		if retries {
			opts = append(opts, rpc.CallRetry(rpc.RetryPolicy{Attempts: 4, Backoff: 20 * time.Millisecond, MaxBackoff: 200 * time.Millisecond}))
		}
		rec.what = fmt.Sprintf("%s to %s, %s, retries %v", p.name, to.name, []string{"by name", "typed", "stream", "typed stream"}[kind], retries)
		start := time.Now()
		rec.err = w.call(ctx, c, to, note, kind, opts)
		rec.took = time.Since(start)
		cancel()
		w.book.ended(rec)
	}
}

// call makes one, and returns its error, or one of its own if the reply is another's.
func (w *world) call(ctx context.Context, c *rpc.Client, to target, note Note, kind int, opts []rpc.CallOption) (err error) {
	var got Note
	switch kind {
	case 0:
		err = c.CallContext(ctx, to.host.ID(), "Svc", "Note", note, &got)
	case 1:
		got, err = rpc.NewMethod[Note, Note]("Svc", "Note").Call(ctx, c, to.host.ID(), note, opts...)
	case 2:
		in, out := make(chan Note, 3), make(chan Note, 3)
		for range cap(in) {
			in <- note
		}
		close(in)
		if err = c.Stream(ctx, to.host.ID(), "Svc", "Notes", in, out); err == nil {
			got, err = all(out)
		}
	case 3:
		call := rpc.NewDuplex[Note, Note]("Svc", "Notes").Open(ctx, c, to.host.ID(), opts...)
		defer call.Close()
		for range 3 {
			if err = call.Send(ctx, note); err != nil {
				break
			}
		}
		_ = call.CloseSend()
		for n := 0; ; n++ {
			got, err = call.Receive(ctx)
			if err == io.EOF && n == 3 {
				return nil
			}
			if err != nil {
				break
			}
		}
	}
	if err == nil && (got.ID != note.ID || len(got.Body) != len(note.Body)) {
		return fmt.Errorf("the reply is that of call %d", got.ID)
	}
	return err
}

// all are the items of a stream that has ended well. v0.6's format has no mark for the
// end, so that some may be missing.
func all(out <-chan Note) (got Note, err error) {
	n := 0
	for got = range out {
		n++
	}
	if n == 0 {
		return got, errors.New("no item")
	}
	return got, nil
}

// watchMemory looks at the heap now and then.
func (w *world) watchMemory(over <-chan struct{}) {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	base := stats.HeapAlloc
	pairs := 0
	for _, p := range w.peers {
		pairs += len(p.targets)
	}
	w.book.mu.Lock()
	w.book.allowed = uint64(pairs) * formula
	w.book.mu.Unlock()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		runtime.ReadMemStats(&stats)
		w.book.mu.Lock()
		if stats.HeapAlloc > base {
			w.book.peak = max(w.book.peak, stats.HeapAlloc-base)
		}
		w.book.mu.Unlock()
	}
}

// end closes all clients and servers, and looks at what they leave behind.
func (w *world) end() {
	if w.bug.beforeEnd != nil {
		w.bug.beforeEnd(w)
	}
	for _, p := range w.peers {
		for _, c := range p.clients {
			_ = c.Close()
		}
		_ = p.server.Close()
	}
	patience := rig.Slower(10 * time.Second)
	if w.bug.patience > 0 {
		patience = w.bug.patience
	}
	var left []string
	if !within(patience, func() bool { left = rig.LibraryGoroutines(); return len(left) == 0 }) {
		w.book.breaks("%s: %d are, one of them is\n%s", goroutines, len(left), strings.SplitN(left[0], "\ncreated by", 2)[0])
	}
	for _, p := range w.peers {
		var held network.ScopeStat
		if !within(patience, func() bool { held = rig.Held(p.host); return held == network.ScopeStat{} }) {
			w.book.breaks("%s: %s holds %+v", reservation, p.name, held)
		}
	}
	for _, c := range w.closed {
		c()
	}
}

// within reports whether cond comes true.
func within(d time.Duration, cond func() bool) bool {
	for start := time.Now(); !cond(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > d {
			return false
		}
	}
	return true
}
