package servers_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/stats"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// refusedCall is what WithRefusedFunc's function was told.
type refusedCall struct {
	call rpc.CallInfo
	err  error
}

func TestRefusedCallsAreTold(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		told := make(chan refusedCall, 1)
		s := with(rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
			rpc.WithRefusedFunc(func(_ context.Context, call *rpc.CallInfo, err error) { told <- refusedCall{*call, err} }),
			rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
				return func(ctx context.Context, call *rpc.CallInfo) error {
					if call.Method != "Divide" {
						t.Errorf("an interceptor saw %v", call.ID())
					}
					return next(ctx, call)
				}
			}),
		}})
		stream := func(method string) error {
			args, replies := make(chan rig.Args), make(chan int)
			close(args)
			return s.Client.Stream(rig.Context(t), s.Dest, "Svc", method, args, replies)
		}
		var n int
		for _, c := range []struct {
			what, method, err string
			call              func(method string) error
			args              func(any) bool
			kind              rpc.Kind
		}{
			{"no such method", "Nothing", "can't find method Nothing", func(m string) error {
				return s.Client.Call(s.Dest, "Svc", m, rig.Args{A: 6, B: 7}, &n)
			}, func(args any) bool {
				if args == (rig.Args{A: 6, B: 7}) {
					return s.Dest == s.Sender // the argument itself
				}
				m, ok := args.(map[string]any)
				return ok && len(m) == 2 && fmt.Sprint(m["A"], m["B"]) == "6 7"
			}, rpc.Unary},
			{"an argument that cannot be decoded", "Nothing", "can't find method Nothing", func(m string) error {
				return s.Client.Call(s.Dest, "Svc", m, nil, &n)
			}, func(args any) bool { return args == nil }, rpc.Unary},
			{"no such streaming method", "Nothings", "can't find method Nothings", stream, func(args any) bool { return args == nil }, rpc.Streaming},
			{"the other kind", "Multiply", "the method is unary", stream, func(args any) bool { return args == nil }, rpc.Streaming},
			{"another argument", "Multiply", "the method takes *rig.Args", func(m string) error {
				return s.Client.Call(s.Dest, "Svc", m, "word", &n)
			}, func(args any) bool { return args == nil || args == "word" && s.Dest == s.Sender }, rpc.Unary},
		} {
			err := c.call(c.method)
			r := rig.Take(t, c.what, told)
			if r.call.Service != "Svc" || r.call.Method != c.method || r.call.Peer != s.Sender || r.call.Kind != c.kind ||
				!strings.Contains(r.err.Error(), c.err) {
				t.Errorf("%s: told %v from %v, %v: %v", c.what, r.call.ID(), r.call.Peer, r.call.Kind, r.err)
			}
			if !c.args(r.call.Args) {
				t.Errorf("%s: the argument is a %T: %v", c.what, r.call.Args, r.call.Args)
			}
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v", c.what, err)
			}
		}
		var q rig.Quotient
		if err := s.Client.Call(s.Dest, "Svc", "Divide", rig.Args{A: 7, B: 0}, &q); err == nil || err.Error() != rig.ErrDivide.Error() {
			t.Errorf("a method's own error: %v", err)
		}
		if len(told) != 0 {
			t.Errorf("told of a call that was served: %v", <-told)
		}
	})
}

func TestPanicOfTheRefusedFuncIsAnError(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
		rpc.WithRefusedFunc(func(context.Context, *rpc.CallInfo, error) { panic("in the function") }),
	}}, func(t *testing.T, s rig.Setup) {
		var n int
		rig.CheckErr(t, s.Client.Call(s.Dest, "Svc", "Nothing", rig.Args{}, &n), rpc.ServerErr, codes.Internal, "panicked")
		if err := s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
			t.Errorf("the next call: %d, %v", n, err)
		}
	})
}

// A call that its caller has given up is no call that the server cannot serve:
// nothing was wrong with it.
func TestCallsThatWereGivenUpAreNotToldAsRefused(t *testing.T) {
	t.Parallel()
	head := rig.Cat("\x83", string(rig.Header("Svc", "Multiply"))[1:], rig.Str("Kind"), "\x01")
	frame := append([]byte{byte(len(head) + 4), 2, 1, 100}, head...) // of a request of 100 bytes
	halves := map[protocol.ID][]byte{
		rig.Protocol: rig.Cat(rig.Header("Svc", "Multiply"), "\x82\xa1A"),
		rig.Extended: rig.Cat(head, "\x82\xa1A"),
		rig.Sessions: append([]byte{1, 1}, append(frame, 0x82)...),
	}
	for p, half := range halves {
		leaves := map[string]func(st network.Stream){
			"reset":      func(st network.Stream) { _ = st.Reset() },
			"disconnect": func(st network.Stream) { _ = st.Conn().Close() },
		}
		if p == rig.Sessions {
			leaves["cancel"] = func(st network.Stream) { rig.Write(t, st, []byte{3, 5, 1, byte(codes.Canceled)}) }
		}
		for how, leave := range leaves {
			for _, served := range []bool{true, false} {
				if p == rig.Protocol && !served {
					continue // nothing is read then: the caller does not tell the kind of call
				}
				t.Run(fmt.Sprint(p, "/", how, "/", served), func(t *testing.T) {
					t.Parallel()
					a, b := rig.NewHosts(t)
					begun, ended := make(chan struct{}, 1), make(chan error, 1)
					s := rig.NewServer(t, b,
						rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool {
							begun <- struct{}{}
							return true
						}),
						rpc.WithServerStatsHandler(endsOf{ended}),
						rpc.WithRefusedFunc(func(_ context.Context, call *rpc.CallInfo, err error) {
							t.Errorf("told of %v: %v", call.ID(), err)
						}))
					if served {
						if err := s.RegisterName("Svc", rig.Arith{}); err != nil {
							t.Fatal(err)
						}
					}
					st := rig.Open(t, a, b, p)
					rig.Write(t, st, half)
					rig.Take(t, "the call begins", begun)
					leave(st)
					if err := rig.Take(t, "the call ends", ended); rpc.CodeOf(err) != codes.Canceled {
						t.Errorf("it ends with %v", err)
					}
				})
			}
		}
	}
}

// endsOf is what calls end with.
type endsOf struct{ errs chan error }

func (endsOf) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (e endsOf) HandleRPC(_ context.Context, s stats.RPCStats) {
	if end, ok := s.(*stats.End); ok {
		e.errs <- end.Error
	}
}
