package calls_test

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func hours(n int) rpc.CallOption { return rpc.CallTimeout(time.Duration(n) * time.Hour) }

func TestNearestTimeoutCounts(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		for name, c := range map[string]struct {
			client  rpc.ClientOption
			method  []rpc.CallOption
			context int
			call    []rpc.CallOption
			want    int
		}{
			"client":                    {client: rpc.WithCallOptions(hours(3)), want: 3},
			"method over client":        {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(9)}, want: 9},
			"none at method":            {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(0)}, want: 0},
			"context over both":         {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(4)}, context: 9, want: 9},
			"call over client":          {client: rpc.WithCallOptions(hours(3)), call: []rpc.CallOption{hours(9)}, want: 9},
			"none at call":              {client: rpc.WithCallOptions(hours(3)), method: []rpc.CallOption{hours(4)}, call: []rpc.CallOption{hours(0)}, want: 0},
			"call within context":       {context: 9, call: []rpc.CallOption{hours(3)}, want: 3},
			"call no longer than that":  {context: 3, call: []rpc.CallOption{hours(9)}, want: 3},
			"of several the last":       {call: []rpc.CallOption{hours(3), hours(9)}, want: 9},
			"of several the client has": {client: rpc.WithCallOptions(hours(3), hours(9)), want: 9},
		} {
			t.Run(tr.Name+"/"+name, func(t *testing.T) {
				t.Parallel()
				var o rig.Options
				if c.client != nil {
					o.Client = append(o.Client, c.client)
				}
				s := tr.Setup(t, o)
				see := rig.MustHandle(t, s.Server, rig.ToldOptions(c.method...), rig.TellOptions)
				ctx := context.Background()
				if c.context > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(c.context)*time.Hour)
					defer cancel()
				}
				if got, err := see.Call(ctx, s.Client, s.Dest, struct{}{}, c.call...); err != nil || got.Hours != c.want {
					t.Errorf("%d hours, not %d; %v", got.Hours, c.want, err)
				}
			})
		}
	}
}

func TestCallTimeoutEndsTheCall(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		block := rpc.NewMethod[struct{}, struct{}]("Svc", "Block")
		err := rig.Take(t, "the call ends", rig.InBackground(func() error {
			_, err := block.Call(context.Background(), s.Client, s.Dest, struct{}{}, rpc.CallTimeout(100*time.Millisecond))
			return err
		}))
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMetadataIsMergedAndTheNearestSent(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		client := rpc.CallMetadata(rpc.Metadata{"a": "client", "b": "client", "c": "client", "d": "client"})
		s := with(rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(client)}})
		see := rig.MustHandle(t, s.Server, rig.ToldOptions(rpc.CallMetadata(rpc.Metadata{"b": "method", "c": "method", "d": "method"})), rig.TellOptions)
		in := rpc.Metadata{"c": "context", "d": "context"}
		ctx := rpc.ContextWithMetadata(rig.Context(t), in)
		for range 2 { // nothing is kept of a call
			got, err := see.Call(ctx, s.Client, s.Dest, struct{}{},
				rpc.CallMetadata(rpc.Metadata{"d": "call"}), rpc.CallMetadata(rpc.Metadata{"e": "call"}))
			want := rpc.Metadata{"a": "client", "b": "method", "c": "context", "d": "call", "e": "call"}
			if err != nil || !maps.Equal(got.Metadata, want) {
				t.Errorf("got %v, %v", got.Metadata, err)
			}
			got, err = see.Call(rig.Context(t), s.Client, s.Dest, struct{}{})
			want = rpc.Metadata{"a": "client", "b": "method", "c": "method", "d": "method"}
			if err != nil || !maps.Equal(got.Metadata, want) {
				t.Errorf("without a call's own: %v, %v", got.Metadata, err)
			}
		}
		if !maps.Equal(in, rpc.Metadata{"c": "context", "d": "context"}) {
			t.Errorf("the caller's own is changed: %v", in)
		}
		var got rig.OptionsTold // by name: the client's
		if err := s.Client.CallContext(ctx, s.Dest, "Svc", "See", struct{}{}, &got); err != nil || got.Metadata["a"] != "client" || got.Metadata["b"] != "client" || got.Metadata["c"] != "context" {
			t.Errorf("by name: %v, %v", got.Metadata, err)
		}
	})
}

