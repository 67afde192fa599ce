package limits_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"

	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Large messages within libp2p's default limits, which are 16 MiB for a stream
// and for the streams of one protocol and peer.

// Echoes replies with what it gets, in the forms that a message is sent in.
type Echoes struct{ rig.Arith }

func (Echoes) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

// First replies with a byte of what it gets.
func (Echoes) First(_ context.Context, in []byte, out *[]byte) error {
	*out = in[:1]
	return nil
}

func (Echoes) String(_ context.Context, in string, out *string) error {
	*out = in
	return nil
}

func (Echoes) Struct(_ context.Context, in wrapped, out *wrapped) error {
	*out = in
	return nil
}

func (Echoes) BytesAll(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	defer close(out)
	for b := range in {
		out <- b
	}
	return nil
}

func (Echoes) StructAll(_ context.Context, in <-chan wrapped, out chan<- wrapped) error {
	defer close(out)
	for w := range in {
		out <- w
	}
	return nil
}

// echoForm makes a call of a form and returns what came back.
type echoForm func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) ([]byte, error)

var (
	typedEcho       = rpc.NewMethod[[]byte, []byte]("Svc", "Bytes")
	typedStructEcho = rpc.NewMethod[wrapped, wrapped]("Svc", "Struct")

	unaryEchoes = map[string]echoForm{
		"bytes by name": func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) (out []byte, err error) {
			err = c.CallContext(ctx, b.ID(), "Svc", "Bytes", data, &out)
			return out, err
		},
		"a string by name": func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) ([]byte, error) {
			var out string
			err := c.CallContext(ctx, b.ID(), "Svc", "String", string(data), &out)
			return []byte(out), err
		},
		"typed bytes": func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) ([]byte, error) {
			return typedEcho.Call(ctx, c, b.ID(), data)
		},
		"a typed struct": func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) ([]byte, error) {
			out, err := typedStructEcho.Call(ctx, c, b.ID(), wrapped{data})
			return out.Data, err
		},
	}

	streamEchoes = map[string]echoForm{
		"streamed bytes": func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) ([]byte, error) {
			return streamed(ctx, c, b, "BytesAll", data)
		},
		"streamed structs": func(ctx context.Context, c *rpc.Client, b host.Host, data []byte) ([]byte, error) {
			out, err := streamed(ctx, c, b, "StructAll", wrapped{data})
			return out.Data, err
		},
	}
)

func streamed[T any](ctx context.Context, c *rpc.Client, b host.Host, method string, item T) (out T, err error) {
	in, replies := make(chan T, 1), make(chan T, 1)
	in <- item
	close(in)
	err = c.Stream(ctx, b.ID(), "Svc", method, in, replies)
	return <-replies, err
}

// What passes on a stream of its own passes on a session, as long as it may be.
// Not parallel, for the memory that it takes.
func TestLargestMessagesPass(t *testing.T) {
	const most = 16<<20 - 64 // with the names of fields
	for _, tr := range rig.Transports {
		if tr.Local {
			continue
		}
		a, b := rig.NewHosts(t)
		rig.Serve(t, b, Echoes{})
		c := tr.Client(t, a)
		for form, call := range unaryEchoes {
			for _, size := range []int{12 << 20, most} {
				t.Run(fmt.Sprintf("%s/%s/%d", tr.Name, form, size), func(t *testing.T) {
					data := bytes.Repeat([]byte{7}, size)
					if out, err := call(rig.Context(t), c, b, data); err != nil || !bytes.Equal(out, data) {
						t.Errorf("%d bytes came back: %v", len(out), err)
					}
				})
			}
		}
		_ = c.Close()
		rig.Released(t, a, b)
	}
}

// Eight times 8 MiB are four times what libp2p grants. Not parallel, for the
// memory that it takes.
func TestLargeMessagesAtOnceBothWays(t *testing.T) {
	for muxer, addr := range rig.Muxers {
		for _, tr := range rig.Transports {
			if tr.Local {
				continue
			}
			forms := unaryEchoes
			if tr.Name == "wire" {
				forms = map[string]echoForm{"bytes by name": unaryEchoes["bytes by name"], "a typed struct": unaryEchoes["a typed struct"]}
				for form, call := range streamEchoes {
					forms[form] = call
				}
			}
			a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
			rig.Connect(t, a, b)
			rig.Serve(t, a, Echoes{})
			rig.Serve(t, b, Echoes{})
			ca, cb := tr.Client(t, a), tr.Client(t, b)
			for form, call := range forms {
				if testing.Short() && !strings.Contains(form, "bytes") {
					continue
				}
				t.Run(muxer+"/"+tr.Name+"/"+form, func(t *testing.T) {
					atOnce(t, 8, func(i int) error {
						data := bytes.Repeat([]byte{byte(i)}, 8<<20)
						c, dest := ca, b
						if i%2 == 1 {
							c, dest = cb, a
						}
						out, err := call(rig.Context(t), c, dest, data)
						if err == nil && !bytes.Equal(out, data) {
							err = fmt.Errorf("%d bytes came back, another's or too few", len(out))
						}
						return err
					})
				})
			}
			_, _ = ca.Close(), cb.Close()
			rig.Released(t, a, b)
		}
	}
}

// atOnce runs f n times and reports its errors.
func atOnce(t *testing.T, n int, f func(i int) error) {
	t.Helper()
	results := make(chan error, n)
	for i := range n {
		go func() {
			if err := f(i); err != nil {
				results <- fmt.Errorf("%d: %w", i, err)
				return
			}
			results <- nil
		}()
	}
	for range n {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// What a v0.6 peer carries, this library carries with it. All messages are half
// there before any of them goes on. Not parallel, for the memory that it takes.
func TestLargeMessagesAtOnceWithAPlainPeer(t *testing.T) {
	const size = 8 << 20
	for muxer, addr := range rig.Muxers {
		t.Run(muxer+"/it is the client", func(t *testing.T) {
			a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
			rig.Connect(t, a, b)
			rig.Serve(t, b, Echoes{})
			for _, method := range []string{"Bytes", "String"} {
				half, rest := make(chan struct{}, 4), make(chan struct{})
				go func() {
					for range 4 {
						<-half
					}
					close(rest)
				}()
				atOnce(t, 4, func(i int) error {
					data := bytes.Repeat([]byte{byte(i)}, size)
					c, err := rig.PlainClient(rig.Context(t), a, b.ID(), "Svc", method)
					if err != nil {
						return err
					}
					encoded := rig.PlainBytes(data)
					err = c.Send(encoded[:size/2])
					half <- struct{}{}
					<-rest
					if err == nil {
						err = c.Send(encoded[size/2:])
					}
					if err != nil {
						return err
					}
					out, err := c.Reply()
					if err == nil && !bytes.Equal(out, data) {
						err = fmt.Errorf("%d bytes came back, another's or too few", len(out))
					}
					return err
				})
				rig.Released(t, b)
			}
		})
		t.Run(muxer+"/it is the server", func(t *testing.T) {
			a, b := rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
			rig.Connect(t, a, b)
			rig.PlainServer(t, b)
			for form, call := range unaryEchoes {
				if form == "a typed struct" {
					continue // it knows bytes only
				}
				c := rig.Client(t, a)
				atOnce(t, 4, func(i int) error {
					data := bytes.Repeat([]byte{byte(i)}, size)
					out, err := call(rig.Context(t), c, b, data)
					if err == nil && !bytes.Equal(out, data) {
						err = fmt.Errorf("%d bytes came back, another's or too few", len(out))
					}
					return err
				})
				_ = c.Close()
				rig.Released(t, a)
			}
		})
	}
}
