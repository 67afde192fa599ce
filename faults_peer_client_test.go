package rpc_test

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
)

// play makes b a server of v0.6's protocol that reads a request of n bytes
// and then does what f does.
func play(b host.Host, n int, f func(network.Stream)) {
	b.SetStreamHandler(testProtocol, func(st network.Stream) {
		defer st.Close()
		_ = st.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.ReadFull(st, make([]byte, n)); err == nil {
			f(st)
		}
	})
}

// say is a server that says s to everything.
func say(b host.Host, n int, s string) {
	play(b, n, func(st network.Stream) { _, _ = st.Write([]byte(s)) })
}

const ok = "\x80" // a response without error

// hostile are answers that no server gives.
var hostile = map[string]string{
	"nothing":                 "",
	"no msgpack":              "\xc1\xc1\xc1\xc1",
	"nils":                    "\xc0\xc0\xc0\xc0",
	"numbers":                 "\x01\x02\x03\x04",
	"true":                    "\xc3\xc3",
	"strings":                 str("Service") + str("Error"),
	"arrays":                  "\x90\x90",
	"a list for a response":   "\x92\x01\x02\x07",
	"numbers for keys":        "\x82\x01\x01\x02\x02\x07",
	"error is a number":       "\x81" + str("Error") + "\x07\x07",
	"error is a map":          "\x81" + str("Error") + "\x80\x07",
	"type is a string":        "\x82" + str("Error") + str("x") + str("ErrType") + str("x") + "\xc0",
	"type is negative":        "\x82" + str("Error") + str("x") + str("ErrType") + "\xff\xc0",
	"type is unknown":         "\x82" + str("Error") + str("x") + str("ErrType") + "\x63\xc0",
	"code is unknown":         "\x82" + str("Error") + str("x") + str("Code") + "\xcd\x03\xe7\xc0",
	"code is OK":              "\x82" + str("Error") + str("x") + str("Code") + "\x00\xc0",
	"details are a list":      "\x82" + str("Error") + str("x") + str("Details") + "\x91\x01\xc0",
	"only a response":         ok,
	"half a reply":            ok + "\x82" + str("Quo"),
	"reply is a string":       ok + str("x"),
	"reply is a list":         ok + "\x92" + str("x") + "\x01",
	"reply is no msgpack":     ok + "\xc1",
	"reply of 1 GiB":          ok + "\xdb\x40\x00\x00\x00",
	"reply of 4 GiB":          ok + "\xdf\xff\xff\xff\xff",
	"response of 1 GiB":       "\xdb\x40\x00\x00\x00",
	"response of 2^32 keys":   "\xdf\xff\xff\xff\xff",
	"error of 1 GiB":          "\x81" + str("Error") + "\xdb\x40\x00\x00\x00",
	"deep response":           strings.Repeat("\x91", 1<<20),
	"deep unknown field":      "\x81" + str("Zzz") + strings.Repeat("\x91", 1<<20),
	"deep reply":              ok + strings.Repeat("\x91", 1<<20),
	"deep field of the reply": ok + "\x81" + str("Zzz") + strings.Repeat("\x81\xa1x", 1<<19),
	"lists of lists":          ok + strings.Repeat("\xdc\xff\xff", 1000),
	"a web page":              "HTTP/1.1 400 Bad Request\r\n\r\n",
}

// Not parallel: it measures the memory of the whole process.
func TestHostileAnswersAreErrorsAndTakeLittle(t *testing.T) {
	a, b := newHosts(t)
	c := newClient(t, a)
	arg := &Args{2, 3}
	for name, answer := range hostile {
		allocates(t, 64<<20, func() {
			say(b, len(header("Svc", "Divide"))+7, answer)
			reply := Quotient{7, 7}
			if err := c.Call(b.ID(), "Svc", "Divide", arg, &reply); err == nil {
				t.Errorf("%s: a unary call succeeds with %v", name, reply)
			}
			var any any
			if err := c.Call(b.ID(), "Svc", "Divide", arg, &any); err == nil && !strings.Contains(name, "reply is") {
				t.Errorf("%s: a unary call succeeds with %v", name, any)
			}

			say(b, len(header("Svc", "Divide")), answer)
			args, replies := make(chan Args), make(chan *Quotient)
			got := collect(replies)
			err := c.Stream(context.Background(), b.ID(), "Svc", "Divide", args, replies)
			if all := got(); len(all) > 0 {
				t.Errorf("%s: a streaming call has replies: %v", name, all)
			}
			if err == nil && name != "nothing" { // which is a stream of no replies
				t.Errorf("%s: a streaming call succeeds", name)
			}
		})
	}
	released(t, a, b)
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
		{"none", extended, "", 0, false},
		{"none, and the mark", extended, "\xc1", 0, true},
		{"two", extended, two, 2, false},
		{"two, and the mark", extended, two + "\xc1", 2, true},
		{"two, half of one, and the mark", extended, two + ok + "\xc1", 2, false},
		{"none, v0.6", testProtocol, "", 0, true},
		{"two, v0.6", testProtocol, two, 2, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			a, b := newHosts(t)
			c := newClient(t, a)
			b.SetStreamHandler(test.protocol, func(st network.Stream) {
				defer st.Close()
				_, _ = st.Read(make([]byte, 1)) // negotiation is over
				_, _ = st.Write([]byte(test.answer))
			})
			args, replies := make(chan int), make(chan int, 3)
			close(args)
			err := c.Stream(testContext(t), b.ID(), "Svc", "Method", args, replies)
			if n := len(replies); n != test.replies {
				t.Errorf("%d replies, not %d", n, test.replies)
			}
			if test.good && err != nil {
				t.Errorf("the call fails: %v", err)
			}
			var broke *rpc.TransportError
			if whole := !strings.Contains(test.name, "half"); !test.good && (err == nil || whole && (rpc.CodeOf(err) != rpc.CodeUnavailable || !errors.As(err, &broke) || !errors.Is(err, io.ErrUnexpectedEOF))) {
				t.Errorf("the call ends with %v", err)
			}
		})
	}
}

