package errors_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var errPlain = errors.New("plain")

func TestErrorsOfMethodsReachTheCallerWhole(t *testing.T) {
	t.Parallel()
	ended := func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		cancel()
		return ctx.Err()
	}
	late := func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, -1)
		defer cancel()
		return ctx.Err()
	}
	cases := []struct {
		name    string
		err     func(context.Context) error
		text    string
		code    codes.Code
		details map[string]string
		is      error // on both sides
	}{
		{"an Error", rig.AlwaysErr(rig.ErrOwn), "no such pin", codes.NotFound, rig.ErrOwn.Details, nil},
		{"an Error in another", rig.AlwaysErr(fmt.Errorf("unpin: %w", rig.ErrOwn)), "unpin: no such pin", codes.NotFound, rig.ErrOwn.Details, nil},
		{"joined errors", rig.AlwaysErr(errors.Join(errPlain, rig.ErrOwn)), "plain\nno such pin", codes.NotFound, rig.ErrOwn.Details, nil},
		{"an Error of no text", rig.AlwaysErr(&rpc.Error{Code: codes.Aborted}), "Aborted", codes.Aborted, nil, nil},
		{"an Error of no code", rig.AlwaysErr(&rpc.Error{Message: "codeless"}), "codeless", codes.Unknown, nil, nil},
		{"an Error of nothing but details", rig.AlwaysErr(&rpc.Error{Details: map[string]string{"k": "v"}}), "", codes.Unknown, map[string]string{"k": "v"}, nil},
		{"a plain error", rig.AlwaysErr(errPlain), "plain", codes.Unknown, nil, nil},
		{"an error of no text", rig.AlwaysErr(errors.New("")), "", codes.Unknown, nil, nil},
		{"the context's cancellation", ended, "context canceled", codes.Canceled, nil, context.Canceled},
		{"the context's deadline", late, "context deadline exceeded", codes.DeadlineExceeded, nil, context.DeadlineExceeded},
		{"a cancellation in another error", rig.AlwaysErr(fmt.Errorf("pin: %w", context.Canceled)), "pin: context canceled", codes.Canceled, nil, context.Canceled},
		{"an Error that stands for a cancellation", rig.AlwaysErr(&rpc.Error{Code: codes.Canceled, Message: "enough"}), "enough", codes.Canceled, nil, context.Canceled},
		{"an Error that stands for a deadline", rig.AlwaysErr(&rpc.Error{Code: codes.DeadlineExceeded, Message: "slow"}), "slow", codes.DeadlineExceeded, nil, context.DeadlineExceeded},
		{"words of a library error", rig.AlwaysErr(errors.New("rpc: can't find service X")), "rpc: can't find service X", codes.Unknown, nil, nil},
		{"words of a context error, another code", rig.AlwaysErr(&rpc.Error{Code: codes.Internal, Message: "context canceled"}), "context canceled", codes.Internal, nil, nil},
	}
	svc := rig.Failing{Errs: make(map[string]func(context.Context) error)}
	for _, c := range cases {
		svc.Errs[c.name] = c.err
	}
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				rig.FailBoth(t, s, c.name, func(t *testing.T, err error) {
					if err == nil {
						t.Fatal("the error is lost")
					}
					if c.text != "" && err.Error() != c.text {
						t.Errorf("the text is %q, not %q", err, c.text)
					}
					if code := rpc.CodeOf(err); code != c.code {
						t.Errorf("the code is %v, not %v", code, c.code)
					}
					if rpc.IsRPCError(err) || rpc.IsServerError(err) || rpc.IsClientError(err) || rpc.IsAuthorizationError(err) {
						t.Error("the method's own error is taken for one of the library's")
					}
					var e *rpc.Error
					if isError := errors.As(err, &e); isError && !maps.Equal(e.Details, c.details) || !isError && c.details != nil {
						t.Errorf("the details of %#v are not %v", err, c.details)
					}
					for _, target := range []error{context.Canceled, context.DeadlineExceeded} {
						if errors.Is(err, target) != (c.is == target) {
							t.Errorf("errors.Is(%v, %v) is wrong", err, target)
						}
					}
				})
			})
		}
	})
}

