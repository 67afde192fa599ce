package rpc_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"reflect"
	"runtime/debug"
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
)

// echoing returns what it gets, by a unary and by a streaming method.
type echoing[T any] struct{}

func (echoing[T]) Echo(ctx context.Context, in T, out *T) error { return echo(ctx, in, out) }

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
	trip     func(*testing.T, setup, string)
}

// travels makes a round trip of v, which arrives as it is.
func travels[T any](v T) traveller { return becomes(v, v) }

// becomes makes a round trip of v, which over the wire arrives as wire.
func becomes[T any](v, wire T) traveller {
	return traveller{
		func(s *rpc.Server, name string) error { return s.RegisterName(name, echoing[T]{}) },
		func(t *testing.T, s setup, name string) {
			want := v
			if s.dest != s.sender {
				want = wire
			}
			check := func(what string, got T, err error) {
				t.Helper()
				if err != nil || !sameValue(got, want) {
					t.Errorf("%s: %#v arrives as %#v, %v", what, v, got, err)
				}
			}
			ctx := testContext(t)
			if isNilValue(v) && reflect.TypeFor[T]().Kind() == reflect.Pointer {
				return // nil pointers are no arguments
			}
			var got T
			err := s.client.CallContext(ctx, s.dest, name, "Echo", v, &got)
			check("unary", got, err)
			args, replies := make(chan T), make(chan T)
			sendAll(ctx, args, v, v)
			all := collect(replies)
			err = s.client.Stream(ctx, s.dest, name, "Echoes", args, replies)
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

func (v textAndFields) MarshalText() ([]byte, error)  { return []byte("<" + v.S + ">"), nil }
func (v *textAndFields) UnmarshalText(b []byte) error { return errors.New("not used") }

type textString string

func (v textString) MarshalText() ([]byte, error)  { return []byte("<" + v + ">"), nil }
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
		"any: a struct":           becomes(struct{ V any }{Embedded{1}}, struct{ V any }{map[any]any{"E": int64(1)}}),
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
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			s := tr.setup(t, options{})
			for name, v := range all {
				t.Run(name, func(t *testing.T) {
					if err := v.register(s.server, name); err != nil {
						t.Fatal(err)
					}
					v.trip(t, s, name)
				})
			}
			for _, svc := range s.server.Services() {
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
	a, b := newHosts(t)
	arg := make(chan map[string]any, 2)
	b.SetStreamHandler(testProtocol, func(st network.Stream) {
		defer st.Close()
		var id rpc.ServiceID
		m := make(map[string]any)
		dec := codec.NewDecoder(st, plainMsgpack)
		_ = errors.Join(dec.Decode(&id), dec.Decode(&m))
		arg <- m
	})
	c := rpc.NewClient(a, testProtocol)
	t.Cleanup(func() { _ = c.Close() })
	for want, v := range map[string]tagged{
		"Ordinary j r":   {},
		"Ordinary j o r": {Omitted: "x", Skipped: "y"},
	} {
		_ = c.CallContext(testContext(t), b.ID(), "Svc", "M", v, new(int))
		var keys []string
		m := <-arg
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

// Types that cannot travel.
type (
	withChan  struct{ Inner struct{ C chan int } }
	withFunc  struct{ List []map[string]func() }
	withIface struct{ R io.Reader }
	chanInPtr struct{ P *withChan }
	withText  struct{ T textOnly }
)

type untravelled struct{}

func (untravelled) TakesChan(_ context.Context, v withChan, n *int) error {
	*n = cap(v.Inner.C)
	return nil
}
func (untravelled) TakesFunc(_ context.Context, v withFunc, n *int) error {
	*n = len(v.List)
	return nil
}
func (untravelled) TakesIface(_ context.Context, v withIface, n *int) error {
	b, err := io.ReadAll(v.R)
	*n = len(b)
	return err
}
func (untravelled) TakesText(_ context.Context, v withText, n *int) error {
	*n = len(v.T.s)
	return nil
}
func (untravelled) TakesPtr(_ context.Context, v *chanInPtr, n *int) error {
	*n = cap(v.P.Inner.C)
	return nil
}
func (untravelled) GivesChan(_ context.Context, n int, v *withChan) error {
	v.Inner.C = make(chan int, n)
	return nil
}
func (untravelled) GivesFunc(_ context.Context, n int, v *withFunc) error {
	v.List = make([]map[string]func(), n)
	return nil
}
func (untravelled) TakesChans(_ context.Context, in <-chan withChan, out chan<- int) error {
	for v := range in {
		out <- cap(v.Inner.C)
	}
	return nil
}
func (untravelled) GivesChans(_ context.Context, in <-chan int, out chan<- withChan) error {
	for n := range in {
		var v withChan
		v.Inner.C = make(chan int, n)
		out <- v
	}
	return nil
}
func (untravelled) Plain(_ context.Context, n int, r *int) error {
	*r = n
	return nil
}

func chanOf(n int) (v withChan) {
	v.Inner.C = make(chan int, n)
	return v
}

func TestTypesThatCannotTravelAreAnErrorNamingTypeAndField(t *testing.T) {
	t.Parallel()
	ofChan, ofFunc := chanOf(3), withFunc{make([]map[string]func(), 3)}
	deep := &chanInPtr{&ofChan}
	cases := []struct {
		method string
		args   any
		reply  any
		size   func(reply any) int
		kind   rpc.ErrorType // where it happens
		names  []string
	}{
		{"TakesChan", ofChan, new(int), nil, rpc.ClientErr, []string{"rpc_test.withChan", "Inner.C", "chan int"}},
		{"TakesFunc", ofFunc, new(int), nil, rpc.ClientErr, []string{"rpc_test.withFunc", "List", "func()"}},
		{"TakesPtr", deep, new(int), nil, rpc.ClientErr, []string{"rpc_test.chanInPtr", "P.Inner.C", "chan int"}},
		{"TakesText", withText{textOnly{"abc"}}, new(int), nil, rpc.ClientErr, []string{"rpc_test.withText", "field T", "rpc_test.textOnly", "text form"}},
		// What an interface holds may be sent, but not be received.
		{"TakesIface", withIface{strings.NewReader("abc")}, new(int), nil, rpc.ServerErr, []string{"rpc_test.withIface", "R", "io.Reader"}},
		{"GivesChan", 3, new(withChan), func(v any) int { return cap(v.(*withChan).Inner.C) }, rpc.ServerErr, []string{"rpc_test.withChan", "Inner.C", "chan int"}},
		{"GivesFunc", 3, new(withFunc), func(v any) int { return len(v.(*withFunc).List) }, rpc.ServerErr, []string{"rpc_test.withFunc", "List", "func()"}},
	}
	overAll(t, untravelled{}, options{}, func(t *testing.T, s setup) {
		for _, c := range cases {
			err := s.client.CallContext(testContext(t), s.dest, "Svc", c.method, c.args, c.reply)
			if s.dest == s.sender {
				n := 0
				if p, ok := c.reply.(*int); ok {
					n = *p
				} else {
					n = c.size(c.reply)
				}
				if err != nil || n != 3 {
					t.Errorf("%s, locally: got %d, %v", c.method, n, err)
				}
				continue
			}
			var e *rpc.Error
			if !errors.As(err, &e) || e.Type() != c.kind {
				t.Errorf("%s: got %v", c.method, err)
				continue
			}
			checkNames(t, err, append(c.names, "Svc."+c.method)...)
		}
	})
}

func checkNames(t *testing.T, err error, names ...string) {
	t.Helper()
	for _, name := range names {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
}

func TestStreamsOfTypesThatCannotTravel(t *testing.T) {
	t.Parallel()
	overAll(t, untravelled{}, options{}, func(t *testing.T, s setup) {
		local := s.dest == s.sender
		t.Run("arguments", func(t *testing.T) {
			err := streamOnce[int](t, s, "TakesChans", chanOf(3))
			switch {
			case local && err != nil:
				t.Error(err)
			case !local && !rpc.IsClientError(err):
				t.Errorf("got %v", err)
			case !local:
				checkNames(t, err, "Svc.TakesChans", "withChan", "Inner.C", "chan int", "argument 1")
			}
		})
		t.Run("replies", func(t *testing.T) {
			err := streamOnce[withChan](t, s, "GivesChans", 3)
			switch {
			case local && err != nil:
				t.Error(err)
			case !local && !rpc.IsServerError(err):
				t.Errorf("got %v", err)
			case !local:
				checkNames(t, err, "Svc.GivesChans", "withChan", "Inner.C", "chan int", "reply 1")
			}
		})
	})
}

// givesReader replies with what fits a withIface but for the interface.
type givesReader struct{}

func (givesReader) Once(_ context.Context, text string, r *map[string]string) error {
	*r = map[string]string{"R": text}
	return nil
}

func (givesReader) Often(_ context.Context, in <-chan string, out chan<- map[string]string) error {
	for text := range in {
		out <- map[string]string{"R": text}
	}
	return nil
}

func TestRepliesThatCannotBeReceivedAreAnErrorNamingTypeAndField(t *testing.T) {
	t.Parallel()
	overAll(t, givesReader{}, options{}, func(t *testing.T, s setup) {
		if s.dest == s.sender {
			return // where the method's type and the caller's are what does not fit
		}
		for method, err := range map[string]error{
			"Once":  s.client.CallContext(testContext(t), s.dest, "Svc", "Once", "abc", new(withIface)),
			"Often": streamOnce[withIface](t, s, "Often", "abc"),
		} {
			if !rpc.IsClientError(err) || rpc.CodeOf(err) != rpc.CodeInvalidArgument {
				t.Errorf("%s: got %v", method, err)
				continue
			}
			checkNames(t, err, "Svc."+method, "the reply's type *rpc_test.withIface", "field R", "io.Reader")
		}
	})
}

func TestServicesTellsWhatIsOnlyLocal(t *testing.T) {
	t.Parallel()
	s := rpc.NewServer(nil, testProtocol, quiet)
	if err := s.RegisterName("Svc", untravelled{}); err != nil {
		t.Fatal(err)
	}
	field := map[string]string{
		"TakesChan": "Inner.C", "TakesFunc": "List", "TakesIface": "R", "TakesPtr": "P.Inner.C", "TakesText": "T",
		"GivesChan": "Inner.C", "GivesFunc": "List", "TakesChans": "Inner.C", "GivesChans": "Inner.C", "Plain": "",
	}
	methods := s.Services()[0].Methods
	if len(methods) != len(field) {
		t.Fatalf("%d methods are told, not %d", len(methods), len(field))
	}
	for _, m := range methods {
		switch want := field[m.Name]; {
		case want == "" && m.LocalOnly != nil, want != "" && m.LocalOnly == nil:
			t.Errorf("%s: got %v", m.Name, m.LocalOnly)
		case want != "":
			typ, side := m.Args, "argument"
			if strings.HasPrefix(m.Name, "Gives") {
				typ, side = m.Reply, "reply"
			}
			checkNames(t, m.LocalOnly, side, typ.String(), "field "+want)
		}
	}
}

func TestNilInAStreamOfPointersIsANewValue(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	t.Run("replies", func(t *testing.T) {
		b.SetStreamHandler(testProtocol, func(st network.Stream) {
			defer st.Close()
			_, _ = io.ReadAll(st) // v0.6's client has closed its side
			enc := codec.NewEncoder(st, plainMsgpack)
			for _, item := range []any{nil, &Quotient{1, 2}, nil} {
				_ = errors.Join(enc.Encode(struct{}{}), enc.Encode(item))
			}
		})
		c := rpc.NewClient(a, testProtocol)
		t.Cleanup(func() { _ = c.Close() })
		args, replies := make(chan int), make(chan *Quotient)
		close(args)
		got := collect(replies)
		err := c.Stream(testContext(t), b.ID(), "Svc", "M", args, replies)
		if all := got(); err != nil || !reflect.DeepEqual(all, []*Quotient{{}, {1, 2}, {}}) {
			t.Fatalf("got %v, %v", all, err)
		}
	})
	t.Run("arguments", func(t *testing.T) {
		s := rpc.NewServer(b, testProtocol, quiet)
		t.Cleanup(func() { _ = s.Close() })
		if err := s.RegisterName("Svc", pointed{}); err != nil {
			t.Fatal(err)
		}
		for _, method := range []string{"Unary", "Streaming"} {
			if r := callAsV06(t, a, b.ID(), method, method == "Streaming", nil); r.Error != "" {
				t.Errorf("%s: %s", method, r.Error)
			}
		}
	})
}

// pointed refuses nil.
type pointed struct{}

func (pointed) Unary(_ context.Context, a *Args, _ *int) error {
	if a == nil {
		return errors.New("the argument is nil")
	}
	return nil
}

func (p pointed) Streaming(ctx context.Context, in <-chan *Args, out chan<- int) error {
	for a := range in {
		if err := p.Unary(ctx, a, nil); err != nil {
			return err
		}
		out <- 0
	}
	return nil
}

func TestIntegerThatDoesNotFitIsAnError(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	s := rpc.NewServer(b, testProtocol, quiet)
	c := rpc.NewClient(a, testProtocol)
	closeAfter(t, c, s)
	for name, svc := range map[string]any{"Int8": echoing[int8]{}, "Uint64": echoing[uint64]{}, "Int64": echoing[int64]{}, "Float64": echoing[float64]{}} {
		if err := s.RegisterName(name, svc); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range []struct {
		svc    string
		arg    any
		ok     bool
		reply  any
		typeIs string
	}{
		{"Int8", 127, true, new(int), ""},
		{"Int8", 128, false, new(int), "int8"},
		{"Int8", -129, false, new(int), "int8"},
		{"Uint64", uint64(math.MaxUint64), true, new(uint64), ""},
		{"Uint64", -1, false, new(uint64), "uint64"},
		{"Int64", uint64(math.MaxInt64), true, new(int64), ""},
		{"Int64", uint64(math.MaxInt64 + 1), false, new(int64), "int64"},
		{"Int8", uint64(math.MaxUint64), false, new(int8), "int8"}, // the codec makes it -1
		{"Float64", uint64(math.MaxUint64), false, new(float64), "float64"},
	} {
		err := c.CallContext(testContext(t), b.ID(), v.svc, "Echo", v.arg, v.reply)
		switch {
		case v.ok && (err != nil || fmt.Sprint(reflect.ValueOf(v.reply).Elem()) != fmt.Sprint(v.arg)):
			t.Errorf("%s of %v: got %v, %v", v.svc, v.arg, reflect.ValueOf(v.reply).Elem(), err)
		case !v.ok && rpc.CodeOf(err) != rpc.CodeInvalidArgument:
			t.Errorf("%s of %v: got %v, %v", v.svc, v.arg, reflect.ValueOf(v.reply).Elem(), err)
		case !v.ok:
			checkNames(t, err, v.svc+".Echo", v.typeIs)
		}
	}
	// A reply that does not fit is told by the client.
	for arg, reply := range map[uint64]any{300: new(int8), math.MaxUint64: new(int64)} {
		err := c.CallContext(testContext(t), b.ID(), "Uint64", "Echo", arg, reply)
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != rpc.CodeInvalidArgument {
			t.Errorf("%d into a %T: got %v", arg, reply, err)
		} else {
			checkNames(t, err, "Uint64.Echo", reflect.TypeOf(reply).String())
		}
	}
}

// The same fields, with and without a sign.
type (
	signedBase    struct{ B int }
	unsignedBase  struct{ B uint64 }
	signedParts   parts[int64, signedBase]
	unsignedParts parts[uint64, unsignedBase]

	parts[N comparable, E any] struct {
		Base   E
		One    N
		Ptr    **N
		List   []N
		Lists  [][]N
		Array  [2]N
		Keys   map[N]string
		Elems  map[string]N
		Same   uint64 // in both
		Any    any
		Text   string
		Bytes  []byte
		Tagged N `codec:"t"`
		Hidden N `codec:"-"`
		Small  int8
	}
)

// asList is sent as an array, and taken as the fields in their order.
type (
	asList struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		A, B    uint64
	}
	fromList struct {
		Embedded
		U uint64
	}
)

func TestGreatIntegersWithinOthers(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	s := rpc.NewServer(b, testProtocol, quiet)
	c := rpc.NewClient(a, testProtocol)
	closeAfter(t, c, s)
	if err := s.RegisterName("Signed", echoing[signedParts]{}); err != nil {
		t.Fatal(err)
	}
	const great = uint64(math.MaxUint64)
	n := great
	p := &n
	call := func(v unsignedParts) (r signedParts, unary, streaming error) {
		unary = c.CallContext(testContext(t), b.ID(), "Signed", "Echo", v, &r)
		return r, unary, streamOnce[signedParts](t, setup{client: c, dest: b.ID()}, "Echoes", v, "Signed")
	}
	for name, v := range map[string]unsignedParts{
		"in a struct": {Base: unsignedBase{great}}, "in a field": {One: great}, "behind pointers": {Ptr: &p},
		"in a list": {List: []uint64{1, 2, great}}, "in lists": {Lists: [][]uint64{{1}, nil, {great}}}, "in an array": {Array: [2]uint64{1, great}},
		"as a key": {Keys: map[uint64]string{great: ""}}, "as an element": {Elems: map[string]uint64{"a": great}},
		"in a renamed field": {Tagged: great},
		"after much else":    {Text: strings.Repeat("\xcf\xff", 500), Same: great, Any: great, Tagged: great},
	} {
		r, unary, streaming := call(v)
		for _, err := range []error{unary, streaming} {
			if !rpc.IsServerError(err) || rpc.CodeOf(err) != rpc.CodeInvalidArgument {
				t.Errorf("%s: arrives as %+v, %v", name, r, err)
			} else {
				checkNames(t, err, "Signed.Echo", "signedParts")
			}
		}
	}
	// Where it fits, and where it only looks like one, it is none.
	v := unsignedParts{
		One: math.MaxInt64, Same: great, Any: great, Text: strings.Repeat("\xcf\xff", 500), Bytes: bytes.Repeat([]byte{0xcf, 0xff}, 500),
		Hidden: great, List: []uint64{math.MaxInt64}, Keys: map[uint64]string{1: "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"},
	}
	r, unary, streaming := call(v)
	if unary != nil || streaming != nil || r.One != math.MaxInt64 || r.Same != great || r.Any != great || r.Text != v.Text || !bytes.Equal(r.Bytes, v.Bytes) {
		t.Errorf("got %+v, %v, %v", r, unary, streaming)
	}
	if err := s.RegisterName("Listed", echoing[fromList]{}); err != nil {
		t.Fatal(err)
	}
	var l fromList
	err := c.CallContext(testContext(t), b.ID(), "Listed", "Echo", asList{A: 1, B: great}, &l)
	if want := (fromList{Embedded{1}, great}); err != nil || l != want {
		t.Errorf("from a list: got %+v, %v", l, err)
	}
	err = c.CallContext(testContext(t), b.ID(), "Listed", "Echo", asList{A: great, B: 1}, &l)
	if rpc.CodeOf(err) != rpc.CodeInvalidArgument {
		t.Errorf("from a list: got %+v, %v", l, err)
	}
}

func TestStringsAndBytesAreInterchangeable(t *testing.T) {
	t.Parallel()
	a, b := newHosts(t)
	s := rpc.NewServer(b, testProtocol, quiet)
	c := rpc.NewClient(a, testProtocol)
	closeAfter(t, c, s)
	if err := errors.Join(s.RegisterName("String", echoing[string]{}), s.RegisterName("Bytes", echoing[[]byte]{}), s.RegisterName("Peer", echoing[peer.ID]{})); err != nil {
		t.Fatal(err)
	}
	text := "\x00 text \xff" + strings.Repeat("x", 300)
	for _, svc := range []string{"String", "Bytes"} {
		for _, arg := range []any{text, []byte(text), named(text)} {
			var asString string
			var asBytes []byte
			if err := c.CallContext(testContext(t), b.ID(), svc, "Echo", arg, &asString); err != nil || asString != text {
				t.Errorf("%s of %T: got %q, %v", svc, arg, asString, err)
			}
			if err := c.CallContext(testContext(t), b.ID(), svc, "Echo", arg, &asBytes); err != nil || string(asBytes) != text {
				t.Errorf("%s of %T: got %q, %v", svc, arg, asBytes, err)
			}
		}
	}
}

type cycle struct {
	Name string
	Self *cycle
	Any  any
	Map  map[string]any
	Maps recursiveMap
	List recursiveList
	Key  map[any]string
}

type (
	recursiveMap  map[string]recursiveMap
	recursiveList []recursiveList
)

func cycles() map[string]*cycle {
	byPointer := &cycle{Name: "p"}
	byPointer.Self = byPointer
	byAny := &cycle{Name: "a"}
	byAny.Any = byAny
	byMap := &cycle{Name: "m", Map: make(map[string]any)}
	byMap.Map["self"] = byMap.Map
	slice := []any{nil}
	slice[0] = slice
	array := new([1]any)
	array[0] = array
	var pointed any
	pointed = &pointed // not even a container
	maps, list := make(recursiveMap), make(recursiveList, 1)
	maps["self"], list[0] = maps, list
	around := map[int][]any{1: {nil, struct{ In any }{}}}
	around[1][1] = struct{ In any }{around}
	var chain any
	for range 5_000_000 { // of no cycle, and as deep as one to the codec
		chain = []any{chain}
	}
	return map[string]*cycle{
		"pointer": byPointer, "interface": byAny, "map": byMap, "slice": {Name: "s", Any: slice}, "array": {Name: "r", Any: array},
		"pointer to itself": {Name: "i", Any: pointed}, "recursive map": {Name: "M", Maps: maps}, "recursive slice": {Name: "S", List: list},
		"several": {Name: "v", Any: around}, "chain": {Name: "c", Any: chain},
		"key": {Name: "k", Key: map[any]string{pointed: ""}}, "channel": {Name: "ch", Any: make(chan any, 1)},
	}
}

// cycleEnv makes a process one that sends the cycle of that name.
const cycleEnv = "RPC_TEST_CYCLE"

// No recover catches a stack overflow: each cycle has a process of its own.
func TestCyclicArgumentIsAnError(t *testing.T) {
	if name := os.Getenv(cycleEnv); name != "" {
		debug.SetMaxStack(64 << 20)
		sendCycle(t, cycles()[name])
		return
	}
	t.Parallel()
	for name := range cycles() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(testContext(t), os.Args[0], "-test.run=^TestCyclicArgumentIsAnError$")
			cmd.Env = append(os.Environ(), cycleEnv+"="+name)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %.400s", err, out)
			}
		})
	}
}

func sendCycle(t *testing.T, arg *cycle) {
	overAll(t, cyclic{}, options{}, func(t *testing.T, s setup) {
		for kind, err := range map[string]error{
			"reply":     s.client.CallContext(testContext(t), s.dest, "Svc", "Give", os.Getenv(cycleEnv), new(cycle)),
			"unary":     s.client.CallContext(testContext(t), s.dest, "Svc", "Take", arg, new(int)),
			"streaming": streamOnce[int](t, s, "Takes", arg),
		} {
			if s.dest == s.sender { // nothing is encoded
				if err != nil {
					t.Errorf("%s: %v", kind, err)
				}
			} else if kind == "reply" {
				if !rpc.IsServerError(err) || rpc.CodeOf(err) != rpc.CodeInternal {
					t.Errorf("%s: got %v", kind, err)
				}
				checkNames(t, err, "Svc.Give", "cycle")
			} else if !rpc.IsClientError(err) || rpc.CodeOf(err) != rpc.CodeInvalidArgument {
				t.Errorf("%s: got %v", kind, err)
			} else {
				checkNames(t, err, "Svc.Take", "cycle")
			}
		}
		// The client goes on to work.
		var n int
		if err := s.client.CallContext(testContext(t), s.dest, "Svc", "Take", &cycle{Name: "xyz"}, &n); err != nil || n != 3 {
			t.Errorf("afterwards: got %d, %v", n, err)
		}
	})
}

// Depth and sharing that are no cycle.
func TestDepthAndSharingOfArguments(t *testing.T) {
	t.Parallel()
	const most = 1000
	nested := func(depth int) (v any) {
		for range depth {
			v = []any{v}
		}
		return v
	}
	shared := any("x")
	for range 8 {
		shared = map[string]any{"a": shared, "b": []any{shared}}
	}
	deepest := rpc.Limits{MessageDepth: -1}
	o := options{[]rpc.ServerOption{rpc.WithServerLimits(deepest)}, []rpc.ClientOption{rpc.WithClientLimits(deepest)}}
	overAll(t, echoing[any]{}, o, func(t *testing.T, s setup) {
		var got any
		if err := s.client.CallContext(testContext(t), s.dest, "Svc", "Echo", nested(most), &got); err != nil || !reflect.DeepEqual(got, nested(most)) {
			t.Errorf("%d levels: %v", most, err)
		}
		if err := s.client.CallContext(testContext(t), s.dest, "Svc", "Echo", shared, new(any)); err != nil {
			t.Errorf("shared parts: %v", err)
		}
		if s.dest == s.sender {
			return
		}
		err := s.client.CallContext(testContext(t), s.dest, "Svc", "Echo", nested(most+1), new(any))
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != rpc.CodeInvalidArgument {
			t.Errorf("%d levels: %v", most+1, err)
		}
		checkNames(t, err, "Svc.Echo", "[]interface {}", "1000", "cyclic")
		var endless any = []any{nil}
		for range 60 {
			endless = []any{endless, endless}
		}
		err = s.client.CallContext(testContext(t), s.dest, "Svc", "Echo", endless, new(any))
		if !rpc.IsClientError(err) || rpc.CodeOf(err) != rpc.CodeInvalidArgument {
			t.Errorf("2^60 times the same: %v", err)
		}
		checkNames(t, err, "Svc.Echo", "67108864 values")
	})
}

type cyclic struct{}

func (cyclic) Give(_ context.Context, name string, c *cycle) error {
	*c = *cycles()[name]
	return nil
}

func (cyclic) Take(_ context.Context, c *cycle, n *int) error {
	*n = len(c.Name)
	return nil
}

func (cyclic) Takes(_ context.Context, in <-chan *cycle, out chan<- int) error {
	for c := range in {
		out <- len(c.Name)
	}
	return nil
}