// What a call says of connections is not for those that a local method makes
// with its context.
func TestLocalMethodsDoNotInheritOptions(t *testing.T) {
	t.Parallel()
	s := rig.Local.Setup(t, rig.Options{})
	see := rig.MustHandle(t, s.Server, rig.ToldOptions(), rig.TellOptions)
	got, err := see.Call(rig.Context(t), s.Client, s.Dest, struct{}{}, rpc.CallNoDial(true), rpc.CallAllowLimited(true))
	if err != nil || got.NoDial || got.Limited {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestCallNoDialUsesOnlyConnectionsThatAreThere(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHost(t), rig.NewHost(t)
		rig.Know(a, b)
		rig.Serve(t, b, rig.Arith{})
		c := tr.Client(t, a, rpc.WithCallOptions(rpc.CallNoDial(true)))
		ctx := rig.Context(t)

		_, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7})
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "Svc.Multiply", b.ID().String())
		replies := make(chan rig.Quotient)
		serr := c.Stream(ctx, b.ID(), "Svc", "Divides", make(chan rig.Args), replies)
		rig.CheckErr(t, serr, rpc.ClientErr, codes.Unavailable, "Svc.Divides")
		for _, err := range []error{err, serr} {
			if e := new(rpc.Error); !errors.Is(err, network.ErrNoConn) || !errors.As(err, &e) || !e.Unsent() {
				t.Errorf("%v: not ErrNoConn, or not unsent", err)
			}
		}
		if n := a.Network().Connectedness(b.ID()); n != network.NotConnected {
			t.Errorf("it was dialled: %v", n)
		}

		// Taken back nearby, and, of no effect, without having been there.
		for _, opts := range [][]rpc.CallOption{{rpc.CallNoDial(false)}, {rpc.CallWait(true)}, {rpc.CallWait(false)}} {
			if product, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7}, opts...); err != nil || product != 42 {
				t.Errorf("got %v, %v", product, err)
			}
		}
	})
}

// tryingHost tells of every stream that is asked for.
type tryingHost struct {
	host.Host
	tried chan struct{}
}

func (h tryingHost) NewStream(ctx context.Context, p peer.ID, pids ...protocol.ID) (network.Stream, error) {
	st, err := h.Host.NewStream(ctx, p, pids...)
	h.tried <- struct{}{}
	return st, err
}

func TestCallWaitGoesOnWhenThePeerCanBeReached(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for how, reach := range map[string]func(t *testing.T, a, b host.Host){
			"its address becomes known": func(_ *testing.T, a, b host.Host) { rig.Know(a, b) },
			"it connects":               func(t *testing.T, a, b host.Host) { rig.Connect(t, b, a) },
		} {
			for _, streaming := range []bool{false, true} {
				t.Run(how, func(t *testing.T) {
					t.Parallel()
					a, b := rig.NewHost(t), rig.NewHost(t)
					rig.Serve(t, b, rig.Arith{})
					h := tryingHost{a, make(chan struct{}, 1000)}
					c := tr.Client(t, h, rpc.WithCallOptions(rpc.CallWait(true)))
					args, replies := make(chan rig.Args, 1), make(chan rig.Quotient, 1)
					args <- rig.Args{A: 7, B: 2}
					close(args)
					result := rig.InBackground(func() error {
						if streaming {
							return c.Stream(rig.Context(t), b.ID(), "Svc", "Divides", args, replies)
						}
						product, err := rig.MultiplyMethod.Call(rig.Context(t), c, b.ID(), &rig.Args{A: 6, B: 7})
						if product != 42 {
							err = errors.Join(err, errors.New("no product"))
						}
						return err
					})
					rig.Take(t, "it is tried", h.tried)
					rig.Take(t, "it is tried again", h.tried)
					reach(t, a, b)
					if err := rig.Take(t, "the call ends", result); err != nil {
						t.Error(err)
					}
					if streaming {
						if q := <-replies; q != (rig.Quotient{Quo: 3, Rem: 1}) {
							t.Errorf("got %v", q)
						}
					}
				})
			}
		}
	})
}