func TestNilStreamedByAServerIsNoNilForTheCaller(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	c := newClient(t, a)
	say(b, 0, ok+"\xc0")
	args, replies := make(chan Args), make(chan *Quotient, 10)
	err := c.Stream(testContext(t), b.ID(), "Svc", "Divides", args, replies)
	for q := range replies {
		if q == nil {
			t.Errorf("a nil reply, and %v", err)
		}
	}
}

func TestServerThatNeverStopsSendingIsCutOff(t *testing.T) {
	t.Parallel()
	for mux, addr := range muxers {
		for name, start := range map[string]string{
			"response": "\xdb\x3f\xff\xff\xff",
			"error":    "\x81" + str("Error") + "\xdb\x3f\xff\xff\xff",
			"reply":    ok + "\xdb\x3f\xff\xff\xff",
			"values":   ok + "\xdd\x00\xf0\x00\x00",
		} {
			t.Run(mux+"/"+name, func(t *testing.T) {
				t.Parallel()
				a, b := newHostOn(t, addr), newHostOn(t, addr)
				connect(t, a, b)
				c := newClient(t, a)
				sent := make(chan int, 1)
				play(b, 10, func(st network.Stream) {
					_, _ = st.Write([]byte(start))
					sent <- flood(st, 1<<30)
				})
				err := c.CallContext(testContext(t), b.ID(), "Svc", "Divide", Args{2, 3}, new(any))
				if rpc.CodeOf(err) != rpc.CodeResourceExhausted || !rpc.IsClientError(err) {
					t.Errorf("unary: %v", err)
				}
				if n := <-sent; n > 4<<20 {
					t.Errorf("unary: %d MiB were taken", n>>20)
				}
				args, replies := make(chan Args), make(chan any)
				err = c.Stream(testContext(t), b.ID(), "Svc", "Divides", args, replies)
				if rpc.CodeOf(err) != rpc.CodeResourceExhausted || !rpc.IsClientError(err) {
					t.Errorf("streaming: %v", err)
				}
				if n := <-sent; n > 4<<20 {
					t.Errorf("streaming: %d MiB were taken", n>>20)
				}
				released(t, a, b)
			})
		}
	}
}

func TestResponseCutAtEveryByteIsAnError(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"multiply", "stream-3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := newHosts(t)
			c := newClient(t, a)
			tr := recording(t, name)
			request, response := tr.bytes(t, "client->server"), tr.bytes(t, "server->client")
			const items = 3
			cuts(t, response, func(what string, at int, reset bool) {
				play(b, len(request), func(st network.Stream) {
					_, _ = st.Write(response[:at])
					if reset {
						_ = st.Reset()
					}
				})
				if name == "multiply" {
					reply := 77
					err := c.Call(b.ID(), "Svc", "Multiply", &Args{2, 3}, &reply)
					if rpc.CodeOf(err) != rpc.CodeUnavailable || !rpc.IsClientError(err) || reply != 77 {
						t.Errorf("%s: got %d, %v", what, reply, err)
					}
					return
				}
				got, err := streamOf[Quotient](t, c, b.ID(), &tr, Args{2, 3}, Args{6, 2}, Args{9, 5})
				// The end of v0.6's replies is that of the stream.
				whole := at % (len(response) / items)
				if fine := whole == 0 && !reset; (err == nil) != fine || !fine && rpc.CodeOf(err) != rpc.CodeUnavailable {
					t.Errorf("%s: got %v, %v", what, got, err)
				}
				for i, q := range got {
					if q != ([]Quotient{{0, 2}, {3, 0}, {1, 4}})[i] {
						t.Errorf("%s: got %v", what, got)
					}
				}
			})
			released(t, a, b)
		})
	}
}

func TestServerThatAnswersAndStaysIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	c := newClient(t, a)
	gone := make(chan struct{})
	play(b, len(header("Svc", "Multiply"))+7, func(st network.Stream) {
		_, _ = st.Write([]byte(ok + "\x06"))
		_, _ = io.Copy(io.Discard, st) // until the client ends it
		close(gone)
	})
	var n int
	if err := c.Call(b.ID(), "Svc", "Multiply", Args{2, 3}, &n); err != nil || n != 6 {
		t.Fatalf("got %d, %v", n, err)
	}
	take(t, "the client closes its stream", gone)
	released(t, a, b)
}

func TestSilentServerEndsTheCallByItsTime(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	play(b, 0, func(st network.Stream) { _, _ = io.Copy(io.Discard, st) })
	for what, f := range map[string]func(context.Context) error{
		"context": func(ctx context.Context) error {
			return newClient(t, a).CallContext(ctx, b.ID(), "Svc", "Multiply", Args{2, 3}, new(int))
		},
		"call timeout": func(context.Context) error {
			c := newClient(t, a, rpc.WithCallTimeout(100*time.Millisecond))
			return c.Call(b.ID(), "Svc", "Multiply", Args{2, 3}, new(int))
		},
		"streaming": func(ctx context.Context) error {
			return newClient(t, a).Stream(ctx, b.ID(), "Svc", "Divides", make(chan Args), make(chan Quotient))
		},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		if err := f(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", what, err)
		}
		cancel()
	}
	released(t, a, b)
}

func TestServerThatTakesNoArgumentIsNoProgress(t *testing.T) {
	t.Parallel()
	for mux, addr := range muxers {
		t.Run(mux, func(t *testing.T) {
			t.Parallel()
			a, b := newHostOn(t, addr), newHostOn(t, addr)
			connect(t, a, b)
			over := make(chan struct{})
			defer close(over)
			play(b, 10, func(network.Stream) { <-over })
			c := newClient(t, a, rpc.WithClientLimits(rpc.Limits{ProgressTimeout: 200 * time.Millisecond}))
			err := promptly(t, func(ctx context.Context) error {
				return c.CallContext(ctx, b.ID(), "Svc", "Bytes", make([]byte, 8<<20), new(int))
			})
			if rpc.CodeOf(err) != rpc.CodeDeadlineExceeded || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Limits.ProgressTimeout") {
				t.Errorf("unary: %v", err)
			}
			args := make(chan []byte, 1)
			args <- make([]byte, 8<<20)
			err = promptly(t, func(ctx context.Context) error {
				return c.Stream(ctx, b.ID(), "Svc", "BytesAll", args, make(chan int))
			})
			if rpc.CodeOf(err) != rpc.CodeDeadlineExceeded || errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Limits.ProgressTimeout") {
				t.Errorf("streaming: %v", err)
			}
		})
	}
}

// slowReply ends the call while it is decoded.
type slowReply struct {
	text     string
	cancel   context.CancelFunc
	returned chan struct{}
	decoded  bool
}

func (s *slowReply) MarshalBinary() ([]byte, error) { return []byte("text"), nil }

func (s *slowReply) UnmarshalBinary(b []byte) error {
	if s.cancel == nil { // the server's own
		return nil
	}
	s.cancel()
	select { // whoever decodes beside the caller is caught
	case <-s.returned:
	case <-time.After(200 * time.Millisecond):
	}
	s.text, s.decoded = string(b), true
	return nil
}

type slowReplies struct{}

func (slowReplies) Get(_ context.Context, _ struct{}, r *slowReply) error { return nil }

func TestReplyIsUntouchedAfterTheReturnThoughCancelledWhileDecoding(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	serve(t, b, slowReplies{})
	c := newClient(t, a)
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	reply := &slowReply{cancel: cancel, returned: make(chan struct{})}
	err := c.CallContext(ctx, b.ID(), "Svc", "Get", struct{}{}, reply)
	close(reply.returned)
	if !reply.decoded || reply.text != "text" { // and the race detector looks on
		t.Errorf("the reply is still decoded after the call's return with %v", err)
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// late writes its reply when nobody wants it any more.
type late struct{ started, release, done chan struct{} }

func (l late) Late(_ context.Context, _ struct{}, n *int) error {
	close(l.started)
	<-l.release
	*n = 1
	close(l.done)
	return nil
}

func TestReplyIsUntouchedByAMethodThatRunsOn(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s := tr.setup(t, options{})
			svc := late{make(chan struct{}), make(chan struct{}), make(chan struct{})}
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(testContext(t))
			go func() {
				<-svc.started
				cancel()
			}()
			var n int
			if err := s.client.CallContext(ctx, s.dest, "Svc", "Late", struct{}{}, &n); !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			close(svc.release)
			take(t, "the method returns", svc.done)
			if n != 0 {
				t.Error("the reply was written to")
			}
		})
	}
}
