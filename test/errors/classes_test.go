package errors_test

import (
	"context"
	"errors"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	coretest "github.com/libp2p/go-libp2p/core/test"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// classOf is what the types of an error's causes say.
func classOf(err error) string {
	var dial *rpc.DialError
	var transport *rpc.TransportError
	var limit *rpc.LimitError
	var found []string
	if errors.As(err, &dial) {
		found = append(found, "dial "+dial.Peer.String())
	}
	if errors.As(err, &transport) {
		found = append(found, "transport "+transport.Peer.String())
	}
	if errors.As(err, &limit) {
		found = append(found, "limit "+limit.Limit)
	}
	return strings.Join(found, ", ")
}

// classes fails in the way that its argument says.
type classes struct {
	started chan struct{}
}

func (c classes) Unary(ctx context.Context, how string, reply *[]byte) error {
	switch how {
	case "error":
		return errPlain
	case "panic":
		panic("on purpose")
	case "large":
		*reply = make([]byte, 2<<10)
	case "hold":
		c.started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (c classes) Streaming(ctx context.Context, in <-chan string, out chan<- []byte) error {
	defer close(out)
	var reply []byte
	err := c.Unary(ctx, <-in, &reply)
	if reply != nil {
		out <- reply
	}
	return err
}

func (classes) TakesBool(context.Context, bool, *[]byte) error { return nil }

func (classes) TakeBools(context.Context, <-chan bool, chan<- []byte) error { return nil }

// caller makes calls of one kind.
type caller struct {
	rig.Setup
	t         *testing.T
	streaming bool
	svc       classes
}

func (c caller) call(ctx context.Context, svc, unary, streaming, how string) error {
	if !c.streaming {
		return c.Client.CallContext(ctx, c.Dest, svc, unary, how, new([]byte))
	}
	args, replies := make(chan string, 1), make(chan []byte)
	args <- how
	got := rig.Collect(replies)
	err := c.Client.Stream(ctx, c.Dest, svc, streaming, args, replies)
	got()
	return err
}

func (c caller) fail(how string) error {
	return c.call(rig.Context(c.t), "Svc", "Unary", "Streaming", how)
}

// meanwhile does something while a method runs.
func (c caller) meanwhile(ctx context.Context, do func()) error {
	result := rig.InBackground(func() error { return c.call(ctx, "Svc", "Unary", "Streaming", "hold") })
	rig.Take(c.t, "the method runs", c.svc.started)
	do()
	return rig.Take(c.t, "the call ends", result)
}

var called = regexp.MustCompile(`\b(Svc|None|Denied)\.(Unary|Streaming|None|TakesBool|TakeBools)\b`)

// Every class of failure is told by code, kind and type, whether the request
// was sent, and by a text that names what was called, and where.
func TestClassesOfErrors(t *testing.T) {
	t.Parallel()
	type want struct {
		name   string
		err    func(c caller) error
		kind   rpc.ErrorType
		code   codes.Code
		class  string // DEST is the peer
		unsent bool
		remote bool // it cannot happen locally
	}
	cases := []want{
		{"method", func(c caller) error { return c.fail("error") }, rpc.NonRPCErr, codes.Unknown, "", false, false},
		{"dial", func(c caller) error {
			c.Dest = coretest.RandPeerIDFatal(c.t)
			err := c.fail("ok")
			if class := classOf(err); class != "dial "+c.Dest.String() {
				c.t.Errorf("the type is %q: %v", class, err)
			}
			rig.CheckErr(c.t, err, rpc.ClientErr, codes.Unavailable, "Svc.", c.Dest.String())
			if !rig.Unsent(err) {
				c.t.Errorf("it may have been sent: %v", err)
			}
			return nil
		}, 0, 0, "", false, true},
		{"dial: no such protocol", func(c caller) error {
			c.Client = rpc.NewClient(c.Host, "/rpc/none")
			defer c.Client.Close()
			return c.fail("ok")
		}, rpc.ClientErr, codes.Unimplemented, "dial DEST", true, true},
		{"transport", func(c caller) error {
			return c.meanwhile(rig.Context(c.t), func() { _ = c.Host.Network().ClosePeer(c.Dest) })
		}, rpc.ClientErr, codes.Unavailable, "transport DEST", false, true},
		{"limit of the argument", func(c caller) error { return c.fail(strings.Repeat("x", 1<<10+1)) },
			rpc.ClientErr, codes.ResourceExhausted, "limit Limits.MessageSize", false, true},
		{"limit of the metadata", func(c caller) error {
			ctx := rpc.ContextWithMetadata(rig.Context(c.t), rpc.Metadata{"k": strings.Repeat("v", 9<<10)})
			return c.call(ctx, "Svc", "Unary", "Streaming", "ok")
		}, rpc.ClientErr, codes.ResourceExhausted, "limit Limits.MetadataSize", false, true},
		{"limit of the reply", func(c caller) error { return c.fail("large") },
			rpc.ServerErr, codes.ResourceExhausted, "limit Limits.MessageSize", false, true},
		{"authorization", func(c caller) error { return c.call(rig.Context(c.t), "Denied", "Unary", "Streaming", "ok") },
			rpc.AuthorizationErr, codes.PermissionDenied, "", false, true},
		{"no such service", func(c caller) error { return c.call(rig.Context(c.t), "None", "Unary", "Streaming", "ok") },
			rpc.ServerErr, codes.Unimplemented, "", false, false},
		{"no such method", func(c caller) error { return c.call(rig.Context(c.t), "Svc", "None", "None", "ok") },
			rpc.ServerErr, codes.Unimplemented, "", false, false},
		{"a method of the other kind", func(c caller) error { return c.call(rig.Context(c.t), "Svc", "Streaming", "Unary", "ok") },
			rpc.ServerErr, codes.Unimplemented, "", false, false},
		{"an argument of another type", func(c caller) error { return c.call(rig.Context(c.t), "Svc", "TakesBool", "TakeBools", "ok") },
			rpc.ServerErr, codes.InvalidArgument, "", false, false},
		{"panic", func(c caller) error { return c.fail("panic") }, rpc.ServerErr, codes.Internal, "", false, false},
		{"the caller's context", func(c caller) error {
			ctx, cancel := context.WithCancel(rig.Context(c.t))
			return c.meanwhile(ctx, cancel)
		}, rpc.NonRPCErr, codes.Canceled, "", false, false},
	}
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		for _, streaming := range []bool{false, true} {
			svc := classes{make(chan struct{}, 10)}
			s := with(svc, rig.Options{
				Server: []rpc.ServerOption{
					rpc.WithServerLimits(rpc.Limits{MessageSize: 1 << 10}),
					rpc.WithAuthorizeFunc(func(_ peer.ID, svc, _ string) bool { return svc != "Denied" }),
				},
				Client: []rpc.ClientOption{rpc.WithClientLimits(rpc.Limits{MessageSize: 1 << 10})},
			})
			for _, w := range cases {
				if w.remote && s.Dest == s.Sender {
					continue
				}
				t.Run(map[bool]string{false: "unary/", true: "streaming/"}[streaming]+w.name, func(t *testing.T) {
					err := w.err(caller{s, t, streaming, svc})
					if err == nil {
						return // checked by the case itself
					}
					if e := (*rpc.Error)(nil); errors.As(err, &e) && e.Type() != w.kind || rpc.CodeOf(err) != w.code {
						t.Errorf("kind %v, code %v: %v", rig.ErrKind(err), rpc.CodeOf(err), err)
					}
					if class := classOf(err); class != strings.ReplaceAll(w.class, "DEST", s.Dest.String()) {
						t.Errorf("the type is %q: %v", class, err)
					}
					if rig.Unsent(err) != w.unsent {
						t.Errorf("unsent is %v: %v", rig.Unsent(err), err)
					}
					if w.code == codes.Canceled {
						rig.CheckEnded(t, err, context.Canceled, "peer "+s.Dest.String(), "Svc.")
						return
					}
					if w.kind == rpc.NonRPCErr {
						if err.Error() != errPlain.Error() {
							t.Errorf("the method's text is %q", err)
						}
						return
					}
					rig.CheckNames(t, err, "peer "+s.Dest.String())
					if !called.MatchString(err.Error()) {
						t.Errorf("does not name the method: %v", err)
					}
				})
			}
		}
	})
}

// It is the same whoever notices that the caller's context has ended: the call,
// an end of a typed stream, or one of many calls.
func TestTypedErrorsOfTheCallersContextNameThePeer(t *testing.T) {
	t.Parallel()
	var (
		list = rpc.NewServerStream[int, int]("Svc", "List")
		put  = rpc.NewClientStream[[]byte, int]("Svc", "Put")
		talk = rpc.NewDuplex[[]byte, int]("Svc", "Talk")
	)
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	fill := func(send func(context.Context, []byte) error) (err error) {
		for err == nil { // until there is no room
			err = send(ended, make([]byte, 64<<10))
		}
		return err
	}
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		started := make(chan struct{}, 1)
		hold := func(ctx context.Context) error {
			started <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		}
		err := errors.Join(
			list.Handle(s.Server, func(ctx context.Context, _ int, _ *rpc.Sender[int]) error { return hold(ctx) }),
			put.Handle(s.Server, func(ctx context.Context, _ *rpc.Receiver[[]byte]) (int, error) { return 0, hold(ctx) }),
			talk.Handle(s.Server, func(ctx context.Context, _ *rpc.Receiver[[]byte], _ *rpc.Sender[int]) error { return hold(ctx) }),
		)
		if err != nil {
			t.Fatal(err)
		}
		dests := []peer.ID{s.Dest}
		for name, call := range map[string]func(ctx context.Context) error{
			"List.Call": func(ctx context.Context) (last error) {
				for _, err := range list.Call(ctx, s.Client, s.Dest, 1) {
					last = err
				}
				return last
			},
			"List.CallAll": func(ctx context.Context) error {
				_, errs := rig.ByPeer(t, list.CallAll(ctx, s.Client, dests, 1))
				return errs[s.Dest]
			},
			"Talk.Receive": func(ctx context.Context) error {
				call := talk.Open(rig.Context(t), s.Client, s.Dest)
				defer call.Close()
				_, err := call.Receive(ctx)
				return err
			},
			"Talk.Send": func(ctx context.Context) error {
				call := talk.Open(rig.Context(t), s.Client, s.Dest)
				defer call.Close()
				<-ctx.Done()
				return fill(call.Send)
			},
			"Talk.OpenAll": func(ctx context.Context) error {
				call := talk.OpenAll(ctx, s.Client, dests)
				defer call.Close()
				_, errs := rig.ByPeer(t, call.All(rig.Context(t)))
				return errs[s.Dest]
			},
			"Talk.OpenAll.Send": func(ctx context.Context) error {
				call := talk.OpenAll(rig.Context(t), s.Client, dests)
				defer call.Close()
				<-ctx.Done()
				_ = fill(call.Send)
				for { // it may have been the turn to send that was waited for
					if err := fill(call.Send); err == io.EOF {
						break
					}
				}
				_, errs := rig.ByPeer(t, call.All(rig.Context(t)))
				return errs[s.Dest]
			},
			"Put.Send": func(ctx context.Context) error {
				call := put.Open(rig.Context(t), s.Client, s.Dest)
				defer call.Close()
				<-ctx.Done()
				return fill(call.Send)
			},
			"Put.Finish": func(ctx context.Context) error {
				_, err := put.Open(rig.Context(t), s.Client, s.Dest).Finish(ctx)
				return err
			},
			"Put.OpenAll.Finish": func(ctx context.Context) error {
				got, err := put.OpenAll(rig.Context(t), s.Client, dests).Finish(ctx)
				if !errors.Is(err, context.Canceled) {
					t.Errorf("Finish: %v", err)
				}
				return got.Errors[s.Dest]
			},
		} {
			ctx, cancel := context.WithCancel(rig.Context(t))
			result := rig.InBackground(func() error { return call(ctx) })
			rig.Take(t, name+": the method runs", started)
			cancel()
			err := rig.Take(t, name+": the call ends", result)
			method, _, _ := strings.Cut(name, ".")
			want := "rpc: Svc." + method + ": peer " + s.Dest.String() + ": context canceled"
			if err == nil || err.Error() != want || !errors.Is(err, context.Canceled) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
