package values_test

import (
	"context"
	"errors"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"github.com/multiformats/go-multihash"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// echoing returns what it gets, by a unary and by a streaming method.
type echoing[T any] struct{}

func (echoing[T]) Echo(ctx context.Context, in T, out *T) error { return rig.Echo(ctx, in, out) }

func (echoing[T]) Echoes(_ context.Context, in <-chan T, out chan<- T) error {
	defer close(out)
	for v := range in {
		out <- v
	}
	return nil
}

// traveller is a value that is to make the round trip. It may arrive as
// another where it travels: see wire.
type traveller struct {
	register func(*rpc.Server, string) error
	trip     func(*testing.T, rig.Setup, string)
}

// travels makes a round trip of v, which arrives as it is.
func travels[T any](v T) traveller { return becomes(v, v) }

// becomes makes a round trip of v, which over the wire arrives as wire.
func becomes[T any](v, wire T) traveller {
	return traveller{
		func(s *rpc.Server, name string) error { return s.RegisterName(name, echoing[T]{}) },
		func(t *testing.T, s rig.Setup, name string) {
			want := v
			if s.Dest != s.Sender {
				want = wire
			}
			check := func(what string, got T, err error) {
				t.Helper()
				if err != nil || !sameValue(got, want) {
					t.Errorf("%s: %#v arrives as %#v, %v", what, v, got, err)
				}
			}
			ctx := rig.Context(t)
			if isNilValue(v) && reflect.TypeFor[T]().Kind() == reflect.Pointer {
				return // nil pointers are no arguments
			}
			var got T
			err := s.Client.CallContext(ctx, s.Dest, name, "Echo", v, &got)
			check("unary", got, err)
			args, replies := make(chan T), make(chan T)
			rig.SendAll(ctx, args, v, v)
			all := rig.Collect(replies)
			err = s.Client.Stream(ctx, s.Dest, name, "Echoes", args, replies)
			items := all()
			if len(items) != 2 {
				t.Fatalf("streaming: %d of 2 items, %v", len(items), err)
			}
			for _, got := range items {
				check("streaming", got, err)
			}
		},
	}
}

func isNilValue(v any) bool {
	rv := reflect.ValueOf(v)
	return !rv.IsValid() || rv.Kind() == reflect.Pointer && rv.IsNil()
}

func sameValue(a, b any) bool {
	if at, ok := a.(time.Time); ok {
		return at.Equal(b.(time.Time))
	}
	return reflect.DeepEqual(a, b)
}

type (
	Embedded    struct{ E int }
	EmbeddedPtr struct{ P string }
	deepInner   struct{ Deep []int }

	embedding struct {
		Embedded
		*EmbeddedPtr
		Own string
	}
	pointers struct {
		Int    *int
		Str    *string
		Struct *Embedded
		Nil    *Embedded
		Twice  **int
		List   []*Embedded
	}
	unexported struct {
		Shown  int
		hidden int
		inner  deepInner
	}
	tagged struct {
		Renamed  string `codec:"r"`
		Omitted  string `codec:"o,omitempty"`
		Skipped  string `codec:"-"`
		ByJSON   string `json:"j"`
		Ordinary int
	}
	recursive struct {
		V    int
		Next *recursive
		M    map[string]*recursive
	}
	named    string
	namedMap map[named][]Embedded
)

// binaryOnly says itself how it travels.
type binaryOnly struct{ a, b byte }

func (v binaryOnly) MarshalBinary() ([]byte, error) { return []byte{v.a, v.b}, nil }

func (v *binaryOnly) UnmarshalBinary(b []byte) error {
	if len(b) != 2 {
		return errors.New("two bytes are expected")
	}
	v.a, v.b = b[0], b[1]
	return nil
}

// textOnly has a text form, which the codec uses in text formats only, and
// nothing else to tell by. The two after it travel by what they are.
type textOnly struct{ s string }

func (v textOnly) MarshalText() ([]byte, error) { return []byte("<" + v.s + ">"), nil }

func (v *textOnly) UnmarshalText(b []byte) error {
	v.s = strings.Trim(string(b), "<>")
	return nil
}

type textAndFields struct{ S string }

func (v textAndFields) MarshalText() ([]byte, error) { return []byte("<" + v.S + ">"), nil }

func (v *textAndFields) UnmarshalText(b []byte) error { return errors.New("not used") }

type textString string

func (v textString) MarshalText() ([]byte, error) { return []byte("<" + v + ">"), nil }

func (v *textString) UnmarshalText(b []byte) error { return errors.New("not used") }

func TestTypesMakeTheRoundTrip(t *testing.T) {
	t.Parallel()
	id, err := peer.Decode("12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf")
	if err != nil {
		t.Fatal(err)
	}
	c0 := cid.MustParse("QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn")
	c1 := cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	mh, err := multihash.Sum([]byte("x"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	addr := multiaddr.StringCast("/ip4/127.0.0.1/tcp/4001/p2p/12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf")
	at := time.Date(2024, 2, 29, 12, 34, 56, 789, time.UTC)
	seven, text := 7, "text"
	toSeven := &seven
	chain := &recursive{1, &recursive{2, nil, map[string]*recursive{"x": {V: 3}}}, nil}

	all := map[string]traveller{
		"embedded structs":        travels(embedding{Embedded{1}, &EmbeddedPtr{"p"}, "own"}),
		"pointers":                travels(pointers{toSeven, &text, &Embedded{1}, nil, &toSeven, []*Embedded{{1}, {2}}}),
		"pointers of nil":         travels(pointers{}),
		"a pointer":               travels(&Embedded{5}),
		"a recursive type":        travels(chain),
		"unexported fields":       becomes(unexported{1, 2, deepInner{[]int{3}}}, unexported{Shown: 1}),
		"tags":                    becomes(tagged{"a", "b", "c", "d", 5}, tagged{"a", "b", "", "d", 5}),
		"tags, empty":             travels(tagged{}),
		"a BinaryMarshaler":       travels(binaryOnly{1, 255}),
		"BinaryMarshalers":        travels([]binaryOnly{{1, 2}, {3, 4}}),
		"a TextMarshaler":         travels(textAndFields{"text"}),
		"TextMarshalers":          travels(map[string]textAndFields{"k": {"v"}}),
		"a string of text form":   travels([]textString{"text"}),
		"a CID of version 0":      travels(c0),
		"CIDs":                    travels([]cid.Cid{c1, c0}),
		"a map of CIDs":           travels(map[cid.Cid]bool{c0: true, c1: false}),
		"a peer's ID":             travels(id),
		"a map by peer":           travels(map[peer.ID][]string{id: {"a"}}),
		"a peer's addresses":      travels(peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{addr}}),
		"a multihash":             travels(mh),
		"a multiaddr":             travels(addr),
		"a time":                  travels(at),
		"a time of another place": travels(at.In(time.FixedZone("x", 3600))),
		"no time":                 travels(time.Time{}),
		"times":                   travels(map[string]time.Duration{"k": time.Hour}),
		"any: nothing":            travels(struct{ V any }{}),
		"any: a bool":             travels(struct{ V any }{true}),
		"any: a float":            travels(struct{ V any }{0.5}),
		"any: an integer":         becomes(struct{ V any }{5}, struct{ V any }{int64(5)}),
		"any: a list":             becomes(struct{ V any }{[]int{1}}, struct{ V any }{[]any{int64(1)}}),
		"any: a struct":           becomes(struct{ V any }{Embedded{1}}, struct{ V any }{map[string]any{"E": int64(1)}}),
		"bool":                    travels(true),
		"int8, least":             travels(int8(math.MinInt8)),
		"int64, least":            travels(int64(math.MinInt64)),
		"int64, greatest":         travels(int64(math.MaxInt64)),
		"uint64, greatest":        travels(uint64(math.MaxUint64)),
		"uint32, greatest":        travels(uint32(math.MaxUint32)),
		"float32":                 travels(float32(math.SmallestNonzeroFloat32)),
		"float64":                 travels(math.Inf(-1)),
		"integers":                travels([]int{0, 127, 128, 255, 256, 1 << 16, 1<<31 - 1, -1, -32, -33, -128, -129, -1 << 31}),
		"a rune":                  travels('é'),
		"a string of any bytes":   travels("\x00\xff é"),
		"an empty string":         travels(""),
		"bytes":                   travels([]byte{0, 255}),
		"an array":                travels([3]int{1, 2, 3}),
		"an array of bytes":       travels([4]byte{1, 2, 3, 4}),
		"an empty slice":          travels([]int{}),
		"a nil slice":             travels([]int(nil)),
		"an empty map":            travels(map[string]int{}),
		"a nil map":               travels(map[string]int(nil)),
		"a map of structs":        travels(namedMap{"a": {{1}}, "b": nil}),
		"a map by number":         travels(map[int]map[bool]string{-1: {true: "x"}}),
		"a struct of nothing":     travels(struct{}{}),
		"lists of lists":          travels([][][]string{{{"a"}, nil}, {}}),
	}
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, rig.Options{})
			for name, v := range all {
				t.Run(name, func(t *testing.T) {
					if err := v.register(s.Server, name); err != nil {
						t.Fatal(err)
					}
					v.trip(t, s, name)
				})
			}
			for _, svc := range s.Server.Services() {
				for _, m := range svc.Methods {
					if m.LocalOnly != nil {
						t.Errorf("%s.%s travels, and is said not to: %v", svc.Name, m.Name, m.LocalOnly)
					}
				}
			}
		})
	}
}

