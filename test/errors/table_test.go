package errors_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	coretest "github.com/libp2p/go-libp2p/core/test"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// row is one of the table of docs/errors.md.
type row struct{ what, codes, kind, finds, unsent, retried, ran string }

// tableOfErrors reads the document.
func tableOfErrors(t *testing.T) (rows []row) {
	b, err := os.ReadFile("../../docs/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(b), "| What failed |")
	lines := strings.Split(table, "\n")[2:]
	for _, line := range lines {
		cells := strings.Split(line, "|")
		if len(cells) != 9 {
			break
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, row{cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7]})
	}
	return rows
}

// provoked is the scene of one call that fails.
type provoked struct {
	t    *testing.T
	tr   rig.Transport
	code codes.Code // of the row, which is to come
	opts []rpc.CallOption

	a, b     host.Host
	server   *rpc.Server
	started  chan struct{}
	attempts atomic.Int32
	ran      atomic.Int32
}

// odd has a part that cannot travel.
type odd struct {
	N int
	F func()
}

// provokedMethods is the service.
type provokedMethods struct{ p *provoked }

func (s provokedMethods) Quick(_ context.Context, n []byte, reply *[]byte) error {
	s.p.ran.Add(1)
	*reply = n
	return nil
}

func (s provokedMethods) Fail(context.Context, []byte, *[]byte) error {
	s.p.ran.Add(1)
	if s.p.code == codes.Unknown {
		return errors.New("the method's own")
	}
	return &rpc.Error{Code: s.p.code, Message: "the method's own"}
}

func (s provokedMethods) Block(ctx context.Context, _ []byte, _ *[]byte) error {
	s.p.ran.Add(1)
	s.p.started <- struct{}{}
	<-ctx.Done()
	return ctx.Err()
}

func (s provokedMethods) Break(ctx context.Context, _ []byte, _ *[]byte) error {
	_ = s.p.b.Network().ClosePeer(s.p.a.ID())
	<-ctx.Done()
	return ctx.Err()
}

func (s provokedMethods) Panic(context.Context, []byte, *[]byte) error {
	s.p.ran.Add(1)
	panic("on purpose")
}

func (s provokedMethods) Large(_ context.Context, _ []byte, reply *[]byte) error {
	s.p.ran.Add(1)
	*reply = make([]byte, 2<<10)
	return nil
}

func (s provokedMethods) Odd(_ context.Context, _ []byte, reply *odd) error {
	s.p.ran.Add(1)
	reply.F = func() {}
	return nil
}

func (provokedMethods) Streams(context.Context, <-chan []byte, chan<- []byte) error { return nil }

// hosts makes them; connected unless a test connects them itself.
func (p *provoked) hosts(ofA, ofB []libp2p.Option) {
	p.a, p.b = rig.NewHost(p.t, ofA...), rig.NewHost(p.t, ofB...)
	rig.Connect(p.t, p.a, p.b)
}

func (p *provoked) serve(opts ...rpc.ServerOption) {
	if p.a == nil {
		p.hosts(nil, nil)
	}
	p.server = rig.Serve(p.t, p.b, provokedMethods{p}, opts...)
}

// client returns one that counts attempts.
func (p *provoked) client(opts ...rpc.ClientOption) *rpc.Client {
	count := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, info *rpc.CallInfo) error {
			p.attempts.Add(1)
			return next(ctx, info)
		}
	}
	return p.tr.Client(p.t, p.a, append(opts, rpc.WithClientInterceptors(count))...)
}

// call makes the typed call, as the row is about typed ones.
func (p *provoked) call(ctx context.Context, c *rpc.Client, method string, arg []byte) error {
	_, err := rpc.NewMethod[[]byte, []byte]("Svc", method).Call(ctx, c, p.b.ID(), arg, p.opts...)
	return err
}

