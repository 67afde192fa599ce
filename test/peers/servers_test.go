package peers_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// say is a server that says s to everything.
func say(b host.Host, n int, s string) {
	rig.Play(b, n, func(st network.Stream) { _, _ = st.Write([]byte(s)) })
}

const ok = "\x80" // a response without error

// hostile are answers that no server gives.
var hostile = map[string]string{
	"nothing":                 "",
	"no msgpack":              "\xc1\xc1\xc1\xc1",
	"nils":                    "\xc0\xc0\xc0\xc0",
	"numbers":                 "\x01\x02\x03\x04",
	"true":                    "\xc3\xc3",
	"strings":                 rig.Str("Service") + rig.Str("Error"),
	"arrays":                  "\x90\x90",
	"a list for a response":   "\x92\x01\x02\x07",
	"numbers for keys":        "\x82\x01\x01\x02\x02\x07",
	"error is a number":       "\x81" + rig.Str("Error") + "\x07\x07",
	"error is a map":          "\x81" + rig.Str("Error") + "\x80\x07",
	"type is a string":        "\x82" + rig.Str("Error") + rig.Str("x") + rig.Str("ErrType") + rig.Str("x") + "\xc0",
	"type is negative":        "\x82" + rig.Str("Error") + rig.Str("x") + rig.Str("ErrType") + "\xff\xc0",
	"type is unknown":         "\x82" + rig.Str("Error") + rig.Str("x") + rig.Str("ErrType") + "\x63\xc0",
	"code is unknown":         "\x82" + rig.Str("Error") + rig.Str("x") + rig.Str("Code") + "\xcd\x03\xe7\xc0",
	"code is OK":              "\x82" + rig.Str("Error") + rig.Str("x") + rig.Str("Code") + "\x00\xc0",
	"details are a list":      "\x82" + rig.Str("Error") + rig.Str("x") + rig.Str("Details") + "\x91\x01\xc0",
	"only a response":         ok,
	"half a reply":            ok + "\x82" + rig.Str("Quo"),
	"reply is a string":       ok + rig.Str("x"),
	"reply is a list":         ok + "\x92" + rig.Str("x") + "\x01",
	"reply is no msgpack":     ok + "\xc1",
	"reply is too long":       ok + "\xdb\x01\x00\x00\x01",
	"reply of many values":    ok + "\xdf\x00\x02\x00\x00",
	"response is too long":    "\xdb\x00\x10\x00\x01",
	"response of many keys":   "\xdf\x00\x00\x80\x00",
	"error is too long":       "\x81" + rig.Str("Error") + "\xdb\x00\x10\x00\x01",
	"deep response":           strings.Repeat("\x91", 17),
	"deep unknown field":      "\x81" + rig.Str("Zzz") + strings.Repeat("\x91", 16),
	"deep reply":              ok + strings.Repeat("\x91", 65),
	"deep field of the reply": ok + "\x81" + rig.Str("Zzz") + strings.Repeat("\x81\xa1x", 64),
	"lists of lists":          ok + strings.Repeat("\xdc\xff\xff", 5),
	"a web page":              "HTTP/1.1 400 Bad Request\r\n\r\n",
}

// Not parallel: it measures the memory of the whole process.
func TestHostileAnswersAreErrorsAndTakeLittle(t *testing.T) {
	a, b := rig.NewHosts(t)
	c := rig.Wire.Client(t, a)
	arg := &rig.Args{A: 2, B: 3}
	for name, answer := range hostile {
		rig.Allocates(t, 64<<20, func() {
			say(b, len(rig.Header("Svc", "Divide"))+7, answer)
			reply := rig.Quotient{Quo: 7, Rem: 7}
			if err := c.Call(b.ID(), "Svc", "Divide", arg, &reply); err == nil {
				t.Errorf("%s: a unary call succeeds with %v", name, reply)
			}
			var any any
			if err := c.Call(b.ID(), "Svc", "Divide", arg, &any); err == nil && !strings.Contains(name, "reply is") {
				t.Errorf("%s: a unary call succeeds with %v", name, any)
			}

			say(b, len(rig.Header("Svc", "Divide")), answer)
			args, replies := make(chan rig.Args), make(chan *rig.Quotient)
			got := rig.Collect(replies)
			err := c.Stream(context.Background(), b.ID(), "Svc", "Divide", args, replies)
			if all := got(); len(all) > 0 {
				t.Errorf("%s: a streaming call has replies: %v", name, all)
			}
			if err == nil && name != "nothing" { // which is a stream of no replies
				t.Errorf("%s: a streaming call succeeds", name)
			}
		})
	}
	rig.Released(t, a, b)
}

