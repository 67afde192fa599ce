package rig

import (
	"context"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/fan"
)

var (
	Divides = rpc.NewDuplex[Args, Quotient]("Svc", "Divides")
	CountTo = rpc.NewServerStream[int, int]("Svc", "CountTo")
	Sum     = rpc.NewClientStream[int, int]("Svc", "Sum")
)

// ByChannels has the methods of the three as those of a receiver.
type ByChannels struct{ Arith }

func (ByChannels) CountTo(ctx context.Context, in <-chan int, out chan<- int) error {
	n := <-in
	for i := range n {
		out <- i
	}
	if n < 0 {
		return ErrDivide
	}
	return nil
}

func (ByChannels) Sum(ctx context.Context, in <-chan int, out chan<- int) error {
	sum := 0
	for n := range in {
		sum += n
	}
	if sum < 0 {
		return ErrDivide
	}
	out <- sum
	return nil
}

// Received receives all there is.
func Received[A, R any](ctx context.Context, t testing.TB, call *rpc.DuplexCall[A, R]) ([]R, error) {
	t.Helper()
	type result struct {
		all []R
		err error
	}
	r := Take(t, "the replies end", InBackground(func() (r result) {
		for v, err := range call.All(ctx) {
			if err != nil {
				r.err = err
				break
			}
			r.all = append(r.all, v)
		}
		return r
	}))
	return r.all, r.err
}

// ByPeer gathers what a loop yields.
func ByPeer[R any](t testing.TB, results func(func(peer.ID, fan.Result[R]) bool)) (values map[peer.ID][]R, errs map[peer.ID]error) {
	values, errs = make(map[peer.ID][]R), make(map[peer.ID]error)
	results(func(p peer.ID, r fan.Result[R]) bool {
		if errs[p] != nil {
			t.Errorf("%v: %+v after its error", p, r)
		}
		if r.Err != nil {
			errs[p] = r.Err
		} else {
			values[p] = append(values[p], r.Value)
		}
		return true
	})
	return values, errs
}
