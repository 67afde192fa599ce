package streams_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func serveTypedStreams(s *rpc.Server) error {
	return errors.Join(
		rig.Divides.Handle(s, func(ctx context.Context, in *rpc.Receiver[rig.Args], out *rpc.Sender[rig.Quotient]) error {
			for a, err := range in.All(ctx) {
				if err != nil {
					return err
				}
				if a.B == 0 {
					return rig.ErrDivide
				}
				if err := out.Send(ctx, rig.Quotient{Quo: a.A / a.B, Rem: a.A % a.B}); err != nil {
					return err
				}
			}
			return nil
		}),
		rig.CountTo.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
			for i := range n {
				if err := out.Send(ctx, i); err != nil {
					return err
				}
			}
			if n < 0 {
				return rig.ErrDivide
			}
			return nil
		}),
		rig.Sum.Handle(s, func(ctx context.Context, in *rpc.Receiver[int]) (sum int, err error) {
			for n, err := range in.All(ctx) {
				if err != nil {
					return 0, err
				}
				sum += n
			}
			if sum < 0 {
				return 0, rig.ErrDivide
			}
			return sum, nil
		}),
	)
}

// forEachServing runs f over every transport, with the methods served by a
// receiver and by typed methods.
func forEachServing(t *testing.T, receiver any, typed func(*rpc.Server) error, o rig.Options, f func(*testing.T, rig.Setup)) {
	t.Helper()
	serve := map[string]func(*rpc.Server) error{
		"receiver": func(s *rpc.Server) error { return s.RegisterName("Svc", receiver) },
		"typed":    typed,
	}
	for name, serve := range serve {
		for _, tr := range rig.Transports {
			t.Run(name+"/"+tr.Name, func(t *testing.T) {
				t.Parallel()
				s := tr.Setup(t, o)
				if err := serve(s.Server); err != nil {
					t.Fatal(err)
				}
				f(t, s)
			})
		}
	}
}

func TestTypedStreams(t *testing.T) {
	t.Parallel()
	forEachServing(t, rig.ByChannels{}, serveTypedStreams, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		for _, n := range []int{0, 1, 3, 1000} {
			var got []int
			for i, err := range rig.CountTo.Call(ctx, s.Client, s.Dest, n) {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, i)
			}
			if len(got) != n || !slices.IsSorted(got) {
				t.Errorf("%d: %v", n, got)
			}
			args := make(chan int, 1)
			args <- n
			byName, err := rig.Stream(ctx, t, s, "CountTo", args, 0)
			if err != nil || !slices.Equal(byName, got) {
				t.Errorf("by name: %v, %v", byName, err)
			}

			add := rig.Sum.Open(ctx, s.Client, s.Dest)
			for i := range n {
				if err := add.Send(ctx, i); err != nil {
					t.Fatal(err)
				}
			}
			total, err := add.Finish(ctx)
			if again, err := add.Finish(ctx); again != 0 {
				t.Errorf("the second Finish returns %d", again)
			} else {
				rig.CheckErr(t, err, rpc.ClientErr, codes.FailedPrecondition, "Svc.Sum", "peer "+s.Dest.String(), "Finish was called before")
			}
			if err != nil || total != n*(n-1)/2 {
				t.Errorf("the sum of %d: %d, %v", n, total, err)
			}
			args = make(chan int)
			rig.SendAll(ctx, args, got...)
			sums, err := rig.Stream(ctx, t, s, "Sum", args, 0)
			if err != nil || !slices.Equal(sums, []int{n * (n - 1) / 2}) {
				t.Errorf("by name: %v, %v", sums, err)
			}
		}
	})
}

func TestTypedDuplex(t *testing.T) {
	t.Parallel()
	forEachServing(t, rig.ByChannels{}, serveTypedStreams, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		call := rig.Divides.Open(ctx, s.Client, s.Dest)
		for i := range 10 { // one at a time: none waits for another
			if err := call.Send(ctx, rig.Args{A: i, B: 3}); err != nil {
				t.Fatal(err)
			}
			if q, err := call.Receive(ctx); err != nil || q != (rig.Quotient{Quo: i / 3, Rem: i % 3}) {
				t.Fatal(q, err)
			}
		}
		_ = call.CloseSend()
		if _, err := call.Receive(ctx); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if err := call.Send(ctx, rig.Args{A: 1, B: 1}); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}

		const n = 5000
		call = rig.Divides.Open(ctx, s.Client, s.Dest)
		go func() {
			for i := range n {
				if err := call.Send(ctx, rig.Args{A: i, B: 3}); err != nil {
					t.Error(err)
				}
			}
			_ = call.CloseSend()
		}()
		i := 0
		for q, err := range call.All(ctx) {
			if err != nil || q != (rig.Quotient{Quo: i / 3, Rem: i % 3}) {
				t.Fatal(q, err)
			}
			i++
		}
		if i != n {
			t.Errorf("%d replies", i)
		}

		args := make(chan rig.Args)
		rig.SendAll(ctx, args, rig.Args{A: 7, B: 2}, rig.Args{A: 1, B: 0}, rig.Args{A: 1, B: 1})
		replies, err := rig.Stream(ctx, t, s, "Divides", args, rig.Quotient{})
		if err == nil || err.Error() != rig.ErrDivide.Error() || !slices.Equal(replies, []rig.Quotient{{Quo: 3, Rem: 1}}) {
			t.Errorf("by name: %v, %v", replies, err)
		}
	})
}