func TestLocalErrorsKeepTheirIdentity(t *testing.T) {
	t.Parallel()
	s := rig.Local.Setup(t, rig.Options{})
	wrapped := fmt.Errorf("unpin: %w", errPlain)
	if err := s.Server.RegisterName("Svc", rig.Failing{Errs: map[string]func(context.Context) error{"": rig.AlwaysErr(wrapped)}}); err != nil {
		t.Fatal(err)
	}
	rig.FailBoth(t, s, "", func(t *testing.T, err error) {
		if !errors.Is(err, errPlain) || err != wrapped {
			t.Fatalf("got another error: %v", err)
		}
	})
}

// brokenErr panics in the method of the given name.
type brokenErr struct{ in string }

func (e brokenErr) panics(in string) {
	if e.in == in {
		panic("the error of it")
	}
}

func (e brokenErr) Error() string { e.panics("Error"); return "broken" }

func (e brokenErr) Is(error) bool { e.panics("Is"); return false }

func (e brokenErr) As(target any) bool {
	e.panics("As")
	_, own := target.(**rpc.Error)
	return own && e.in == "lying"
}

func (e brokenErr) Unwrap() error { e.panics("Unwrap"); return nil }

// pointerErr is one that is returned as nil, and is none.
type pointerErr struct{ text string }

func (e *pointerErr) Error() string { return e.text }

func TestErrorsThatPanicAreInternal(t *testing.T) {
	t.Parallel()
	errs := map[string]error{
		"nil": (*pointerErr)(nil), "wrapped": fmt.Errorf("w: %w", brokenErr{"Is"}),
		"lying":       brokenErr{"lying"}, // it says that it is an Error, and gives none
		"of an Error": fmt.Errorf("w: %w", (*rpc.Error)(nil)),
	}
	for _, in := range []string{"Error", "Is", "As", "Unwrap"} {
		errs[in] = brokenErr{in}
	}
	svc := rig.Failing{Errs: map[string]func(context.Context) error{"sound": rig.AlwaysErr(brokenErr{})}}
	for name, err := range errs {
		svc.Errs[name] = rig.AlwaysErr(err)
	}
	var log rig.SyncBuffer
	o := rig.Options{Server: []rpc.ServerOption{rpc.WithServerLogger(slog.New(slog.NewTextHandler(&log, nil)))}}
	rig.OverAll(t, svc, o, func(t *testing.T, s rig.Setup) {
		for name := range errs {
			t.Run(name, func(t *testing.T) {
				rig.FailBoth(t, s, name, func(t *testing.T, err error) {
					if !rpc.IsServerError(err) || rpc.CodeOf(err) != codes.Internal {
						t.Fatalf("got %v", err)
					}
					rig.CheckNames(t, err, "Svc.", "panicked")
				})
			})
		}
		rig.FailBoth(t, s, "sound", func(t *testing.T, err error) {
			if rpc.IsRPCError(err) || rpc.CodeOf(err) != codes.Unknown || err.Error() != "broken" {
				t.Errorf("got %v", err)
			}
		})
		if text := log.String(); !strings.Contains(text, "the error of it") || !strings.Contains(text, "Svc.Streaming") {
			t.Errorf("the log has no word of it: %.300s", text)
		}
	})
}