// On the extended protocol the end of the stream says nothing of the replies:
// it looks the same if the connection goes, or the peer dies.
func TestRepliesThatBreakOffAreNoSuccess(t *testing.T) {
	t.Parallel()
	const two = ok + "\x01" + ok + "\x02"
	for _, test := range []struct {
		name     string
		protocol protocol.ID
		answer   string
		replies  int
		good     bool
	}{
		{"none", rig.Extended, "", 0, false},
		{"none, and the mark", rig.Extended, "\xc1", 0, true},
		{"two", rig.Extended, two, 2, false},
		{"two, and the mark", rig.Extended, two + "\xc1", 2, true},
		{"two, half of one, and the mark", rig.Extended, two + ok + "\xc1", 2, false},
		{"none, v0.6", rig.Protocol, "", 0, true},
		{"two, v0.6", rig.Protocol, two, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			c := rig.Wire.Client(t, a)
			b.SetStreamHandler(test.protocol, func(st network.Stream) {
				defer st.Close()
				_, _ = st.Read(make([]byte, 1)) // negotiation is over
				_, _ = st.Write([]byte(test.answer))
			})
			args, replies := make(chan int), make(chan int, 3)
			close(args)
			err := c.Stream(rig.Context(t), b.ID(), "Svc", "Method", args, replies)
			if n := len(replies); n != test.replies {
				t.Errorf("%d replies, not %d", n, test.replies)
			}
			if test.good && err != nil {
				t.Errorf("the call fails: %v", err)
			}
			var broke *rpc.TransportError
			if whole := !strings.Contains(test.name, "half"); !test.good && (err == nil || whole && (rpc.CodeOf(err) != codes.Unavailable || !errors.As(err, &broke) || !errors.Is(err, io.ErrUnexpectedEOF))) {
				t.Errorf("the call ends with %v", err)
			}
		})
	}
}

func TestNilStreamedByAServerIsNoNilForTheCaller(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	c := rig.Wire.Client(t, a)
	say(b, 0, ok+"\xc0")
	args, replies := make(chan rig.Args), make(chan *rig.Quotient, 10)
	err := c.Stream(rig.Context(t), b.ID(), "Svc", "Divides", args, replies)
	for q := range replies {
		if q == nil {
			t.Errorf("a nil reply, and %v", err)
		}
	}
}

func TestServerThatNeverStopsSendingIsCutOff(t *testing.T) {
	t.Parallel()
	for mux, addr := range rig.Muxers {
		for name, start := range map[string]string{
			"response": "\xdb\x3f\xff\xff\xff",
			"error":    "\x81" + rig.Str("Error") + "\xdb\x3f\xff\xff\xff",
			"reply":    ok + "\xdb\x3f\xff\xff\xff",
			"values":   ok + "\xdd\x00\xf0\x00\x00",
		} {
			t.Run(mux+"/"+name, func(t *testing.T) {
				t.Parallel()
				a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
				rig.Connect(t, a, b)
				c := rig.Wire.Client(t, a)
				sent := make(chan int, 1)
				rig.Play(b, 10, func(st network.Stream) {
					_, _ = st.Write([]byte(start))
					sent <- rig.Flood(st, 1<<30)
				})
				err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Divide", rig.Args{A: 2, B: 3}, new(any))
				if rpc.CodeOf(err) != codes.ResourceExhausted || !rpc.IsClientError(err) {
					t.Errorf("unary: %v", err)
				}
				if n := <-sent; n > 4<<20 {
					t.Errorf("unary: %d MiB were taken", n>>20)
				}
				args, replies := make(chan rig.Args), make(chan any)
				err = c.Stream(rig.Context(t), b.ID(), "Svc", "Divides", args, replies)
				if rpc.CodeOf(err) != codes.ResourceExhausted || !rpc.IsClientError(err) {
					t.Errorf("streaming: %v", err)
				}
				if n := <-sent; n > 4<<20 {
					t.Errorf("streaming: %d MiB were taken", n>>20)
				}
				rig.Released(t, a, b)
			})
		}
	}
}

func TestServerThatAnswersAndStaysIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	c := rig.Wire.Client(t, a)
	gone := make(chan struct{})
	rig.Play(b, len(rig.Header("Svc", "Multiply"))+7, func(st network.Stream) {
		_, _ = st.Write([]byte(ok + "\x06"))
		_, _ = io.Copy(io.Discard, st) // until the client ends it
		close(gone)
	})
	var n int
	if err := c.Call(b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n); err != nil || n != 6 {
		t.Fatalf("got %d, %v", n, err)
	}
	rig.Take(t, "the client closes its stream", gone)
	rig.Released(t, a, b)
}

func TestSilentServerEndsTheCallByItsTime(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Play(b, 0, func(st network.Stream) { _, _ = io.Copy(io.Discard, st) })
	for what, f := range map[string]func(context.Context) error{
		"context": func(ctx context.Context) error {
			return rig.Wire.Client(t, a).CallContext(ctx, b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int))
		},
		"call timeout": func(context.Context) error {
			c := rig.Wire.Client(t, a, rpc.WithCallOptions(rpc.CallTimeout(100*time.Millisecond)))
			return c.Call(b.ID(), "Svc", "Multiply", rig.Args{A: 2, B: 3}, new(int))
		},
		"streaming": func(ctx context.Context) error {
			return rig.Wire.Client(t, a).Stream(ctx, b.ID(), "Svc", "Divides", make(chan rig.Args), make(chan rig.Quotient))
		},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
	rig.Released(t, a, b)
}

func TestServerThatTakesNoArgumentIsNoProgress(t *testing.T) {
	t.Parallel()
	for mux, addr := range rig.Muxers {
		t.Run(mux, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
			rig.Connect(t, a, b)
			over := make(chan struct{})
			defer close(over)
			rig.Play(b, 10, func(network.Stream) { <-over })
			c := rig.Wire.Client(t, a, rpc.WithClientLimits(rpc.Limits{ProgressTimeout: 200 * time.Millisecond}))
			err := rig.Promptly(t, func(ctx context.Context) error {
				return c.CallContext(ctx, b.ID(), "Svc", "Bytes", make([]byte, 8<<20), new(int))
			})
			if rpc.CodeOf(err) != codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Limits.ProgressTimeout") {
				t.Errorf("unary: %v", err)
			}
			args := make(chan []byte, 1)
			args <- make([]byte, 8<<20)
			err = rig.Promptly(t, func(ctx context.Context) error {
				return c.Stream(ctx, b.ID(), "Svc", "BytesAll", args, make(chan int))
			})
			if rpc.CodeOf(err) != codes.DeadlineExceeded || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Limits.ProgressTimeout") {
				t.Errorf("streaming: %v", err)
			}
		})
	}
}

// Responses that stand alone come once each, and in their order: a server could have a
// client read them for ever.
func TestResponsesThatStandAloneComeOnce(t *testing.T) {
	t.Parallel()
	const (
		begun   = "\x81\xa5Begun\x01"
		header  = "\x81\xa6Header\x81\xa1a\xa1b"
		trailer = "\x81\xa7Trailer\x81\xa1a\xa1b"
		one     = ok + "\x01"
		end     = "\xc1"
	)
	for name, test := range map[string]struct {
		answer string
		good   bool
	}{
		"in their order":                {begun + header + one + trailer + end, true},
		"begun twice":                   {begun + begun + one + end, false},
		"begun for ever":                {strings.Repeat(begun, 1<<20), false},
		"begun after the header":        {header + begun + one + end, false},
		"begun after a reply":           {one + begun + one + end, false},
		"begun after the trailer":       {one + trailer + begun + end, false},
		"two headers":                   {header + header + one + end, false},
		"a header after a reply":        {one + header + end, false},
		"two trailers":                  {one + trailer + trailer + end, false},
		"a reply after the trailer":     {trailer + one + end, false},
		"a header after the trailer":    {trailer + header + end, false},
		"a header and trailer, no item": {header + trailer + end, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			b.SetStreamHandler(rig.Extended, func(st network.Stream) {
				go func() { _, _ = io.Copy(io.Discard, st) }()
				_, _ = st.Write([]byte(test.answer))
				_ = st.CloseWrite()
			})
			args, replies := make(chan int), make(chan int, 3)
			close(args)
			err := rig.Wire.Client(t, a).Stream(rig.Context(t), b.ID(), "Svc", "Method", args, replies)
			if test.good != (err == nil) || err != nil && rpc.CodeOf(err) != codes.Internal {
				t.Errorf("the call ends with %v", err)
			}
		})
	}
}
