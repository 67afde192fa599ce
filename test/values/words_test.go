package values_test

import (
	"bytes"
	"context"
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"testing"

	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Types of which an interface holds the value itself, in the place of a pointer
// to it. What the pointers lead to begins with 0, which is found in place of
// the pointers where the codec misreads them, and is no address to fault at.
type (
	wordStruct  struct{ P *int }
	wordOmitted struct {
		P *int `codec:",omitempty"`
	}
	wordMap    struct{ M map[string]string }
	wordArray  struct{ A [1]*int }
	wordBeside struct { // of one word since Go 1.26
		None struct{}
		A    [1]*int
	}
	wordBinary struct{ p *[2]uint64 }
	wordByAddr struct{ p *[2]uint64 }
	wordBinArr [1]*uint64
	wordBinMap map[string]uint64
	wordSelves struct{ p *[2]uint64 } // says itself how it travels, whatever interface holds it
	ofBytes    interface {
		encoding.BinaryMarshaler
		encoding.BinaryUnmarshaler
	}
)

func (w wordBinary) MarshalBinary() ([]byte, error) {
	return binary.BigEndian.AppendUint64(nil, w.p[1]), nil
}

func (w *wordBinary) UnmarshalBinary(b []byte) error {
	w.p = &[2]uint64{1: binary.BigEndian.Uint64(b)}
	return nil
}

func (w *wordByAddr) MarshalBinary() ([]byte, error) { return wordBinary(*w).MarshalBinary() }

func (w *wordByAddr) UnmarshalBinary(b []byte) error { return (*wordBinary)(w).UnmarshalBinary(b) }

func (w wordBinArr) MarshalBinary() ([]byte, error) { return []byte{byte(*w[0]), 8}, nil }

func (w *wordBinArr) UnmarshalBinary(b []byte) error { w[0] = new(uint64(b[0])); return nil }

func (w wordBinMap) MarshalBinary() ([]byte, error) { return []byte{byte(w["n"]), 8}, nil }

func (w *wordBinMap) UnmarshalBinary(b []byte) error { *w = wordBinMap{"n": uint64(b[0])}; return nil }

func (w wordSelves) MarshalBinary() ([]byte, error) { return wordBinary(w).MarshalBinary() }

func (w wordSelves) UnmarshalBinary(b []byte) error { w.p[1] = binary.BigEndian.Uint64(b); return nil }

type (
	holds[T any] struct {
		N int
		V T
	}
	holdsOnly[T any]     struct{ V T }
	holdsEmbedded[T any] struct {
		embedded[T]
		N int
	}
	embedded[T any] struct{ Within T }
)

// sentAs is a value, and what arrives of it at another host.
type sentAs[A any] struct {
	value, arrives A
}

// same is a value that arrives as it is.
func same[A any](v A) sentAs[A] { return sentAs[A]{v, v} }

// generic is a value that arrives as the codec writes one that is like it but
// has pointers in interfaces, and reads that.
func generic[A any](v, like A) sentAs[A] {
	var b []byte
	h := new(codec.MsgpackHandle)
	h.WriteExt = true // today's form
	if err := codec.NewEncoderBytes(&b, h).Encode(&like); err != nil {
		panic(err)
	}
	s := sentAs[A]{value: v}
	if err := codec.NewDecoderBytes(b, h).Decode(&s.arrives); err != nil {
		panic(err)
	}
	nameKeys(reflect.ValueOf(&s.arrives).Elem())
	return s
}

// nameKeys makes the maps within v that have nothing but strings as keys what they
// arrive as: the codec does not look at all keys before it makes a map.
func nameKeys(v reflect.Value) {
	switch v.Kind() {
	case reflect.Interface:
		if v.IsNil() {
			return
		}
		c := reflect.New(v.Elem().Type()).Elem()
		c.Set(v.Elem())
		nameKeys(c)
		if m, ok := c.Interface().(map[any]any); ok {
			named := make(map[string]any)
			for k, elem := range m {
				if k, ok := k.(string); ok {
					named[k] = elem
				}
			}
			if len(named) == len(m) {
				c = reflect.ValueOf(named)
			}
		}
		v.Set(c)
	case reflect.Slice:
		for i := range v.Len() {
			nameKeys(v.Index(i))
		}
	case reflect.Map:
		for it := v.MapRange(); it.Next(); {
			elem := reflect.New(v.Type().Elem()).Elem()
			elem.Set(it.Value())
			nameKeys(elem)
			v.SetMapIndex(it.Key(), elem)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				nameKeys(v.Field(i))
			}
		}
	}
}