// simple serves with the options, and calls a method that returns at once.
func (p *provoked) simple(method string, arg []byte, server []rpc.ServerOption, client ...rpc.ClientOption) error {
	p.serve(server...)
	return p.call(rig.Context(p.t), p.client(client...), method, arg)
}

// held makes a call while another has the place, of another client.
func (p *provoked) held(method string, opts []rpc.ServerOption, client ...rpc.ClientOption) error {
	p.serve(opts...)
	ctx, cancel := context.WithCancel(rig.Context(p.t))
	defer cancel()
	c := p.client(client...)
	other := c
	if len(client) == 0 {
		other = rig.Wire.Client(p.t, p.a)
	} else if err := p.call(ctx, c, "Quick", nil); err != nil { // the session is there
		p.t.Error(err)
	}
	p.attempts.Store(0)
	ended := rig.InBackground(func() error {
		return other.CallContext(ctx, p.b.ID(), "Svc", "Block", []byte{}, new([]byte))
	})
	rig.Take(p.t, "the place is taken", p.started)
	p.attempts.Store(0)
	p.ran.Store(0)
	err := p.call(rig.Context(p.t), c, method, nil)
	cancel()
	rig.Take(p.t, "the other call ends", ended)
	return err
}

func blockedStreams() libp2p.Option {
	none := rcmgr.PartialLimitConfig{ServicePeer: map[string]rcmgr.ResourceLimits{rpc.ServiceName: {
		StreamsInbound: rcmgr.BlockAllLimit, StreamsOutbound: rcmgr.BlockAllLimit, Streams: rcmgr.BlockAllLimit}}}
	manager, err := rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(none.Build(rcmgr.DefaultLimits.AutoScale())))
	if err != nil {
		panic(err)
	}
	return libp2p.ResourceManager(manager)
}

