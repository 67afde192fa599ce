package rig

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

type Args struct{ A, B int }

// Quotient is what Divide replies.
type Quotient struct{ Quo, Rem int }

// Arith is the service of the recordings, and of most tests.
type Arith struct{}

func (Arith) Multiply(_ context.Context, a *Args, r *int) error {
	*r = a.A * a.B
	return nil
}

func (Arith) Divide(_ context.Context, a Args, r *Quotient) error {
	if a.B == 0 {
		return ErrDivide
	}
	*r = Quotient{a.A / a.B, a.A % a.B}
	return nil
}

func (Arith) ReplyAndError(_ context.Context, _ int, r *int) error {
	*r = 42
	return errors.New("an error")
}

func (Arith) Divides(_ context.Context, in <-chan Args, out chan<- Quotient) error {
	defer close(out)
	for a := range in {
		if a.B == 0 {
			return ErrDivide
		}
		out <- Quotient{a.A / a.B, a.A % a.B}
	}
	return nil
}

// Block waits for its context.
func (Arith) Block(ctx context.Context, _ struct{}, _ *struct{}) error {
	<-ctx.Done()
	return ctx.Err()
}

// ErrDivide is what Divide and Divides return instead of dividing by zero.
var ErrDivide = errors.New("divide by zero")

var (
	MultiplyMethod = rpc.NewMethod[*Args, int]("Svc", "Multiply")
	DivideMethod   = rpc.NewMethod[Args, Quotient]("Svc", "Divide")
)

// HandleDivide is Divide for a typed method.
func HandleDivide(_ context.Context, a Args) (Quotient, error) {
	if a.B == 0 {
		return Quotient{}, ErrDivide
	}
	return Quotient{a.A / a.B, a.A % a.B}, nil
}

// Echo is a method that replies its argument.
func Echo[T any](_ context.Context, in T, out *T) error {
	*out = in
	return nil
}

// Holder has a method that heeds nothing but the test.
type Holder struct {
	Arith
	Started chan struct{} // takes one for each that runs
	Release chan struct{} // gives one for each that may return
	Running atomic.Int32
	Most    atomic.Int32
}

func (h *Holder) Hold(context.Context, struct{}, *struct{}) error {
	n := h.Running.Add(1)
	defer h.Running.Add(-1)
	for m := h.Most.Load(); n > m && !h.Most.CompareAndSwap(m, n); m = h.Most.Load() {
	}
	h.Started <- struct{}{}
	<-h.Release
	return nil
}

// NewHolder returns one for up to 1,000 calls at once.
func NewHolder() *Holder {
	return &Holder{Started: make(chan struct{}, 1000), Release: make(chan struct{}, 1000)}
}

// Counted counts the calls of its methods, of both kinds.
type Counted struct{ Calls atomic.Int32 }

func (c *Counted) Unary(context.Context, any, *any) error {
	c.Calls.Add(1)
	return nil
}

func (c *Counted) Streaming(_ context.Context, in <-chan any, _ chan<- any) error {
	c.Calls.Add(1)
	for range in {
	}
	return nil
}

// RanCount counts what runs.
type RanCount struct{ Ran atomic.Int32 }

func (c *RanCount) Unary(_ context.Context, _ int, _ *string) error {
	c.Ran.Add(1)
	return nil
}

func (c *RanCount) Streaming(_ context.Context, in <-chan int, _ chan<- string) error {
	c.Ran.Add(1)
	for range in {
	}
	return nil
}

// Blocker has methods that wait for their context, and tell of it.
type Blocker struct {
	Started chan struct{}
	Ended   chan error
}

func (b *Blocker) Block(ctx context.Context, _ struct{}, _ *int) error {
	b.Started <- struct{}{}
	<-ctx.Done()
	b.Ended <- ctx.Err()
	return ctx.Err()
}

// Wait is Block for a stream.
func (b *Blocker) Wait(ctx context.Context, _ <-chan int, _ chan<- int) error {
	return b.Block(ctx, struct{}{}, nil)
}

// Lingering heeds no context, and writes its reply when nobody waits for it.
type Lingering struct {
	Started, Release, Wrote chan struct{}
}

func (l *Lingering) Linger(_ context.Context, _ struct{}, reply *[]int) error {
	l.Started <- struct{}{}
	<-l.Release
	*reply = []int{42}
	l.Wrote <- struct{}{}
	return nil
}

func (l *Lingering) Quick(_ context.Context, n int, reply *int) error {
	*reply = n
	return nil
}

// NewLingering returns one for up to 100 calls.
func NewLingering() *Lingering {
	return &Lingering{make(chan struct{}, 100), make(chan struct{}), make(chan struct{}, 100)}
}

// Patient waits for the test, or for its context.
type Patient struct {
	Started, Release chan struct{}
	Ended            chan error
}

func (p *Patient) Unary(ctx context.Context, n int, reply *int) error {
	p.Started <- struct{}{}
	select {
	case <-p.Release:
		*reply = n
		return nil
	case <-ctx.Done():
		p.Ended <- ctx.Err()
		return ctx.Err()
	}
}

func (p *Patient) Echo(_ context.Context, in <-chan int, out chan<- int) error {
	p.Started <- struct{}{}
	for n := range in {
		out <- n
	}
	return nil
}

// NewPatient returns one for up to 10 calls.
func NewPatient() *Patient {
	return &Patient{make(chan struct{}, 10), make(chan struct{}), make(chan error, 10)}
}

// Giver replies as much as it is asked for.
type Giver struct{ Arith }

func (Giver) Give(_ context.Context, n int, b *[]byte) error {
	*b = make([]byte, n)
	return nil
}

func (Giver) GiveAll(_ context.Context, in <-chan int, out chan<- []byte) error {
	for n := range in {
		out <- make([]byte, n)
	}
	return nil
}

// Ledger notes which calls ran.
type Ledger struct {
	Mu  sync.Mutex
	Ran map[int]int
}

func (l *Ledger) Note(_ context.Context, id int, reply *int) error {
	l.Mu.Lock()
	defer l.Mu.Unlock()
	l.Ran[id]++
	*reply = id
	return nil
}

// Unsteady is a method that fails a number of times.
type Unsteady struct {
	Times atomic.Int32 // to fail
	Calls atomic.Int32
	Err   error
}

func (f *Unsteady) Call(context.Context, int) (int, error) {
	if f.Calls.Add(1) <= f.Times.Load() {
		return 0, f.Err
	}
	return 42, nil
}

func (f *Unsteady) Method(t testing.TB, s *rpc.Server, opts ...rpc.CallOption) *rpc.Method[int, int] {
	return MustHandle(t, s, rpc.NewMethod[int, int]("Svc", "Try", opts...), f.Call)
}

// Quickly retries without much of a pause.
func Quickly(attempts int) rpc.CallOption {
	return rpc.CallRetry(rpc.RetryPolicy{Attempts: attempts, Backoff: time.Millisecond})
}

// HoursLeft is the method that TellHours serves.
func HoursLeft(opts ...rpc.CallOption) *rpc.Method[struct{}, int] {
	return rpc.NewMethod[struct{}, int]("Svc", "HoursLeft", opts...)
}

// TellHours is a method that replies the hours to its deadline, rounded up; 0 without.
func TellHours(ctx context.Context, _ struct{}) (int, error) {
	d, ok := ctx.Deadline()
	if !ok {
		return 0, nil
	}
	return int(time.Until(d)/time.Hour) + 1, nil
}
