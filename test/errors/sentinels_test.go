package errors_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var (
	errNoPin  = errors.New("no such pin")
	errLocked = &rpc.Error{Code: codes.FailedPrecondition, Message: "locked", Details: map[string]string{"by": "me"}}
	errSecret = errors.New("not declared")

	pinErrors = map[string]error{"no-pin": errNoPin, "locked": errLocked}
)

// sentinelErrs are what methods return, by what they are asked for.
var sentinelErrs = map[string]error{
	"itself":        errNoPin,
	"wrapped":       fmt.Errorf("unpin x: %w", errNoPin),
	"an Error":      errLocked,
	"both":          errors.Join(errNoPin, errLocked),
	"another":       errPlain,
	"not declared":  errSecret,
	"none":          nil,
	"claimed":       &rpc.Error{Message: "a claim", Details: map[string]string{"rpc.errors": "no-pin,locked", "own": "detail"}},
	"end of a file": io.ErrUnexpectedEOF,
}

func returnsSentinel(_ context.Context, what string) (int, error) { return 7, sentinelErrs[what] }

// sentinelCalls makes a call of each kind; all fail in the same way.
func sentinelCalls(t *testing.T, s rig.Setup, declared ...rpc.CallOption) map[string]func(what string) error {
	t.Helper()
	ctx := rig.Context(t)
	unary := rpc.NewMethod[string, int]("Typed", "Unary", declared...)
	server := rpc.NewServerStream[string, int]("Typed", "Server", declared...)
	client := rpc.NewClientStream[string, int]("Typed", "Client", declared...)
	duplex := rpc.NewDuplex[string, int]("Typed", "Duplex", declared...)
	if err := errors.Join(
		unary.Handle(s.Server, returnsSentinel),
		server.Handle(s.Server, func(ctx context.Context, what string, _ *rpc.Sender[int]) error { return sentinelErrs[what] }),
		client.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[string]) (int, error) {
			what, err := in.Receive(ctx)
			if err != nil {
				return 0, err
			}
			return returnsSentinel(ctx, what)
		}),
		duplex.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[string], _ *rpc.Sender[int]) error {
			what, err := in.Receive(ctx)
			if err != nil {
				return err
			}
			return sentinelErrs[what]
		}),
	); err != nil {
		t.Fatal(err)
	}
	return map[string]func(string) error{
		"Method": func(what string) error {
			_, err := unary.Call(ctx, s.Client, s.Dest, what)
			return err
		},
		"ServerStream": func(what string) (err error) {
			for _, err = range server.Call(ctx, s.Client, s.Dest, what) {
			}
			return err
		},
		"ClientStream": func(what string) error {
			call := client.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			_ = call.Send(ctx, what)
			_, err := call.Finish(ctx)
			return err
		},
		"Duplex": func(what string) error {
			call := duplex.Open(ctx, s.Client, s.Dest)
			defer call.Close()
			_ = call.Send(ctx, what)
			for _, err := range call.All(ctx) {
				return err
			}
			return nil
		},
		"by name":            func(what string) error { return s.Client.CallContext(ctx, s.Dest, "Svc", "Unary", what, new(int)) },
		"by name, streaming": func(what string) error { return rig.StreamOnce[int](t, s, "Streaming", what) },
	}
}

// receiverErrs returns the errors by a receiver's methods.
var receiverErrs = func() rig.Failing {
	f := rig.Failing{Errs: make(map[string]func(context.Context) error)}
	for what, err := range sentinelErrs {
		f.Errs[what] = rig.AlwaysErr(err)
	}
	return f
}()

func TestDeclaredErrorsAreFoundByTheCaller(t *testing.T) {
	t.Parallel()
	o := rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerErrors(map[string]error{"no-pin": errNoPin}), rpc.WithServerErrors(map[string]error{"locked": errLocked})},
		Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallErrors(pinErrors))},
	}
	rig.OverAll(t, receiverErrs, o, func(t *testing.T, s rig.Setup) {
		local := s.Dest == s.Sender
		// The typed ones are declared by their values, the others by the options
		// of server and client.
		for kind, call := range sentinelCalls(t, s, rpc.CallErrors(pinErrors)) {
			for what, sent := range sentinelErrs {
				err := call(what)
				if sent == nil {
					if err != nil && kind != "ServerStream" && kind != "Duplex" {
						t.Errorf("%s: got %v", kind, err)
					}
					continue
				}
				if err == nil || err.Error() != sent.Error() || rpc.CodeOf(err) != rpc.CodeOf(sent) || rpc.IsRPCError(err) {
					t.Errorf("%s, %s: %v arrives as %v, %v", kind, what, sent, err, rpc.CodeOf(err))
				}
				for _, target := range []error{errNoPin, errLocked} {
					if errors.Is(err, target) != errors.Is(sent, target) {
						t.Errorf("%s, %s: errors.Is(%v, %v) is %v", kind, what, err, target, errors.Is(err, target))
					}
				}
				if !local && (errors.Is(err, errSecret) || errors.Is(err, errPlain) || errors.Is(err, io.ErrUnexpectedEOF)) {
					t.Errorf("%s, %s: %v is what nobody declared", kind, what, err)
				}
				var got, want *rpc.Error
				if errors.As(sent, &want) && !local && (!errors.As(err, &got) || !maps.Equal(got.Details, ownDetails(want))) {
					t.Errorf("%s, %s: the details are %v", kind, what, got.Details)
				}
			}
		}
	})
}