func TestTypedStreamsOfEveryType(t *testing.T) {
	t.Parallel()
	t.Run("int", func(t *testing.T) { echoed(t, -7) })
	t.Run("string", func(t *testing.T) { echoed(t, "seven") })
	t.Run("bytes", func(t *testing.T) { echoed(t, []byte{7}) })
	t.Run("large bytes", func(t *testing.T) { echoed(t, make([]byte, 300<<10)) })
	t.Run("struct", func(t *testing.T) { echoed(t, rig.Args{A: 6, B: 7}) })
	t.Run("pointer", func(t *testing.T) { echoed(t, &rig.Args{A: 6, B: 7}) })
	t.Run("slice", func(t *testing.T) { echoed(t, []string{"a", "b"}) })
	t.Run("map", func(t *testing.T) { echoed(t, map[string]int{"a": 1}) })
	type mixed struct {
		A any
		M map[string]int
		P *string
	}
	t.Run("struct of all", func(t *testing.T) { echoed(t, mixed{A: int64(3), M: map[string]int{"a": 1}}) })
	t.Run("any", func(t *testing.T) { echoed[any](t, int64(7)) })
	t.Run("nothing", func(t *testing.T) { echoed(t, struct{}{}) })
}

// echoed sends an item to and fro, by typed ends and by channels, and checks
// that items do not share what they point to.
func echoed[T any](t *testing.T, item T) {
	t.Parallel()
	echo := rpc.NewDuplex[T, T]("Svc", "Echo")
	typed := func(s *rpc.Server) error {
		return echo.Handle(s, func(ctx context.Context, in *rpc.Receiver[T], out *rpc.Sender[T]) error {
			for {
				v, err := in.Receive(ctx)
				if err == io.EOF {
					return nil
				}
				if err == nil {
					err = out.Send(ctx, v)
				}
				if err != nil {
					return err
				}
			}
		})
	}
	forEachServing(t, habits[T]{}, typed, rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx := rig.Context(t)
		call := echo.Open(ctx, s.Client, s.Dest)
		sent := rig.InBackground(func() error {
			for range 20 {
				if err := call.Send(ctx, item); err != nil {
					return err
				}
			}
			return call.CloseSend()
		})
		all, err := rig.Received(ctx, t, call)
		if err := errors.Join(err, rig.Take(t, "all is sent", sent)); err != nil || len(all) != 20 {
			t.Fatal(len(all), err)
		}
		for _, v := range all {
			if !reflect.DeepEqual(v, item) {
				t.Fatalf("got %v", v)
			}
		}
		if v := reflect.ValueOf(all[0]); v.Kind() == reflect.Pointer && s.Dest != s.Sender && v.Pointer() == reflect.ValueOf(all[1]).Pointer() {
			t.Error("two items are one")
		}
		args := make(chan T)
		rig.SendAll(ctx, args, item, item)
		if all, err := rig.Stream(ctx, t, s, "Echo", args, item); err != nil || len(all) != 2 || !reflect.DeepEqual(all[1], item) {
			t.Errorf("by name: %v, %v", all, err)
		}
	})
}

// io.EOF is what a method has from its Receiver, and may return: that is an
// error like any other, and not the end of its replies.
func TestTypedStreamThatReturnsEOFHasFailed(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		listed := rpc.NewServerStream[int, int]("EOF", "List")
		summed := rpc.NewClientStream[int, int]("EOF", "Sum")
		talked := rpc.NewDuplex[int, int]("EOF", "Talk")
		if err := errors.Join(
			listed.Handle(s.Server, func(context.Context, int, *rpc.Sender[int]) error { return io.EOF }),
			summed.Handle(s.Server, func(context.Context, *rpc.Receiver[int]) (int, error) { return 0, io.EOF }),
			talked.Handle(s.Server, func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error { return io.EOF }),
		); err != nil {
			t.Fatal(err)
		}
		ctx := rig.Context(t)
		check := func(what string, err error) {
			t.Helper()
			if err == nil || err == io.EOF || err.Error() != "EOF" || rpc.IsRPCError(err) {
				t.Errorf("%s: the error is %v, and not one of the method's", what, err)
			}
		}
		var err error
		for _, err = range listed.Call(ctx, s.Client, s.Dest, 1) {
		}
		check("replies", err)
		_, err = summed.Open(ctx, s.Client, s.Dest).Finish(ctx)
		check("arguments", err)
		call := talked.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		_, err = call.Receive(ctx)
		check("both", err)
	})
}
