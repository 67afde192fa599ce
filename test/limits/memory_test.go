package limits_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// taker takes anything at all.
type taker struct{ rig.Arith }

func (taker) Any(_ context.Context, _ any, n *int) error {
	*n = 1
	return nil
}

func (taker) Bytes(_ context.Context, b []byte, n *int) error {
	*n = len(b)
	return nil
}

func (taker) List(_ context.Context, l []any, n *int) error {
	*n = len(l)
	return nil
}

func (taker) Anys(_ context.Context, in <-chan any, _ chan<- any) error {
	for range in {
	}
	return nil
}

// Not parallel: it measures the memory of the whole process.
func TestDeclaredLengthsTakeNoMemory(t *testing.T) {
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, taker{}, rpc.WithServerLimits(rpc.Limits{ProgressTimeout: 200 * time.Millisecond}))
	t.Run("over the limit", func(t *testing.T) {
		rig.Allocates(t, 64<<20, func() {
			for _, method := range []string{"Any", "Bytes", "List", "Anys"} {
				for _, declared := range []string{
					"\xdb\x01\x00\x00\x01", "\xc6\x01\x00\x00\x01", "\xc9\x01\x00\x00\x01\x01", "\xdd\x00\x04\x00\x00",
					"\xdf\x00\x02\x00\x00", "\x81\xa1A\xdd\x00\x04\x00\x00", "\x91\xdb\x01\x00\x00\x01",
				} {
					st := rig.Open(t, a, b, rig.Protocol)
					rig.Write(t, st, rig.Cat(rig.Header("Svc", method), declared))
					got := rig.Refusal(t, st) // at once, though the stream is open
					if codes.Code(got.Code) != codes.ResourceExhausted || !strings.Contains(got.Error, "Limits.Message") {
						t.Errorf("%s %x: %+v", method, declared, got)
					}
					_ = st.Reset()
				}
			}
		})
	})
	t.Run("within the limit", func(t *testing.T) {
		// 40 times 15 MiB are promised, and a few bytes come.
		rig.Allocates(t, 128<<20, func() {
			var wg sync.WaitGroup
			for _, method := range []string{"Any", "Bytes"} {
				for range 20 {
					st := rig.Open(t, a, b, rig.Protocol)
					rig.Write(t, st, rig.Cat(rig.Header("Svc", method), "\xdb\x00\xf0\x00\x00", strings.Repeat("x", 100)))
					wg.Go(func() {
						b, err := io.ReadAll(st)
						if err != nil || !bytes.Contains(b, []byte("Limits.ProgressTimeout")) {
							t.Errorf("got %q, %v", b, err)
						}
						_ = st.Reset()
					})
				}
			}
			wg.Wait()
		})
	})
	rig.Released(t, a, b)
}

func TestMemoryFollowsWhatHasArrived(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, taker{})
	st := rig.Open(t, a, b, rig.Protocol)
	rig.Write(t, st, rig.Cat(rig.Header("Svc", "Bytes"), "\xdb\x00\xf0\x00\x00")) // 15 MiB
	for _, sent := range []int{100 << 10, 1 << 20} {
		rig.Write(t, st, make([]byte, sent))
		// Counted by the service and by the protocol; never more than four
		// times what came.
		rig.Eventually(t, "what was sent is accounted for", func() bool { return rig.Held(b).Memory >= int64(2*sent-1<<13) })
		if m := rig.Held(b).Memory; m > int64(2*4*(sent+200<<10)) {
			t.Errorf("%d bytes are reserved after %d came", m/2, sent)
		}
	}
	_ = st.Reset()
	rig.Released(t, a, b)
}

// bytesHolder is a holder whose method takes bytes.
type bytesHolder struct{ *rig.Holder }

func (h bytesHolder) HoldBytes(ctx context.Context, _ []byte, _ *struct{}) error {
	return h.Hold(ctx, struct{}{}, nil)
}