func TestOversizedErrorsArriveCutWithTheirCode(t *testing.T) {
	t.Parallel()
	const most = 256 << 10
	fill := func(n int) map[string]string {
		m := map[string]string{"k": strings.Repeat("v", n)}
		return m
	}
	many := make(map[string]string) // small keys: more values than bytes would tell
	for i := range 40_000 {
		many[strconv.FormatInt(int64(i), 36)] = ""
	}
	// An accent lies on the cut.
	umlauts := "x" + strings.Repeat("é", most)
	cases := map[string]*rpc.Error{
		"text of the limit":        {Code: codes.Aborted, Message: strings.Repeat("x", most)},
		"text and details of most": {Code: codes.Aborted, Message: strings.Repeat("x", most), Details: fill(most - 20)},
		"text over it":             {Code: codes.Aborted, Message: umlauts, Details: map[string]string{"k": "v"}},
		"details over it":          {Code: codes.Aborted, Message: "text", Details: fill(most)},
		"many small details":       {Code: codes.Aborted, Message: "text", Details: many},
		"everything far over it":   {Code: codes.Aborted, Message: strings.Repeat("x", 8<<20), Details: fill(8 << 20)},
	}
	svc := rig.Failing{Errs: make(map[string]func(context.Context) error)}
	for name, e := range cases {
		svc.Errs[name] = rig.AlwaysErr(e)
	}
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for name, sent := range cases {
			t.Run(name, func(t *testing.T) {
				rig.FailBoth(t, s, name, func(t *testing.T, err error) {
					var e *rpc.Error
					if !errors.As(err, &e) || e.Code != sent.Code || e.Type() != rpc.NonRPCErr {
						t.Fatalf("got %.200v", err)
					}
					text, details := e.Message, e.Details
					if s.Dest == s.Sender || !strings.Contains(name, "over") {
						if text != sent.Message {
							t.Errorf("the text of %d bytes arrives as %d", len(sent.Message), len(text))
						}
						if name == "many small details" && s.Dest != s.Sender {
							return // whole, or left out
						}
						if !maps.Equal(details, sent.Details) {
							t.Errorf("%d details arrive as %d", len(sent.Details), len(details))
						}
						return
					}
					if len(text) > most+100 || len(text) > most-4 != (len(sent.Message) > most) || !utf8.ValidString(text) {
						t.Errorf("the text of %d bytes arrives as %d", len(sent.Message), len(text))
					}
					if cut := strings.TrimSuffix(text, " (truncated)"); !strings.HasPrefix(sent.Message, cut) || (cut == text) != (len(sent.Message) <= most) {
						t.Errorf("the text ends in %q", text[max(0, len(text)-40):])
					}
					if len(sent.Details["k"]) >= most {
						if len(details) != 1 || !strings.Contains(details["rpc.details"], strconv.Itoa(most)) {
							t.Errorf("%d details instead of a word on their size", len(details))
						}
					} else if !maps.Equal(details, sent.Details) {
						t.Errorf("the details are %v", details)
					}
				})
			})
		}
	})
}

// passing calls a method on another server and returns its error.
type passing struct {
	client *rpc.Client
	dest   peer.ID
}

func (p passing) Unary(ctx context.Context, method string, _ *int) error {
	return p.client.CallContext(ctx, p.dest, "Far", method, 5, new(int))
}

func (p passing) Streaming(ctx context.Context, in <-chan string, _ chan<- int) error {
	return p.Unary(ctx, <-in, nil)
}

type far struct{}

func (far) Own(context.Context, int, *int) error { return rig.ErrOwn }

func (far) TakesBool(context.Context, bool, *int) error { return nil }

func (far) Denied(context.Context, int, *int) error { return nil }

// What a method passes on is what it got, and not one of the step between.
func TestErrorsOfOtherCallsArePassedOnUnchanged(t *testing.T) {
	t.Parallel()
	near, there := rig.NewHosts(t)
	farServer := rig.NewServer(t, there, rpc.WithAuthorizeFunc(func(_ peer.ID, _, m string) bool { return m != "Denied" }))
	farClient := rig.Client(t, near)
	if err := farServer.RegisterName("Far", far{}); err != nil {
		t.Fatal(err)
	}
	svc := passing{farClient, there.ID()}
	rig.OverAll(t, svc, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, method := range []string{"Own", "TakesBool", "Denied", "Missing"} {
			t.Run(method, func(t *testing.T) {
				var first *rpc.Error
				if err := svc.Unary(rig.Context(t), method, nil); !errors.As(err, &first) {
					t.Fatalf("got %v", err)
				}
				rig.FailBoth(t, s, method, func(t *testing.T, err error) {
					var e *rpc.Error
					if !errors.As(err, &e) || e.Code != first.Code || e.Type() != first.Type() {
						t.Fatalf("%v (%v, %v) is passed on as %v", first, first.Code, first.Type(), err)
					}
					if err.Error() != first.Error() {
						t.Errorf("%q is passed on as %q", first, err)
					}
					if !maps.Equal(e.Details, first.Details) {
						t.Errorf("the details %v are passed on as %v", first.Details, e.Details)
					}
				})
			})
		}
	})
}

type typedNil struct{}

func (typedNil) TypedNil(context.Context, int, *int) error {
	var e *rpc.Error
	return e
}

func TestTypedNilErrorIsNoError(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, typedNil{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		if err := s.Client.Call(s.Dest, "Svc", "TypedNil", 1, new(int)); err != nil {
			t.Fatal(err)
		}
	})
}