func TestOmittedFieldsAreNotSent(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	arg := make(chan map[string]any, 2)
	b.SetStreamHandler(rig.Protocol, func(st network.Stream) {
		defer st.Close()
		var id rpc.ServiceID
		m := make(map[string]any)
		dec := codec.NewDecoder(st, rig.PlainMsgpack)
		_ = errors.Join(dec.Decode(&id), dec.Decode(&m))
		arg <- m
	})
	c := rig.Client(t, a)
	for want, v := range map[string]tagged{
		"Ordinary j r":   {},
		"Ordinary j o r": {Omitted: "x", Skipped: "y"},
	} {
		_ = c.CallContext(rig.Context(t), b.ID(), "Svc", "M", v, new(int))
		var keys []string
		m := rig.Take(t, "the method begins", arg)
		for _, k := range []string{"Ordinary", "Renamed", "Omitted", "Skipped", "ByJSON", "j", "o", "r", "-"} {
			if _, has := m[k]; has {
				keys = append(keys, k)
			}
		}
		if got := strings.Join(keys, " "); got != want || len(m) != len(keys) {
			t.Errorf("%+v is sent with the keys %v", v, m)
		}
	}
}

func TestNilInAStreamOfPointersIsANewValue(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	t.Run("replies", func(t *testing.T) {
		b.SetStreamHandler(rig.Protocol, func(st network.Stream) {
			defer st.Close()
			_, _ = io.ReadAll(st) // v0.6's client has closed its side
			enc := codec.NewEncoder(st, rig.PlainMsgpack)
			for _, item := range []any{nil, &rig.Quotient{Quo: 1, Rem: 2}, nil} {
				_ = errors.Join(enc.Encode(struct{}{}), enc.Encode(item))
			}
		})
		c := rig.Client(t, a)
		args, replies := make(chan int), make(chan *rig.Quotient)
		close(args)
		got := rig.Collect(replies)
		err := c.Stream(rig.Context(t), b.ID(), "Svc", "M", args, replies)
		if all := got(); err != nil || !reflect.DeepEqual(all, []*rig.Quotient{{}, {Quo: 1, Rem: 2}, {}}) {
			t.Fatalf("got %v, %v", all, err)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		rig.Serve(t, b, pointed{})
		for _, method := range []string{"Unary", "Streaming"} {
			if r := rig.CallAsV06(t, a, b.ID(), method, method == "Streaming", nil); r.Error != "" {
				t.Errorf("%s: %s", method, r.Error)
			}
		}
	})
}

// pointed refuses nil.
type pointed struct{}

func (pointed) Unary(_ context.Context, a *rig.Args, _ *int) error {
	if a == nil {
		return errors.New("the argument is nil")
	}
	return nil
}

func (p pointed) Streaming(ctx context.Context, in <-chan *rig.Args, out chan<- int) error {
	for a := range in {
		if err := p.Unary(ctx, a, nil); err != nil {
			return err
		}
		out <- 0
	}
	return nil
}

func TestStringsAndBytesAreInterchangeable(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	c := rig.Client(t, a)
	if err := errors.Join(s.RegisterName("String", echoing[string]{}), s.RegisterName("Bytes", echoing[[]byte]{}), s.RegisterName("Peer", echoing[peer.ID]{})); err != nil {
		t.Fatal(err)
	}
	text := "\x00 text \xff" + strings.Repeat("x", 300)
	for _, svc := range []string{"String", "Bytes"} {
		for _, arg := range []any{text, []byte(text), named(text)} {
			var asString string
			var asBytes []byte
			if err := c.CallContext(rig.Context(t), b.ID(), svc, "Echo", arg, &asString); err != nil || asString != text {
				t.Errorf("%s of %T: got %q, %v", svc, arg, asString, err)
			}
			if err := c.CallContext(rig.Context(t), b.ID(), svc, "Echo", arg, &asBytes); err != nil || string(asBytes) != text {
				t.Errorf("%s of %T: got %q, %v", svc, arg, asBytes, err)
			}
		}
	}
}