// provocations has, by the beginning of a row, what makes it come true.
var provocations = map[string]func(p *provoked) error{
	"the method returned an error without":     func(p *provoked) error { return p.simple("Fail", nil, nil) },
	"the method returned an error with a code": func(p *provoked) error { return p.simple("Fail", nil, nil) },
	"no connection": func(p *provoked) error {
		p.a = rig.NewHost(p.t)
		_, err := rpc.NewMethod[[]byte, []byte]("Svc", "Quick").Call(rig.Context(p.t), p.client(), coretest.RandPeerIDFatal(p.t), nil, p.opts...)
		return err
	},
	"the peer does not serve": func(p *provoked) error {
		p.hosts(nil, nil)
		return p.call(rig.Context(p.t), p.client(), "Quick", nil)
	},
	"libp2p's resource manager of this side": func(p *provoked) error {
		p.hosts([]libp2p.Option{blockedStreams()}, nil)
		return p.simple("Quick", nil, nil)
	},
	"the peer's libp2p": func(p *provoked) error {
		p.hosts([]libp2p.Option{libp2p.ResourceManager(&network.NullResourceManager{})}, []libp2p.Option{blockedStreams()})
		return p.simple("Quick", nil, nil)
	},
	"the stream or the session broke": func(p *provoked) error { return p.simple("Break", nil, nil) },
	"the [context ended]": func(p *provoked) error {
		p.serve()
		ctx, cancel := context.WithCancel(rig.Context(p.t))
		if p.code == codes.DeadlineExceeded {
			ctx, cancel = context.WithTimeout(ctx, rig.Slower(300*time.Millisecond))
		}
		defer cancel()
		ended := rig.InBackground(func() error { return p.call(ctx, p.client(), "Block", nil) })
		rig.Take(p.t, "the method runs", p.started)
		if p.code == codes.Canceled {
			cancel()
		}
		return rig.Take(p.t, "the call ends", ended)
	},
	"`RetryPolicy.AttemptTimeout`": func(p *provoked) error {
		p.opts = append(p.opts, rpc.CallRetry(rpc.RetryPolicy{Attempts: 2, Backoff: time.Millisecond, AttemptTimeout: time.Second}))
		return p.simple("Block", nil, nil)
	},
	"the client was closed": func(p *provoked) error {
		p.serve()
		c := p.client()
		_ = c.Close()
		return p.call(rig.Context(p.t), c, "Quick", nil)
	},
	"a limit of this side, for the argument": func(p *provoked) error {
		return p.simple("Quick", make([]byte, 2<<10), nil, rpc.WithClientLimits(rpc.Limits{MessageSize: 1 << 10}))
	},
	"a limit of this side, for the reply": func(p *provoked) error {
		return p.simple("Large", nil, nil, rpc.WithClientLimits(rpc.Limits{MessageSize: 1 << 10}))
	},
	"no place under": func(p *provoked) error {
		p.tr = rig.Session
		return p.held("Quick", []rpc.ServerOption{rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 1})},
			rpc.WithClientLimits(rpc.Limits{QueueTimeout: 500 * time.Millisecond}))
	},
	"the server has as many": func(p *provoked) error {
		return p.held("Quick", []rpc.ServerOption{rpc.WithServerLimits(rpc.Limits{Calls: 1})})
	},
	"a limit of the method": func(p *provoked) error {
		return p.held("Quick", []rpc.ServerOption{rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc"}, rpc.MethodConfig{Calls: 1})})
	},
	"the method took longer": func(p *provoked) error {
		return p.simple("Block", nil, []rpc.ServerOption{rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{Timeout: 50 * time.Millisecond})})
	},
	"another limit of the server, for the argument": func(p *provoked) error {
		return p.simple("Quick", make([]byte, 2<<10), []rpc.ServerOption{rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{MessageSize: 1 << 10})})
	},
	"another limit of the server, for the reply": func(p *provoked) error {
		return p.simple("Large", nil, []rpc.ServerOption{rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{MessageSize: 1 << 10})})
	},
	"the server is shutting down": func(p *provoked) error {
		p.serve()
		ctx, cancel := context.WithCancel(rig.Context(p.t))
		defer cancel()
		blocked := rig.InBackground(func() error {
			return rig.Wire.Client(p.t, p.a).CallContext(ctx, p.b.ID(), "Svc", "Block", []byte{}, new([]byte))
		})
		rig.Take(p.t, "a method runs", p.started)
		down := rig.InBackground(func() error { return p.server.Shutdown(ctx) })
		probe := rig.Wire.Client(p.t, p.a)
		rig.Eventually(p.t, "calls are refused", func() bool {
			return rpc.CodeOf(probe.CallContext(ctx, p.b.ID(), "Svc", "None", []byte{}, new([]byte))) == codes.Unavailable
		})
		p.ran.Store(0)
		err := p.call(rig.Context(p.t), p.client(), "Quick", nil)
		cancel()
		rig.Take(p.t, "the call ends", blocked)
		rig.Take(p.t, "Shutdown returns", down)
		return err
	},
	"the caller may not call the method": func(p *provoked) error {
		return p.simple("Quick", nil, []rpc.ServerOption{rpc.WithAuthorizeFunc(rpc.AuthorizeWithMap(nil))})
	},
	"the caller may not call it any more": func(p *provoked) error {
		var denied atomic.Bool
		p.serve(rpc.WithAuthorizeFunc(func(id peer.ID, _, _ string) bool { return !denied.Load() }))
		ended := rig.InBackground(func() error { return p.call(rig.Context(p.t), p.client(), "Block", nil) })
		rig.Take(p.t, "the method runs", p.started)
		denied.Store(true)
		p.server.Drop(p.a.ID())
		return rig.Take(p.t, "the call ends", ended)
	},
	"no such service": func(p *provoked) error {
		return errors.Join(p.simple("None", nil, nil), p.call(rig.Context(p.t), rig.Client(p.t, p.a), "Streams", nil))
	},
	"the argument is of another type": func(p *provoked) error {
		p.serve()
		_, err := rpc.NewMethod[map[string]int, []byte]("Svc", "Quick").Call(rig.Context(p.t), p.client(), p.b.ID(), map[string]int{"a": 1}, p.opts...)
		return err
	},
	"a part of the argument": func(p *provoked) error {
		p.serve()
		_, err := rpc.NewMethod[odd, []byte]("Svc", "Quick").Call(rig.Context(p.t), p.client(), p.b.ID(), odd{F: func() {}}, p.opts...)
		return err
	},
	"the reply does not fit": func(p *provoked) error {
		p.serve()
		_, err := rpc.NewMethod[[]byte, map[string]int]("Svc", "Quick").Call(rig.Context(p.t), p.client(), p.b.ID(), []byte{1}, p.opts...)
		return err
	},
	"a part of the reply": func(p *provoked) error { return p.simple("Odd", nil, nil) },
	"the method panicked": func(p *provoked) error { return p.simple("Panic", nil, nil) },
	"an interceptor of the client": func(p *provoked) error {
		return p.simple("Quick", nil, nil, rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(context.Context, *rpc.CallInfo) error {
				p.attempts.Add(1)
				panic("on purpose")
			}
		}))
	},
}