func TestBufferOfAnArgumentIsGivenBackBeforeTheMethodRuns(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	svc := rig.NewHolder()
	rig.Serve(t, b, bytesHolder{svc})
	c := rig.Wire.Client(t, a)
	result := make(chan error, 1)
	go func() {
		result <- c.CallContext(rig.Context(t), b.ID(), "Svc", "HoldBytes", make([]byte, 4<<20), new(struct{}))
	}()
	rig.Take(t, "the method begins", svc.Started)
	if m := rig.Held(b).Memory; m != 0 {
		t.Errorf("%d bytes are reserved while the method runs", m/2)
	}
	svc.Release <- struct{}{}
	if err := <-result; err != nil {
		t.Error(err)
	}
}

// Not parallel: it measures the memory of the whole process.
func TestNestedArraysTakeBoundedMemory(t *testing.T) {
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, taker{})
	for _, method := range []string{"Any", "List", "Anys"} {
		for name, arg := range map[string]string{
			"3 KB of array16":        strings.Repeat("\xdc\xff\xff", 1000),
			"as deep as may be":      strings.Repeat("\xdc\xff\xff", 60),
			"3 KB of map16":          strings.Repeat("\xde\xff\xff\x01", 750),
			"arrays next to another": "\xdc\x03\xe8" + strings.Repeat("\xdc\xff\xff", 1000),
		} {
			rig.Allocates(t, 64<<20, func() {
				st := rig.Open(t, a, b, rig.Protocol)
				rig.Write(t, st, rig.Cat(rig.Header("Svc", method), arg))
				got := rig.Refusal(t, st)
				if codes.Code(got.Code) != codes.ResourceExhausted || !strings.Contains(got.Error, "Limits.Message") {
					t.Errorf("%s of %s: %+v", method, name, got)
				}
				_ = st.Reset()
			})
		}
	}
}

func TestDeepNestingIsAnError(t *testing.T) {
	t.Parallel()
	name := "\x83" + rig.Str("Name") + rig.Str("Svc") + rig.Str("Method") + rig.Str("Any")
	for limit, l := range map[string]rpc.Limits{"default": {}, "lifted": {MessageDepth: -1, MessageValues: -1}} {
		deep := map[string]int{"default": 64 + 1, "lifted": 1000 + 1}[limit] // one level too many
		t.Run(limit, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			c := rig.Wire.Client(t, a)
			rig.Serve(t, b, taker{}, rpc.WithServerLimits(l))
			for what, request := range map[string]string{
				"header":                  strings.Repeat("\x91", deep),
				"unknown header field":    name + rig.Str("Zzz") + strings.Repeat("\x91", deep),
				"metadata":                name + rig.Str("Metadata") + strings.Repeat("\x81\xa1k", deep),
				"argument":                string(rig.Header("Svc", "Any")) + strings.Repeat("\x91", deep),
				"argument of maps":        string(rig.Header("Svc", "Any")) + strings.Repeat("\x81\xa1A", deep),
				"unknown field of struct": string(rig.Header("Svc", "Multiply")) + "\x81" + rig.Str("Zzz") + strings.Repeat("\x91", deep),
				"streamed argument":       string(rig.Header("Svc", "Anys")) + strings.Repeat("\x91", deep),
			} {
				st := rig.Open(t, a, b, rig.Protocol)
				sent := make(chan error, 1)
				go func() { // blocks until the server has refused the rest
					_, err := st.Write([]byte(request))
					sent <- err
				}()
				if got := rig.Refusal(t, st); got.ErrType != rpc.ServerErr {
					t.Errorf("%s: %+v", what, got)
				}
				_ = st.Reset()
				rig.Take(t, "the sending ends", sent)
			}
			if limit == "lifted" { // to what decoding can bear
				st := rig.Open(t, a, b, rig.Protocol)
				rig.Write(t, st, rig.Cat(rig.Header("Svc", "Multiply"), "\x83\xa1A\x02\xa1B\x03", rig.Str("Zzz"), strings.Repeat("\x91", 990), "\xc0"))
				got, err := io.ReadAll(st)
				if err != nil {
					t.Fatal(err)
				}
				if all := rig.Answers(t, got); len(all) != 1 || all[0].Error != "" {
					t.Errorf("990 deep: %+v", all)
				}
				_ = st.Close()
			}
			rig.Multiplies(t, c, b.ID())
			rig.Released(t, a, b)
		})
	}
}
