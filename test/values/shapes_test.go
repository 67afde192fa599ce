package values_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// echoOf returns what it is called with, after the stack has grown and the
// garbage was collected under it.
type echoOf[A any] struct{}

func (echoOf[A]) Echo(_ context.Context, arg A, reply *A) error {
	deepen(64)
	*reply = arg
	return nil
}

func (echoOf[A]) echo(c *rpc.Client, ctx context.Context, s rig.Setup, svc string, arg any) (any, error) {
	reply := new(A)
	err := c.CallContext(ctx, s.Dest, svc, "Echo", arg, reply)
	return *reply, err
}

type echoer interface {
	echo(c *rpc.Client, ctx context.Context, s rig.Setup, svc string, arg any) (any, error)
}

func deepen(n int) int {
	var room [128]byte
	if n == 0 {
		runtime.GC()
		return len(room)
	}
	return deepen(n-1) + int(room[n])
}

// shape is an argument of some type.
type shape struct {
	svc echoer
	arg any
}

func shapeOf[A any](arg A) shape { return shape{echoOf[A]{}, arg} }

type (
	namedString string
	namedBytes  []byte
	pointerOnly struct{ P *int }
	small       struct {
		A int8
		B bool
		C uint16
	}
	fiveWords struct {
		S string
		B []byte
	}
	sixWords struct {
		S, T, U string
	}
	holder3 struct {
		A any
		M map[string]int
		P *string
	}
	nestedWords struct {
		In struct{ A, B int }
		S  string
		P  *int
	}
	floats struct {
		A int
		F float64
	}
	withArray struct {
		A [1]int
		B [2]string
	}
)

// Methods are called by what their arguments look like to the machine: a value
// of every shape arrives as it is, whatever happens to the stack meanwhile.
func TestArgumentsOfEveryShapeArrive(t *testing.T) {
	t.Parallel()
	seven := 7
	text := strings.Repeat("text ", 10)
	shapes := []shape{
		shapeOf(struct{}{}), shapeOf(7), shapeOf(-7), shapeOf(uint32(7)), shapeOf(int64(1) << 40), shapeOf(true), shapeOf(1.5), shapeOf(int8(-3)),
		shapeOf(text), shapeOf(namedString(text)), shapeOf([]byte(text)), shapeOf(namedBytes(text)), shapeOf([]string{text, "b"}),
		shapeOf(map[string]int{text: 1}), shapeOf(&seven), shapeOf(pointerOnly{&seven}), shapeOf([3]int{1, 2, 3}), shapeOf([1]string{text}),
		shapeOf(rig.Args{A: 6, B: 7}), shapeOf(&rig.Args{A: 6, B: 7}), shapeOf(small{-1, true, 3}), shapeOf(fiveWords{text, []byte(text)}), shapeOf(&fiveWords{text, nil}),
		shapeOf(sixWords{text, "b", text}), shapeOf(holder3{int64(3), map[string]int{"a": 1}, &text}), shapeOf(floats{1, 2.5}),
		shapeOf(nestedWords{struct{ A, B int }{1, 2}, text, &seven}), shapeOf(withArray{[1]int{1}, [2]string{text, "b"}}),
		shapeOf[any](int64(7)), shapeOf[any]([]any{int64(1), []byte(text)}),
	}
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{})
			for i, sh := range shapes {
				if err := s.Server.RegisterName(fmt.Sprint("Svc", i), sh.svc); err != nil {
					t.Fatal(err)
				}
			}
			cancellable, cancel := context.WithCancel(context.Background())
			defer cancel()
			for _, ctx := range []context.Context{context.Background(), cancellable} {
				var wg sync.WaitGroup
				for i, sh := range shapes {
					wg.Go(func() {
						got, err := sh.svc.echo(s.Client, ctx, s, fmt.Sprint("Svc", i), sh.arg)
						if err != nil || !reflect.DeepEqual(got, sh.arg) {
							t.Errorf("%T: sent %v, got %v, %v", sh.arg, sh.arg, got, err)
						}
					})
				}
				wg.Wait()
			}
		})
	}
}