// TestTheTableOfErrors provokes each row of docs/errors.md, with retries, of methods that
// are idempotent and of others.
func TestTheTableOfErrors(t *testing.T) {
	t.Parallel()
	used := make(map[string]bool)
	rows := tableOfErrors(t)
	for _, r := range rows {
		var provoke func(*provoked) error
		for begins, f := range provocations {
			if strings.HasPrefix(r.what, begins) {
				provoke, used[begins] = f, true
			}
		}
		if provoke == nil {
			t.Errorf("nothing provokes %q", r.what)
			continue
		}
		for _, code := range strings.Split(r.codes, ", ") {
			rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
				for _, idempotent := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, %s, %v", r.what, code, idempotent), func(t *testing.T) {
						p := &provoked{t: t, tr: tr, started: make(chan struct{}, 10), opts: []rpc.CallOption{rig.Quickly(2), rpc.CallIdempotent(idempotent)}}
						for c := codes.Code(0); c < 17; c++ {
							if c.String() == code {
								p.code = c
							}
						}
						p.check(r, provoke(p), idempotent)
					})
				}
			})
		}
	}
	if len(used) != len(provocations) || len(rows) < len(provocations) {
		t.Errorf("%d rows, and %d of %d provocations are of one", len(rows), len(used), len(provocations))
	}
}

func (p *provoked) check(r row, err error, idempotent bool) {
	p.t.Helper()
	var e *rpc.Error
	if !errors.As(err, &e) && r.kind != "NonRPCErr" {
		p.t.Fatalf("no *Error: %v", err)
	}
	kinds := []string{"NonRPCErr", "ServerErr", "ClientErr", "AuthorizationErr"}
	attempts := map[string]int32{"always": 2, "never": 1, "if idempotent": 1}[r.retried]
	if r.retried == "if idempotent" && idempotent {
		attempts = 2
	}
	finds := strings.Split(classOf(err), " ")[0]
	got := row{
		what: fmt.Sprint(p.attempts.Load()), codes: rpc.CodeOf(err).String(), kind: kinds[rig.ErrKind(err)],
		finds:  map[string]string{"": "", "dial": "DialError", "transport": "TransportError", "limit": "LimitError"}[finds],
		unsent: map[bool]string{true: "yes", false: "no"}[rig.Unsent(err)], retried: r.retried, ran: r.ran,
	}
	want := r
	want.what, want.codes = fmt.Sprint(attempts), p.code.String()
	if got != want {
		p.t.Errorf("attempts, code, ...: got %v, want %v: %v", got, want, err)
	}
	if ran := p.ran.Load() > 0; r.ran != "perhaps" && ran != (r.ran == "yes") || !slices.Contains([]string{"yes", "no", "perhaps"}, r.ran) {
		p.t.Errorf("the method ran: %v", ran)
	}
}