func TestCallWaitEndsWithItsContextOrItsClient(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		h := tryingHost{rig.NewHost(t), make(chan struct{}, 1000)}
		c := tr.Client(t, h)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		begin := func(ctx context.Context, opts ...rpc.CallOption) <-chan error {
			return rig.InBackground(func() error {
				nowhere := coretest.RandPeerIDFatal(t)
				_, err := rig.MultiplyMethod.Call(ctx, c, nowhere, &rig.Args{A: 6, B: 7}, append(opts, rpc.CallWait(true))...)
				return err
			})
		}
		timed := begin(context.Background(), rpc.CallTimeout(200*time.Millisecond))
		cancelled, closed := begin(ctx), begin(context.Background())
		for range 3 {
			rig.Take(t, "they are tried", h.tried)
		}

		check := func(err error, code codes.Code) {
			t.Helper()
			rig.CheckErr(t, err, rpc.ClientErr, code, "Svc.Multiply", "no addresses")
			if e := new(rpc.Error); !errors.As(err, &e) || !e.Unsent() {
				t.Errorf("not unsent: %v", err)
			}
		}
		err := rig.Take(t, "the timeout ends it", timed)
		check(err, codes.DeadlineExceeded)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		cancel()
		err = rig.Take(t, "cancelling ends it", cancelled)
		check(err, codes.Canceled)
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_ = c.Close()
		check(rig.Take(t, "closing ends it", closed), codes.Unavailable)
	})
}

func TestCallAllowLimited(t *testing.T) {
	t.Parallel()
	a, b := rig.Relayed(t)
	rig.Serve(t, b, rig.Arith{})
	c := rig.Client(t, a, rpc.WithCallOptions(rpc.CallAllowLimited(true)))
	ctx := network.WithDialPeerTimeout(rig.Context(t), rig.Lonely) // for a direct connection
	var product int
	if err := c.CallContext(ctx, b.ID(), "Svc", "Multiply", rig.Args{A: 6, B: 7}, &product); err != nil || product != 42 {
		t.Errorf("allowed by the client: %v, %v", product, err)
	}
	if product, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7}, rpc.CallNoDial(true)); err != nil || product != 42 {
		t.Errorf("without a dial: %v, %v", product, err)
	}
	for _, opts := range [][]rpc.CallOption{{rpc.CallAllowLimited(false)}, {rpc.CallAllowLimited(false), rpc.CallNoDial(true)}} {
		_, err := rig.MultiplyMethod.Call(ctx, c, b.ID(), &rig.Args{A: 6, B: 7}, opts...)
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unavailable, "relayed (limited)")
	}
}

// stuckHost fails to open a stream at first, and then waits for the context.
type stuckHost struct {
	host.Host
	tries *atomic.Int32
}

func (h stuckHost) NewStream(ctx context.Context, p peer.ID, protocols ...protocol.ID) (network.Stream, error) {
	if h.tries.Add(1) == 1 {
		return h.Host.NewStream(ctx, p, protocols...)
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestCallWaitThatEndsInADialTellsOfTheOneBefore(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		h := stuckHost{rig.NewHost(t), new(atomic.Int32)}
		c := tr.Client(t, h)
		_, err := rig.MultiplyMethod.Call(context.Background(), c, coretest.RandPeerIDFatal(t), &rig.Args{A: 6, B: 7}, rpc.CallWait(true), rpc.CallTimeout(time.Second))
		rig.CheckErr(t, err, rpc.ClientErr, codes.DeadlineExceeded, "Svc.Multiply", "no addresses")
		if !rig.Unsent(err) || h.tries.Load() != 2 {
			t.Errorf("after %d tries: %v", h.tries.Load(), err)
		}
	})
}