// An interceptor that puts something else in a call's place must not, and does
// no more harm than a panic.
func TestArgumentsExchangedByAnInterceptorAreChecked(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*rpc.CallInfo){
		"argument": func(call *rpc.CallInfo) { call.Args = "no Args" },
		"pointer":  func(call *rpc.CallInfo) { call.Args = new(string) },
		"reply":    func(call *rpc.CallInfo) { call.Reply = new(string) },
	} {
		for _, method := range []string{"Multiply", "Divide"} {
			t.Run(what+" of "+method, func(t *testing.T) {
				t.Parallel()
				o := rig.Options{Server: []rpc.ServerOption{rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
					return func(ctx context.Context, call *rpc.CallInfo) error {
						change(call)
						return next(ctx, call)
					}
				})}}
				rig.OverAll(t, rig.Arith{}, o, func(t *testing.T, s rig.Setup) {
					var reply any = new(int)
					if method == "Divide" {
						reply = new(rig.Quotient)
					}
					err := s.Client.Call(s.Dest, "Svc", method, &rig.Args{A: 6, B: 7}, reply)
					if rpc.CodeOf(err) != codes.Internal {
						t.Errorf("got %v", err)
					}
				})
			})
		}
	}
}

// Messages of nothing but bytes or a string are not written by the codec, and
// a v0.6 peer cannot tell.
func TestBytesAndStringsAreWrittenAsTheCodecWritesThem(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	for name, svc := range map[string]any{"Bytes": echoOf[[]byte]{}, "String": echoOf[string]{}, "Named": echoOf[namedString]{}} {
		if err := s.RegisterName(name, svc); err != nil {
			t.Fatal(err)
		}
	}
	check := func(svc string, v any) {
		t.Helper()
		var arg, head, body []byte
		codec.NewEncoderBytes(&arg, new(codec.MsgpackHandle)).MustEncode(v)
		st, err := a.NewStream(rig.Context(t), b.ID(), rig.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		defer st.Reset()
		codec.NewEncoderBytes(&head, new(codec.MsgpackHandle)).MustEncode(rpc.ServiceID{Name: svc, Method: "Echo"})
		go func() { _, _ = st.Write(append(head, arg...)) }()
		all, err := io.ReadAll(st)
		if err != nil {
			t.Fatal(err)
		}
		d := codec.NewDecoderBytes(all, new(codec.MsgpackHandle))
		var resp map[string]any
		d.MustDecode(&resp)
		body = all[d.NumBytesRead():]
		if !bytes.Equal(body, arg) {
			t.Errorf("%s of %d bytes: sent % .8x, got % .8x", svc, len(arg), arg, body)
		}
	}
	for _, n := range []int{0, 1, 31, 32, 255, 256, 65535, 65536, 1 << 20} {
		text := strings.Repeat("x", n)
		check("Bytes", []byte(text))
		check("String", text)
		check("Named", text)
	}
	check("Bytes", []byte(nil))
}

// A reply that is bytes fills the memory that the caller's slice has, and
// nil, empty and named bytes stay what they are.
func TestBytesAndStringsArrive(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, echoOf[[]byte]{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		for _, arg := range []any{[]byte{}, []byte("some"), &[]byte{1, 2}, namedBytes("named"), bytes.Repeat([]byte("large"), 1<<18)} {
			want := reflect.Indirect(reflect.ValueOf(arg)).Bytes()
			reply := make([]byte, 3)
			if err := s.Client.Call(s.Dest, "Svc", "Echo", arg, &reply); err != nil || !bytes.Equal(reply, want) || reply == nil {
				t.Errorf("%T of %d bytes: %d bytes, nil: %v, %v", arg, len(want), len(reply), reply == nil, err)
			}
		}
		var named namedBytes
		if err := s.Client.Call(s.Dest, "Svc", "Echo", []byte("x"), &named); err != nil || string(named) != "x" {
			t.Errorf("%q, %v", named, err)
		}
	})
	rig.OverAll(t, echoOf[string]{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		text := "text"
		for _, arg := range []any{"", text, &text, namedString(text), strings.Repeat(text, 1<<18)} {
			want := reflect.Indirect(reflect.ValueOf(arg)).String()
			reply := "before"
			err := s.Client.Call(s.Dest, "Svc", "Echo", arg, &reply)
			if _, named := arg.(namedString); named && s.Dest == s.Client.ID() {
				if rpc.CodeOf(err) != codes.InvalidArgument {
					t.Errorf("another type, locally: %v", err)
				}
				continue
			}
			if err != nil || reply != want {
				t.Errorf("%T: %.20q, %v", arg, reply, err)
			}
		}
	})
}