type sender interface {
	serve(s *rpc.Server, svc string) error
	send(t *testing.T, s rig.Setup, svc string)
}

// nests is a value in all places that types lead to.
type nests[T any] struct {
	holdsEmbedded[T]
	V, W      T
	P         *T
	Slice     []T
	Pointers  []*T
	One       [1]T
	ToOne     *[1]T
	Two       [2]T
	Map       map[string]T
	Pointed   map[int]*T
	Only      holdsOnly[T]
	ToOnly    *holdsOnly[T]
	OnlyOne   holdsOnly[[1]T]
	Onlies    []holdsOnly[T]
	OnlyOnly  holdsOnly[holdsOnly[T]]
	OnlyByMap map[string]holdsOnly[[1]T]
}

// everywhere returns v as what is sent, and inside of everything else. Each
// type that is sent takes long to compile.
func everywhere[T any](v T) []sender {
	p, one, ones := &v, holdsOnly[T]{v}, [1]T{v}
	return []sender{
		same(v), same(ones), same(one),
		same(nests[T]{
			holdsEmbedded[T]{embedded[T]{v}, 1}, v, v, p, []T{v, v}, []*T{p}, ones, &ones, [2]T{v, v}, map[string]T{"a": v, "b": v}, map[int]*T{7: p},
			one, &one, holdsOnly[[1]T]{ones}, []holdsOnly[T]{one}, holdsOnly[holdsOnly[T]]{one}, map[string]holdsOnly[[1]T]{"a": {ones}},
		}),
		generic[any](v, p), generic[any](&v, p), generic[any](one, &one), generic[any](ones, &ones), generic[any](&one, &one), generic[any]([]T{v}, []T{v}),
		generic([]any{v, 1, nil, v}, []any{p, 1, nil, p}), generic([]any{one, ones}, []any{&one, &ones}), generic[any]([1]any{v}, [1]any{p}), generic[any](&[]any{v}, &[]any{p}),
		generic(map[string]any{"a": v, "b": "c"}, map[string]any{"a": p, "b": "c"}), generic[any](map[int]any{1: v, 2: nil}, map[int]any{1: p, 2: nil}),
		generic(holds[any]{1, v}, holds[any]{1, p}), generic[any](&holds[any]{1, v}, &holds[any]{1, p}), generic[any](holds[[]any]{1, []any{v}}, holds[[]any]{1, []any{p}}),
		generic[any](holdsEmbedded[any]{embedded[any]{v}, 1}, holdsEmbedded[any]{embedded[any]{p}, 1}),
		generic[any](holdsOnly[*any]{new(any(v))}, holdsOnly[*any]{new(any(p))}),
		generic[any](holdsOnly[map[string]any]{map[string]any{"a": v}}, holdsOnly[map[string]any]{map[string]any{"a": p}}),
		generic([]any{map[string]any{"a": []any{holds[any]{1, v}}}}, []any{map[string]any{"a": []any{holds[any]{1, p}}}}),
	}
}

