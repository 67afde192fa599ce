package rpc_test

import (
	"context"
	"errors"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

var (
	divides = rpc.NewDuplex[Args, Quotient]("Svc", "Divides")
	countTo = rpc.NewServerStream[int, int]("Svc", "CountTo")
	sum     = rpc.NewClientStream[int, int]("Svc", "Sum")
)

// byChannels has the methods of the three as those of a receiver.
type byChannels struct{ Arith }

func (byChannels) CountTo(ctx context.Context, in <-chan int, out chan<- int) error {
	n := <-in
	for i := range n {
		out <- i
	}
	if n < 0 {
		return errDivide
	}
	return nil
}

func (byChannels) Sum(ctx context.Context, in <-chan int, out chan<- int) error {
	sum := 0
	for n := range in {
		sum += n
	}
	if sum < 0 {
		return errDivide
	}
	out <- sum
	return nil
}

func serveTypedStreams(s *rpc.Server) error {
	return errors.Join(
		divides.Handle(s, func(ctx context.Context, in *rpc.Receiver[Args], out *rpc.Sender[Quotient]) error {
			for a, err := range in.All(ctx) {
				if err != nil {
					return err
				}
				if a.B == 0 {
					return errDivide
				}
				if err := out.Send(ctx, Quotient{a.A / a.B, a.A % a.B}); err != nil {
					return err
				}
			}
			return nil
		}),
		countTo.Handle(s, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
			for i := range n {
				if err := out.Send(ctx, i); err != nil {
					return err
				}
			}
			if n < 0 {
				return errDivide
			}
			return nil
		}),
		sum.Handle(s, func(ctx context.Context, in *rpc.Receiver[int]) (sum int, err error) {
			for n, err := range in.All(ctx) {
				if err != nil {
					return 0, err
				}
				sum += n
			}
			if sum < 0 {
				return 0, errDivide
			}
			return sum, nil
		}),
	)
}

// forEachServing runs f over every transport, with the methods served by a
// receiver and by typed methods.
func forEachServing(t *testing.T, receiver any, typed func(*rpc.Server) error, o options, f func(*testing.T, setup)) {
	t.Helper()
	serve := map[string]func(*rpc.Server) error{
		"receiver": func(s *rpc.Server) error { return s.RegisterName("Svc", receiver) },
		"typed":    typed,
	}
	for name, serve := range serve {
		for _, tr := range transports {
			t.Run(name+"/"+tr.name, func(t *testing.T) {
				t.Parallel()
				s := tr.setup(t, o)
				if err := serve(s.server); err != nil {
					t.Fatal(err)
				}
				f(t, s)
			})
		}
	}
}

func TestTypedStreams(t *testing.T) {
	t.Parallel()
	forEachServing(t, byChannels{}, serveTypedStreams, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		for _, n := range []int{0, 1, 3, 1000} {
			var got []int
			for i, err := range countTo.Call(ctx, s.client, s.dest, n) {
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
			byName, err := stream(ctx, t, s, "CountTo", args, 0)
			if err != nil || !slices.Equal(byName, got) {
				t.Errorf("by name: %v, %v", byName, err)
			}

			add := sum.Open(ctx, s.client, s.dest)
			for i := range n {
				if err := add.Send(ctx, i); err != nil {
					t.Fatal(err)
				}
			}
			total, err := add.Finish(ctx)
			if again, err := add.Finish(ctx); again != 0 {
				t.Errorf("the second Finish returns %d", again)
			} else {
				checkErr(t, err, rpc.ClientErr, rpc.CodeFailedPrecondition, "Svc.Sum", "peer "+s.dest.String(), "Finish was called before")
			}
			if err != nil || total != n*(n-1)/2 {
				t.Errorf("the sum of %d: %d, %v", n, total, err)
			}
			args = make(chan int)
			sendAll(ctx, args, got...)
			sums, err := stream(ctx, t, s, "Sum", args, 0)
			if err != nil || !slices.Equal(sums, []int{n * (n - 1) / 2}) {
				t.Errorf("by name: %v, %v", sums, err)
			}
		}
	})
}

func TestTypedDuplex(t *testing.T) {
	t.Parallel()
	forEachServing(t, byChannels{}, serveTypedStreams, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		call := divides.Open(ctx, s.client, s.dest)
		for i := range 10 { // one at a time: none waits for another
			if err := call.Send(ctx, Args{i, 3}); err != nil {
				t.Fatal(err)
			}
			if q, err := call.Receive(ctx); err != nil || q != (Quotient{i / 3, i % 3}) {
				t.Fatal(q, err)
			}
		}
		_ = call.CloseSend()
		if _, err := call.Receive(ctx); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if err := call.Send(ctx, Args{1, 1}); err != io.EOF {
			t.Errorf("after the end: %v", err)
		}

		const n = 5000
		call = divides.Open(ctx, s.client, s.dest)
		go func() {
			for i := range n {
				if err := call.Send(ctx, Args{i, 3}); err != nil {
					t.Error(err)
				}
			}
			_ = call.CloseSend()
		}()
		i := 0
		for q, err := range call.All(ctx) {
			if err != nil || q != (Quotient{i / 3, i % 3}) {
				t.Fatal(q, err)
			}
			i++
		}
		if i != n {
			t.Errorf("%d replies", i)
		}

		args := make(chan Args)
		sendAll(ctx, args, Args{7, 2}, Args{1, 0}, Args{1, 1})
		replies, err := stream(ctx, t, s, "Divides", args, Quotient{})
		if err == nil || err.Error() != errDivide.Error() || !slices.Equal(replies, []Quotient{{3, 1}}) {
			t.Errorf("by name: %v, %v", replies, err)
		}
	})
}

