package soak_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// SoakArg is the argument, or one of them, of a numbered call, and SoakReply
// what is made of it.
type SoakArg struct {
	Caller int
	N      uint64
	Item   int
	Hold   time.Duration
	Body   []byte
}

type SoakReply struct {
	Caller int
	N      uint64
	Item   int
	Body   []byte
}

func (a *SoakArg) reply() SoakReply {
	r := SoakReply{a.Caller, a.N, a.Item, make([]byte, len(a.Body))}
	for i, b := range a.Body {
		r.Body[i] = b ^ byte(a.N)
	}
	return r
}

func (r *SoakReply) equal(o *SoakReply) bool {
	return r.Caller == o.Caller && r.N == o.N && r.Item == o.Item && string(r.Body) == string(o.Body)
}

// soaked is the service.
type soaked struct {
	t    testing.TB
	soak *soak
}

func (s *soaked) Unary(ctx context.Context, a *SoakArg, r *SoakReply) error {
	s.soak.callers[a.Caller].ran(s.t, a.N)
	if a.Hold > 0 {
		timer := time.NewTimer(a.Hold)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	*r = a.reply()
	return nil
}

func (s *soaked) Streaming(ctx context.Context, in <-chan SoakArg, out chan<- SoakReply) error {
	for a := range in {
		if a.Item == 0 {
			s.soak.callers[a.Caller].ran(s.t, a.N)
		}
		select {
		case out <- a.reply():
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// soakTyped is Streaming as a typed method.
var soakTyped = rpc.NewDuplex[SoakArg, SoakReply]("Svc", "Typed")

func (s *soaked) typed(ctx context.Context, in *rpc.Receiver[SoakArg], out *rpc.Sender[SoakReply]) error {
	for a, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		if a.Item == 0 {
			s.soak.callers[a.Caller].ran(s.t, a.N)
		}
		if err := out.Send(ctx, a.reply()); err != nil {
			return err
		}
	}
	return nil
}

// soakRing is how many of a caller's last calls are remembered.
const soakRing = 1 << 16

// soakCaller makes one call at a time.
type soakCaller struct {
	soak   *soak
	id, at int
	tr     rig.Transport
	client *soakClient

	n         uint64 // the last call's number
	good      uint64
	cancelled int
	failed    map[codes.Code]int
	runs      [soakRing]atomic.Uint64 // number and count (the last byte) of calls that ran
}

// ran notes that call n runs.
func (c *soakCaller) ran(t testing.TB, n uint64) {
	slot := &c.runs[n%soakRing]
	for {
		old := slot.Load()
		next := n<<8 | 1
		switch m := old >> 8; {
		case m == n:
			t.Errorf("%s: call %d ran again", c.tr.Name, n)
			return
		case m > n: // given up by its caller, 65,536 calls ago
			t.Errorf("%s: call %d ran when %d had", c.tr.Name, n, m)
			return
		}
		if slot.CompareAndSwap(old, next) {
			return
		}
	}
}

// call makes a call, checks the replies and counts.
func (c *soakCaller) call(t *testing.T) {
	c.n++
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	gaveUp := rand.N(10) == 0
	if gaveUp {
		timer := time.AfterFunc(rand.N(2*time.Millisecond), cancel)
		defer timer.Stop()
	}
	at := c.at
	for !c.tr.Local && at == c.at {
		at = rand.N(soakHosts)
	}
	dest := c.soak.hosts[at].ID()
	changedHere, changedThere := c.soak.changed(c.at), c.soak.changed(at)
	var err error
	switch rand.N(8) {
	case 0:
		err = c.stream(ctx, dest)
	case 1:
		err = c.typed(ctx, dest)
	default:
		err = c.unary(ctx, dest)
	}
	var wrong *soakError
	switch {
	case errors.As(err, &wrong):
		t.Errorf("%s: call %d: %v", c.tr.Name, c.n, err)
	case err == nil:
		c.good++
		if got := c.runs[c.n%soakRing].Load(); got != c.n<<8|1 {
			t.Errorf("%s: call %d succeeded, and did not run", c.tr.Name, c.n)
		}
	case gaveUp && errors.Is(err, context.Canceled):
		c.cancelled++
	case rpc.CodeOf(err) == codes.Unavailable && (!c.tr.Local || changedHere()):
		c.failed[codes.Unavailable]++ // its connection was closed, or its client or server
	case rpc.CodeOf(err) == codes.Unimplemented && !c.tr.Local && changedThere():
		c.failed[codes.Unimplemented]++ // one server was gone, and the next not yet complete
	default:
		c.failed[rpc.CodeOf(err)]++
		t.Errorf("%s: call %d, cancelled %v: %v", c.tr.Name, c.n, gaveUp, err)
	}
}

// soakError is a wrong reply.
type soakError struct{ text string }

func (e *soakError) Error() string { return e.text }

func (c *soakCaller) arg(item int) SoakArg {
	size := rand.N(1 << 10)
	if rand.N(50) == 0 {
		size = rand.N(200 << 10)
	}
	a := SoakArg{Caller: c.id, N: c.n, Item: item, Body: []byte(strings.Repeat(fmt.Sprint(c.id, c.n, item), size/4+1))[:size]}
	if rand.N(10) == 0 {
		a.Hold = rand.N(2 * time.Millisecond)
	}
	return a
}

func (c *soakCaller) unary(ctx context.Context, dest peer.ID) error {
	a := c.arg(0)
	want := a.reply()
	var r SoakReply
	if err := c.client.current.Load().CallContext(ctx, dest, "Svc", "Unary", &a, &r); err != nil {
		return err
	}
	if !r.equal(&want) {
		return &soakError{fmt.Sprintf("the reply is that of %d/%d, %d bytes", r.Caller, r.N, len(r.Body))}
	}
	return nil
}

// items are the arguments of a stream.
func (c *soakCaller) items() []SoakArg {
	items := make([]SoakArg, 1+rand.N(10))
	for i := range items {
		items[i] = c.arg(i)
	}
	return items
}

func (c *soakCaller) stream(ctx context.Context, dest peer.ID) error {
	items := c.items()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // of the sending
	args, replies := make(chan SoakArg), make(chan SoakReply)
	rig.SendAll(ctx, args, items...)
	all := rig.Collect(replies)
	err := c.client.current.Load().Stream(ctx, dest, "Svc", "Streaming", args, replies)
	return checkSoaked(items, all(), err)
}

func (c *soakCaller) typed(ctx context.Context, dest peer.ID) error {
	items := c.items()
	call := soakTyped.Open(ctx, c.client.current.Load(), dest)
	var sending sync.WaitGroup
	sending.Go(func() {
		defer call.CloseSend()
		for _, a := range items {
			if call.Send(ctx, a) != nil {
				return
			}
		}
	})
	var got []SoakReply
	var failed error
	for r, err := range call.All(ctx) {
		if err != nil {
			failed = err
		} else {
			got = append(got, r)
		}
	}
	_ = call.Close()
	sending.Wait()
	return checkSoaked(items, got, failed)
}

// checkSoaked compares a stream's replies with its arguments. It returns the
// call's error if they fit.
func checkSoaked(items []SoakArg, got []SoakReply, err error) error {
	for i := range got {
		if i >= len(items) {
			return &soakError{fmt.Sprintf("%d replies of %d", len(got), len(items))}
		}
		if want := items[i].reply(); !got[i].equal(&want) {
			return &soakError{fmt.Sprintf("reply %d is %d of %d/%d", i, got[i].Item, got[i].Caller, got[i].N)}
		}
	}
	if err == nil && len(got) != len(items) {
		return &soakError{fmt.Sprintf("%d replies of %d, and no error", len(got), len(items))}
	}
	return err
}