// A value that is a single pointer inside arrives as any other.
func TestValuesOfOneWordArrive(t *testing.T) {
	t.Parallel()
	seven := wordBinary{&[2]uint64{0, 7}}
	for name, all := range map[string][]sender{
		"array of a pointer":      everywhere([1]*int{new(int)}),
		"array of arrays":         everywhere([1][1]*int{{new(int)}}),
		"array of a struct":       everywhere([1]wordStruct{{new(int)}}),
		"struct of a pointer":     everywhere(wordStruct{new(int)}),
		"omitempty":               everywhere(wordOmitted{new(int)}),
		"struct of a map":         everywhere(wordMap{map[string]string{"a": "b"}}),
		"struct of an array":      everywhere(wordArray{[1]*int{new(int)}}),
		"beside what is empty":    everywhere(wordBeside{A: [1]*int{new(int)}}),
		"binary form":             everywhere(wordBinary{&[2]uint64{0, 7}}),
		"binary form by address":  everywhere(wordByAddr{&[2]uint64{0, 7}}),
		"binary form of an array": everywhere(wordBinArr{new(uint64)}),
		"binary form of a map":    everywhere(wordBinMap{"n": 7}),
		"key of an interface":     {generic[any](map[any]any{seven: 1}, map[any]any{&seven: 1})},
		"interface that tells of bytes": {
			generic[any](holds[ofBytes]{1, wordSelves(seven)}, holds[ofBytes]{1, &wordSelves{seven.p}}),
			generic[any]([]ofBytes{wordSelves(seven)}, []ofBytes{&wordSelves{seven.p}}),
		},
		"typed": {
			typed[[1]*int]{same([1]*int{new(int)})}, typed[wordBinary]{same(seven)}, typed[wordArray]{same(wordArray{[1]*int{new(int)}})}, typed[wordBinMap]{same(wordBinMap{"n": 7})},
			typed[any]{generic[any](seven, &seven)}, typed[any]{generic[any]([]any{[1]*int{new(int)}}, []any{&[1]*int{new(int)}})},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tr := range rig.Transports {
				t.Run(tr.Name, func(t *testing.T) {
					t.Parallel()
					s := tr.Setup(t, rig.Options{})
					for i, v := range all {
						svc := fmt.Sprint("Svc", i)
						if err := v.serve(s.Server, svc); err != nil {
							t.Fatal(err)
						}
						v.send(t, s, svc)
					}
				})
			}
		})
	}
}

// The server decodes a value of one word for a method, whatever it was sent as.
func TestArgumentsOfOneWordAreThoseDecoded(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, echoAll[[1]*int]{}, rig.Options{})
		for range 10 {
			var reply []int
			if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", []int{7}, &reply); err != nil || len(reply) != 1 || reply[0] != 7 {
				t.Fatalf("got %v, %v", reply, err)
			}
		}
	})
}

// The codec library gets pointers to what it encodes because of this: when this
// fails, it does without.
func TestCodecMisreadsWhatInterfacesHoldAsAWord(t *testing.T) {
	t.Parallel()
	for what, v := range map[string]struct{ byWord, byPointer any }{
		"elements of an array": {[1]*int{new(int)}, &[1]*int{new(int)}},
		"methods":              {wordBinary{&[2]uint64{0, 7}}, &wordBinary{&[2]uint64{0, 7}}},
		"zero":                 {wordOmitted{new(int)}, &wordOmitted{new(int)}},
	} {
		var byWord, byPointer []byte
		h := new(codec.MsgpackHandle)
		err := codec.NewEncoderBytes(&byWord, h).Encode(v.byWord)
		if perr := codec.NewEncoderBytes(&byPointer, h).Encode(v.byPointer); perr != nil {
			t.Fatal(perr)
		}
		if err == nil && bytes.Equal(byWord, byPointer) {
			t.Errorf("%s: the codec reads %T right", what, v.byWord)
		}
	}
}

// echoAll gives back what it is called with, or a value of its own.
type echoAll[A any] struct{ value A }

func (e echoAll[A]) Echo(_ context.Context, arg A, reply *A) error {
	*reply = arg
	return nil
}

func (e echoAll[A]) Give(_ context.Context, _ int, reply *A) error {
	*reply = e.value
	return nil
}