func TestStatsTellOfTypedStreams(t *testing.T) {
	t.Parallel()
	doubles := rpc.NewDuplex[int, int]("Svc", "Doubles")
	for _, tr := range transports[:2] {
		for _, by := range []string{"typed", "receiver"} {
			t.Run(tr.name+"/"+by, func(t *testing.T) {
				t.Parallel()
				server := &statsLog{t: t, encoded: !tr.local}
				client := &statsLog{t: t, encoded: !tr.local, client: true}
				s := tr.setup(t, options{
					[]rpc.ServerOption{rpc.WithServerStatsHandler(server)}, []rpc.ClientOption{rpc.WithClientStatsHandler(client)},
				})
				var err error
				if by == "receiver" {
					err = s.server.RegisterName("Svc", told{oneStart()})
				} else {
					err = doubles.Handle(s.server, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[int]) error {
						for n, err := range in.All(ctx) {
							if err != nil {
								return err
							}
							_ = out.Send(ctx, 2*n)
						}
						return nil
					})
				}
				if err != nil {
					t.Fatal(err)
				}
				ctx := testContext(t)
				call := doubles.Open(ctx, s.client, s.dest)
				for i := range 3 {
					_ = call.Send(ctx, i+1)
				}
				_ = call.CloseSend()
				if all, err := received(ctx, t, call); err != nil || !slices.Equal(all, []int{2, 4, 6}) {
					t.Fatal(all, err)
				}
				if err := s.server.Shutdown(ctx); err != nil {
					t.Fatal(err)
				}
				for want, at := range map[string]*statsCall{
					"begin, out 1, out 2, out 3, in 2, in 4, in 6, end": client.only(t),
					"begin, out 2, out 4, out 6, in 1, in 2, in 3, end": server.only(t),
				} {
					if got := strings.Join(at.sorted(), ", "); got != want {
						t.Errorf("%s, not %s", got, want)
					}
				}
			})
		}
	}
}

func TestTypedStreamsOfEveryType(t *testing.T) {
	t.Parallel()
	t.Run("int", func(t *testing.T) { echoed(t, -7) })
	t.Run("string", func(t *testing.T) { echoed(t, "seven") })
	t.Run("bytes", func(t *testing.T) { echoed(t, []byte{7}) })
	t.Run("large bytes", func(t *testing.T) { echoed(t, make([]byte, 300<<10)) })
	t.Run("struct", func(t *testing.T) { echoed(t, Args{6, 7}) })
	t.Run("pointer", func(t *testing.T) { echoed(t, &Args{6, 7}) })
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
	forEachServing(t, habits[T]{}, typed, options{}, func(t *testing.T, s setup) {
		ctx := testContext(t)
		call := echo.Open(ctx, s.client, s.dest)
		sent := inBackground(func() error {
			for range 20 {
				if err := call.Send(ctx, item); err != nil {
					return err
				}
			}
			return call.CloseSend()
		})
		all, err := received(ctx, t, call)
		if err := errors.Join(err, take(t, "all is sent", sent)); err != nil || len(all) != 20 {
			t.Fatal(len(all), err)
		}
		for _, v := range all {
			if !reflect.DeepEqual(v, item) {
				t.Fatalf("got %v", v)
			}
		}
		if v := reflect.ValueOf(all[0]); v.Kind() == reflect.Pointer && s.dest != s.sender && v.Pointer() == reflect.ValueOf(all[1]).Pointer() {
			t.Error("two items are one")
		}
		args := make(chan T)
		sendAll(ctx, args, item, item)
		if all, err := stream(ctx, t, s, "Echo", args, item); err != nil || len(all) != 2 || !reflect.DeepEqual(all[1], item) {
			t.Errorf("by name: %v, %v", all, err)
		}
	})
}

// io.EOF is what a method has from its Receiver, and may return: that is an
// error like any other, and not the end of its replies.
func TestTypedStreamThatReturnsEOFHasFailed(t *testing.T) {
	t.Parallel()
	overAll(t, Arith{}, options{}, func(t *testing.T, s setup) {
		listed := rpc.NewServerStream[int, int]("EOF", "List")
		summed := rpc.NewClientStream[int, int]("EOF", "Sum")
		talked := rpc.NewDuplex[int, int]("EOF", "Talk")
		if err := errors.Join(
			listed.Handle(s.server, func(context.Context, int, *rpc.Sender[int]) error { return io.EOF }),
			summed.Handle(s.server, func(context.Context, *rpc.Receiver[int]) (int, error) { return 0, io.EOF }),
			talked.Handle(s.server, func(context.Context, *rpc.Receiver[int], *rpc.Sender[int]) error { return io.EOF }),
		); err != nil {
			t.Fatal(err)
		}
		ctx := testContext(t)
		check := func(what string, err error) {
			t.Helper()
			if err == nil || err == io.EOF || err.Error() != "EOF" || rpc.IsRPCError(err) {
				t.Errorf("%s: the error is %v, and not one of the method's", what, err)
			}
		}
		var err error
		for _, err = range listed.Call(ctx, s.client, s.dest, 1) {
		}
		check("replies", err)
		_, err = summed.Open(ctx, s.client, s.dest).Finish(ctx)
		check("arguments", err)
		call := talked.Open(ctx, s.client, s.dest)
		defer call.Close()
		_, err = call.Receive(ctx)
		check("both", err)
	})
}
