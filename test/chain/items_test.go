package chain_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// itemLog is an interceptor that notes the items of streams, by direction.
type itemLog struct {
	fail func(item any, sent bool) error // if it is not nil

	mu    sync.Mutex
	items map[bool][]string // those sent, and those received
}

func (l *itemLog) intercept(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		call.OnItem(func(item any, sent bool) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			if l.items == nil {
				l.items = make(map[bool][]string)
			}
			l.items[sent] = append(l.items[sent], fmt.Sprintf("%T %v", item, item))
			if l.fail != nil {
				return l.fail(item, sent)
			}
			return nil
		})
		return next(ctx, call)
	}
}

func (l *itemLog) seen(sent bool) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.items[sent])
}

// itemLogs has one for each place where an interceptor may stand.
type itemLogs struct{ call, attempt, server itemLog }

func (l *itemLogs) options() rig.Options {
	return rig.Options{
		Client: []rpc.ClientOption{rpc.WithCallInterceptors(l.call.intercept), rpc.WithClientInterceptors(l.attempt.intercept)},
		Server: []rpc.ServerOption{rpc.WithServerInterceptors(l.server.intercept)},
	}
}

// divideWays are ways to call Divides.
var divideWays = map[string]func(t *testing.T, s rig.Setup, args ...rig.Args) ([]rig.Quotient, error){
	"by name": func(t *testing.T, s rig.Setup, args ...rig.Args) ([]rig.Quotient, error) {
		in := make(chan rig.Args)
		rig.SendAll(rig.Context(t), in, args...)
		return rig.Stream(rig.Context(t), t, s, "Divides", in, rig.Quotient{})
	},
	"typed": func(t *testing.T, s rig.Setup, args ...rig.Args) ([]rig.Quotient, error) {
		ctx := rig.Context(t)
		call := rig.Divides.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		for _, a := range args {
			if call.Send(ctx, a) != nil {
				break
			}
		}
		_ = call.CloseSend()
		return rig.Received(ctx, t, call)
	},
}

// divides is Divides as a typed method.
func divides(ctx context.Context, in *rpc.Receiver[rig.Args], out *rpc.Sender[rig.Quotient]) error {
	for a, err := range in.All(ctx) {
		var q rig.Quotient
		if err == nil {
			q, err = rig.HandleDivide(ctx, a)
		}
		if err == nil {
			err = out.Send(ctx, q)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// overDivides runs f over all carriers, with a method of channels and with a typed
// one, each called by name and typed.
func overDivides(t *testing.T, f func(t *testing.T, l *itemLogs, call func(args ...rig.Args) ([]rig.Quotient, error))) {
	t.Helper()
	for _, tr := range rig.Transports {
		for name, way := range divideWays {
			for _, typed := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, %s, typed method: %v", tr.Name, name, typed), func(t *testing.T) {
					t.Parallel()
					l := new(itemLogs)
					s := tr.Setup(t, l.options())
					err := s.Server.RegisterName("Svc", rig.Arith{})
					if typed {
						s = tr.Setup(t, l.options())
						err = rig.Divides.Handle(s.Server, divides)
					}
					if err != nil {
						t.Fatal(err)
					}
					f(t, l, func(args ...rig.Args) ([]rig.Quotient, error) { return way(t, s, args...) })
				})
			}
		}
	}
}

func TestInterceptorsSeeTheItemsOfStreams(t *testing.T) {
	t.Parallel()
	overDivides(t, func(t *testing.T, l *itemLogs, call func(...rig.Args) ([]rig.Quotient, error)) {
		replies, err := call(rig.Args{A: 7, B: 2}, rig.Args{A: 9, B: 3})
		if err != nil || len(replies) != 2 {
			t.Fatalf("got %v, %v", replies, err)
		}
		args, quotients := []string{"rig.Args {7 2}", "rig.Args {9 3}"}, []string{"rig.Quotient {3 1}", "rig.Quotient {3 0}"}
		for name, log := range map[string]*itemLog{"the call's": &l.call, "the attempt's": &l.attempt} {
			if sent, got := log.seen(true), log.seen(false); !slices.Equal(sent, args) || !slices.Equal(got, quotients) {
				t.Errorf("%s interceptor has seen %v sent and %v received", name, sent, got)
			}
		}
		if sent, got := l.server.seen(true), l.server.seen(false); !slices.Equal(sent, quotients) || !slices.Equal(got, args) {
			t.Errorf("the server's interceptor has seen %v sent and %v received", sent, got)
		}
	})
}