// ownDetails are those that are not the library's.
func ownDetails(e *rpc.Error) map[string]string {
	own := maps.Clone(e.Details)
	maps.DeleteFunc(own, func(key, _ string) bool { return strings.HasPrefix(key, "rpc.") })
	return own
}

func TestErrorsThatOneSideDeclaresAreNotFound(t *testing.T) {
	t.Parallel()
	atServer := rig.Options{Server: []rpc.ServerOption{rpc.WithServerErrors(pinErrors)}}
	atClient := rig.Options{Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallErrors(pinErrors))}}
	for side, o := range map[string]rig.Options{"server": atServer, "client": atClient} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			rig.OverAll(t, receiverErrs, o, func(t *testing.T, s rig.Setup) {
				for kind, call := range sentinelCalls(t, s) {
					err := call("wrapped")
					if err == nil || err.Error() != sentinelErrs["wrapped"].Error() {
						t.Errorf("%s: got %v", kind, err)
					}
					if local := s.Dest == s.Sender; errors.Is(err, errNoPin) != local {
						t.Errorf("%s: errors.Is is %v", kind, !local)
					}
				}
			})
		})
	}
}

// The names mean what each side says: they may be other errors, or the
// same under another name.
func TestNamesOfErrorsAreWhatTravels(t *testing.T) {
	t.Parallel()
	errTheirs, errSame := errors.New("the client's own"), errors.New("the same")
	o := rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerErrors(map[string]error{"no-pin": errNoPin, "gone": errNoPin, "unused": errLocked})},
		Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallErrors(map[string]error{"no-pin": errTheirs, "gone": errSame, "unused": errLocked}))},
	}
	rig.OverAll(t, receiverErrs, o, func(t *testing.T, s rig.Setup) {
		if s.Dest == s.Sender {
			return // the error itself
		}
		calls := sentinelCalls(t, s)
		for _, kind := range []string{"by name", "by name, streaming"} {
			err := calls[kind]("itself")
			if !errors.Is(err, errTheirs) || !errors.Is(err, errSame) || errors.Is(err, errNoPin) || errors.Is(err, errLocked) {
				t.Errorf("%s: got %v", kind, err)
			}
		}
	})
}

// middle passes on the error of a call to another server.
type middle struct{ call func(what string) error }

func (m middle) Unary(_ context.Context, what string, _ *int) error { return m.call(what) }

func (m middle) Streaming(_ context.Context, in <-chan string, _ chan<- int) error {
	return m.call(<-in)
}

// A server that has not declared an error does not pass its name on.
func TestNamesOfErrorsAreNotPassedOn(t *testing.T) {
	t.Parallel()
	near := rig.Wire.Setup(t, rig.Options{
		Server: []rpc.ServerOption{rpc.WithServerErrors(pinErrors)},
		Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallErrors(pinErrors))},
	})
	if err := near.Server.RegisterName("Svc", receiverErrs); err != nil {
		t.Fatal(err)
	}
	undeclared := rig.Wire.Client(t, near.Host)
	for name, c := range map[string]struct {
		client *rpc.Client
		server []rpc.ServerOption
		found  bool
	}{
		"recognized and declared": {near.Client, []rpc.ServerOption{rpc.WithServerErrors(pinErrors)}, true},
		"recognized only":         {near.Client, nil, false},
		"declared only":           {undeclared, []rpc.ServerOption{rpc.WithServerErrors(pinErrors)}, false},
		"neither":                 {undeclared, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := middle{func(what string) error {
				return c.client.Call(near.Dest, "Svc", "Unary", what, new(int))
			}}
			o := rig.Options{Server: c.server, Client: []rpc.ClientOption{rpc.WithCallOptions(rpc.CallErrors(pinErrors))}}
			rig.OverAll(t, m, o, func(t *testing.T, s rig.Setup) {
				rig.FailBoth(t, s, "itself", func(t *testing.T, err error) {
					found := c.found || s.Dest == s.Sender && c.client == near.Client
					if err == nil || err.Error() != errNoPin.Error() || errors.Is(err, errNoPin) != found {
						t.Errorf("got %v, found: %v", err, errors.Is(err, errNoPin))
					}
				})
			})
		})
	}
}

// A v0.6 peer sees what it always has.
func TestV06SeesDeclaredErrorsAsBefore(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, receiverErrs, rpc.WithServerErrors(pinErrors))
	for _, method := range []string{"Unary", "Streaming"} {
		if r := rig.CallAsV06(t, a, b.ID(), method, method == "Streaming", "wrapped"); r.Error != "unpin x: no such pin" || r.ErrType != rpc.NonRPCErr {
			t.Errorf("v0.6 sees %+v", r)
		}
	}
}

func TestDeclarationsThatAreWrongPanic(t *testing.T) {
	t.Parallel()
	for name, named := range map[string]map[string]error{
		"no name": {"": errNoPin}, "a comma": {"a,b": errNoPin}, "too long": {strings.Repeat("x", 65): errNoPin}, "nil": {"x": nil},
	} {
		func() {
			defer func() {
				if r, _ := recover().(string); !strings.HasPrefix(r, "rpc: ") {
					t.Errorf("%s: got %v", name, r)
				}
			}()
			rpc.CallErrors(named)
		}()
	}
	rpc.CallErrors(map[string]error{strings.Repeat("x", 64): errNoPin})
}