func (e echoAll[A]) Echoes(_ context.Context, in <-chan A, out chan<- A) error {
	for v := range in {
		out <- v
	}
	close(out)
	return nil
}

func (e echoAll[A]) Gives(_ context.Context, in <-chan int, out chan<- A) error {
	for range in {
		out <- e.value
	}
	close(out)
	return nil
}

func (v sentAs[A]) serve(s *rpc.Server, svc string) error {
	return s.RegisterName(svc, echoAll[A]{v.value})
}

// typed is sentAs by typed methods.
type typed[A any] struct{ sentAs[A] }

func (v typed[A]) serve(s *rpc.Server, svc string) error {
	return errors.Join(
		rpc.NewMethod[A, A](svc, "Echo").Handle(s, func(_ context.Context, arg A) (A, error) { return arg, nil }),
		rpc.NewMethod[int, A](svc, "Give").Handle(s, func(context.Context, int) (A, error) { return v.value, nil }),
		rpc.NewDuplex[A, A](svc, "Echoes").Handle(s, func(ctx context.Context, in *rpc.Receiver[A], out *rpc.Sender[A]) error {
			for {
				item, err := in.Receive(ctx)
				if err == io.EOF {
					return nil
				}
				if err = errors.Join(err, out.Send(ctx, item)); err != nil {
					return err
				}
			}
		}),
		rpc.NewServerStream[int, A](svc, "Gives").Handle(s, func(ctx context.Context, n int, out *rpc.Sender[A]) error {
			return out.Send(ctx, v.value)
		}),
	)
}

// check checks what a caller gets.
func (v sentAs[A]) check(t *testing.T, s rig.Setup, what string, got A, err error) {
	t.Helper()
	want := v.arrives
	if s.Dest == s.Sender { // nothing is encoded
		want = v.value
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%s, %T %+v: got %+v, %v", what, v.value, v.value, got, err)
	}
}

func (v sentAs[A]) send(t *testing.T, s rig.Setup, svc string) {
	ctx := rig.Context(t)
	var echo, give A
	err := s.Client.CallContext(ctx, s.Dest, svc, "Echo", v.value, &echo)
	v.check(t, s, "Echo", echo, err)
	err = s.Client.CallContext(ctx, s.Dest, svc, "Give", 1, &give)
	v.check(t, s, "Give", give, err)

	args, replies := make(chan A), make(chan A)
	rig.SendAll(ctx, args, v.value)
	items := rig.Collect(replies)
	err = s.Client.Stream(ctx, s.Dest, svc, "Echoes", args, replies)
	v.check(t, s, "Echoes", append(items(), *new(A))[0], err)
	numbers, replies := make(chan int), make(chan A)
	rig.SendAll(ctx, numbers, 1)
	items = rig.Collect(replies)
	err = s.Client.Stream(ctx, s.Dest, svc, "Gives", numbers, replies)
	v.check(t, s, "Gives", append(items(), *new(A))[0], err)
}

func (v typed[A]) send(t *testing.T, s rig.Setup, svc string) {
	ctx := rig.Context(t)
	got, err := rpc.NewMethod[A, A](svc, "Echo").Call(ctx, s.Client, s.Dest, v.value)
	v.check(t, s, "typed Echo", got, err)
	got, err = rpc.NewMethod[int, A](svc, "Give").Call(ctx, s.Client, s.Dest, 1)
	v.check(t, s, "typed Give", got, err)

	call := rpc.NewDuplex[A, A](svc, "Echoes").Open(ctx, s.Client, s.Dest)
	err = errors.Join(call.Send(ctx, v.value), call.CloseSend())
	all, rerr := rig.Received(ctx, t, call)
	v.check(t, s, "typed Echoes", append(all, *new(A))[0], errors.Join(err, rerr))
	for got, err := range rpc.NewServerStream[int, A](svc, "Gives").Call(ctx, s.Client, s.Dest, 1) {
		v.check(t, s, "typed Gives", got, err)
	}
}