// TestInterceptorsEndAStreamAtAnItem: the error is the caller's, wherever the
// interceptor stands and whichever way the item goes; nobody gets the item.
func TestInterceptorsEndAStreamAtAnItem(t *testing.T) {
	t.Parallel()
	own := &rpc.Error{Code: codes.DataLoss, Message: "no nines", Details: map[string]string{"item": "9"}}
	overDivides(t, func(t *testing.T, l *itemLogs, call func(...rig.Args) ([]rig.Quotient, error)) {
		// The items come one by one: the second is refused in one place after the other.
		for name, at := range map[string]struct {
			log  *itemLog
			sent bool
		}{
			"the call's, sent": {&l.call, true}, "the attempt's, sent": {&l.attempt, true}, "the server's, received": {&l.server, false},
			"the server's, sent": {&l.server, true}, "the attempt's, received": {&l.attempt, false},
		} {
			at.log.mu.Lock()
			at.log.fail = func(item any, sent bool) error {
				if (item == rig.Args{A: 9, B: 3} || item == rig.Quotient{Quo: 3}) && sent == at.sent {
					return own
				}
				return nil
			}
			at.log.mu.Unlock()
			replies, err := call(rig.Args{A: 7, B: 2}, rig.Args{A: 9, B: 3}, rig.Args{A: 11, B: 2})
			at.log.mu.Lock()
			at.log.fail = nil
			at.log.mu.Unlock()
			var e *rpc.Error
			if !errors.As(err, &e) || e.Code != codes.DataLoss || err.Error() != "no nines" || e.Details["item"] != "9" || rpc.IsRPCError(err) {
				t.Errorf("%s: got %v", name, err)
			}
			if len(replies) > 1 || len(replies) == 1 && replies[0] != (rig.Quotient{Quo: 3, Rem: 1}) {
				t.Errorf("%s: got %v", name, replies)
			}
		}
	})
}

func TestPanicAtAnItemIsInternal(t *testing.T) {
	t.Parallel()
	overDivides(t, func(t *testing.T, l *itemLogs, call func(...rig.Args) ([]rig.Quotient, error)) {
		for name, log := range map[string]*itemLog{"client": &l.attempt, "server": &l.server} {
			log.mu.Lock()
			log.fail = func(any, bool) error { panic("in a test") }
			log.mu.Unlock()
			_, err := call(rig.Args{A: 7, B: 2})
			log.mu.Lock()
			log.fail = nil
			log.mu.Unlock()
			if rpc.CodeOf(err) != codes.Internal || rpc.IsClientError(err) != (name == "client") || rpc.IsServerError(err) != (name == "server") {
				t.Errorf("%s: got %v", name, err)
			}
		}
	})
}

// A stream may be opened twice: each attempt's interceptors see the items once.
func TestItemsOfARetriedStreamAreSeenOnce(t *testing.T) {
	t.Parallel()
	for name, way := range divideWays {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := new(itemLogs)
			o := l.options()
			var attempts int
			o.Client = append(o.Client, rpc.WithCallOptions(rig.Quickly(3)), rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
				return func(ctx context.Context, call *rpc.CallInfo) error {
					if attempts++; attempts < 3 {
						_, err := rpc.NewMethod[int, int]("Svc", "None").Call(ctx, rig.Client(t, rig.NewHost(t)), "nobody", 1)
						return err // Unsent
					}
					return next(ctx, call)
				}
			}))
			s := rig.Wire.With(t, rig.Arith{}, o)
			if replies, err := way(t, s, rig.Args{A: 7, B: 2}); err != nil || len(replies) != 1 || attempts != 3 {
				t.Fatalf("got %v, %v after %d attempts", replies, err, attempts)
			}
			for name, log := range map[string]*itemLog{"the call's": &l.call, "the attempt's": &l.attempt} {
				if sent, got := log.seen(true), log.seen(false); len(sent) != 1 || len(got) != 1 {
					t.Errorf("%s interceptor has seen %v sent and %v received", name, sent, got)
				}
			}
		})
	}
}
