package servers_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/policy"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var describing = rig.Options{Server: []rpc.ServerOption{rpc.WithDescriptions(true)}}

// evolution is one type that a client sends and another that a server takes.
type evolution struct {
	name string
	want string // "fits", "note" or "problem"
	says []string
	// lossy problems are calls that succeed and lose something.
	lossy  bool
	method describe.Method
	handle func(*rpc.Server) error
	call   func(s rig.Setup, t *testing.T) error
}

// evolve describes a method that takes R, called with a W.
func evolve[W, R any](name string, sample W, want string, says ...string) evolution {
	sent := rpc.NewMethod[W, struct{}]("Svc", name)
	taken := rpc.NewMethod[R, struct{}]("Svc", name)
	return evolution{
		name: name, want: want, says: says, method: sent,
		handle: func(s *rpc.Server) error {
			return taken.Handle(s, func(context.Context, R) (struct{}, error) { return struct{}{}, nil })
		},
		call: func(s rig.Setup, t *testing.T) error {
			_, err := sent.Call(rig.Context(t), s.Client, s.Dest, sample)
			return err
		},
	}
}

func (e evolution) losing() evolution {
	e.lossy = true
	return e
}

type (
	personV1 struct {
		Name string
		Age  int
	}
	personV2 struct {
		Name  string
		Age   int64
		Email string `codec:"email,omitempty"`
	}
	personTagged struct {
		Full string `codec:"Name"`
		Age  *int
	}
	personJSON struct {
		Full string `json:"Name"`
		Age  any
	}
	personWrong struct {
		Name string
		Age  string
	}
	personOther struct {
		Surname string
		Age     int
	}
	personEmbeds struct {
		personName
		Age int
	}
	personName struct{ Name string }
	hidden     struct {
		Name string
		Age  int
		//lint:ignore U1000 it is not written
		secret string
		Out    string `codec:"-"`
	}
	placed struct {
		//lint:ignore U1000 the codec looks for it
		_struct bool `codec:",toarray"`
		Name    string
		Age     int
	}
	replaced struct {
		//lint:ignore U1000 the codec looks for it
		_struct bool `codec:",toarray"`
		Age     int
		Name    string
	}
	placedMore struct {
		//lint:ignore U1000 the codec looks for it
		_struct bool `codec:",toarray"`
		Name    string
		Age     int
		Email   string
	}
	list struct {
		Value int
		Next  *list
	}
	listWrong struct {
		Value string
		Next  *listWrong
	}
	listMore struct {
		Value int
		Next  *listMore
		Note  string
	}
)

var evolutions = []evolution{
	evolve[personV1, personV1]("same", personV1{"Ada", 36}, "fits"),
	evolve[*personV1, personV1]("pointer", &personV1{"Ada", 36}, "fits"),
	evolve[personV1, *personV1]("to-pointer", personV1{"Ada", 36}, "fits"),
	evolve[personV1, personV2]("added-at-server", personV1{"Ada", 36}, "note", "argument", "does not send email", "stays zero"),
	evolve[personV2, personV1]("added-at-client", personV2{"Ada", 36, "a@b"}, "note", "sends email", "dropped"),
	evolve[personV1, personTagged]("codec-tag", personV1{"Ada", 36}, "fits"),
	evolve[personV1, personJSON]("json-tag", personV1{"Ada", 36}, "fits"),
	evolve[personV1, personWrong]("field-of-other-kind", personV1{"Ada", 36}, "problem", "argument.Age", "int (a number)", "string"),
	evolve[personV1, personOther]("renamed", personV1{"Ada", 36}, "problem", "argument", "Name", "Surname").losing(),
	evolve[personV1, personEmbeds]("embedded", personV1{"Ada", 36}, "fits"),
	evolve[personEmbeds, personV1]("embeds", personEmbeds{personName{"Ada"}, 36}, "fits"),
	evolve[personV1, hidden]("hidden-fields", personV1{"Ada", 36}, "fits"),
	evolve[placed, placed]("places", placed{Name: "Ada", Age: 36}, "fits"),
	evolve[placed, personV1]("places-to-fields", placed{Name: "Ada", Age: 36}, "fits"),
	evolve[personV1, placed]("fields-to-places", personV1{"Ada", 36}, "fits"),
	evolve[placed, placedMore]("places-added", placed{Name: "Ada", Age: 36}, "note", "does not send Email"),
	evolve[placed, replaced]("places-changed", placed{Name: "Ada", Age: 36}, "problem", "at place 1", "Name", "Age"),
	evolve[list, list]("recursive", list{1, &list{2, nil}}, "fits"),
	evolve[list, listMore]("recursive-added", list{1, &list{2, nil}}, "note", "Note"),
	evolve[list, listWrong]("recursive-wrong", list{1, &list{2, nil}}, "problem", "argument.Value"),
	evolve[int, int64]("int-int64", 7, "fits"),
	evolve[int64, int8]("int64-int8", 7, "note", "large numbers"),
	evolve[int, uint]("int-uint", 7, "note", "negative"),
	evolve[uint32, int64]("uint32-int64", 7, "fits"),
	evolve[uint64, int64]("uint64-int64", 7, "note", "large numbers"),
	evolve[int, float64]("int-float", 7, "fits"),
	evolve[float64, int]("float-int", 7.5, "problem", "float64"),
	evolve[float32, float64]("float32-float64", 7.5, "fits"),
	evolve[float64, float32]("float64-float32", 7.5, "note"),
	evolve[int, string]("int-string", 7, "problem", "int (a number)", "string"),
	evolve[string, int]("string-int", "7", "problem"),
	evolve[bool, int]("bool-int", true, "problem"),
	evolve[int, bool]("int-bool", 1, "problem"),
	evolve[string, []byte]("string-bytes", "x", "fits"),
	evolve[[]byte, string]("bytes-string", []byte("x"), "fits"),
	evolve[[4]byte, []byte]("array-bytes", [4]byte{1, 2, 3, 4}, "fits"),
	evolve[[4]byte, [3]byte]("shorter-bytes", [4]byte{1, 2, 3, 4}, "problem", "[4]uint8", "[3]uint8"),
	evolve[[4]int, [3]int]("shorter-array", [4]int{1, 2, 3, 4}, "problem", "[4]int", "[3]int"),
	evolve[[3]int, [4]int]("longer-array", [3]int{1, 2, 3}, "problem", "[3]int", "[4]int"),
	evolve[[]int, [1]int]("list-array", []int{7}, "note", "another length fails"),
	evolve[[1]int, []int]("array-list", [1]int{7}, "fits"),
	evolve[[]string, []int]("lists", []string{"x"}, "problem", "argument[]"),
	evolve[[]int, []int64]("lists-of-ints", []int{7}, "fits"),
	evolve[[]int, string]("list-string", []int{7}, "problem"),
	evolve[[]personV1, []personV2]("lists-of-structs", []personV1{{"Ada", 36}}, "note", "argument[]"),
	evolve[map[string]int, map[string]int64]("maps", map[string]int{"a": 1}, "fits"),
	evolve[map[string]int, map[string]string]("maps-wrong", map[string]int{"a": 1}, "problem", "argument[]"),
	evolve[map[int]int, map[string]int]("map-keys", map[int]int{1: 1}, "problem", "argument (key)"),
	evolve[map[string]any, personV1]("map-struct", map[string]any{"Name": "Ada"}, "fits"),
	evolve[map[string]bool, personV1]("map-struct-wrong", map[string]bool{"Name": true}, "problem", "argument.Name"),
	evolve[personV1, map[string]any]("struct-map", personV1{"Ada", 36}, "fits"),
	evolve[personV1, map[string]string]("struct-map-wrong", personV1{"Ada", 36}, "problem", "argument.Age"),
	evolve[personV1, []int]("struct-list", personV1{"Ada", 36}, "problem", "struct", "list"),
	evolve[any, personV1]("any-struct", any(personV1{"Ada", 36}), "fits"),
	evolve[personV1, any]("struct-any", personV1{"Ada", 36}, "fits"),
	evolve[time.Time, time.Time]("own-form", time.Unix(7, 0), "fits"),
	evolve[peer.ID, time.Time]("own-forms", peer.ID(""), "problem", "peer.ID", "time.Time"),
	evolve[time.Time, int]("own-form-int", time.Unix(7, 0), "problem"),
	evolve[struct{}, personV1]("nothing-struct", struct{}{}, "note"),
	evolve[personV1, struct{}]("struct-nothing", personV1{"Ada", 36}, "note"),
}

// What Check says of two types is what calls between them do.
func TestCheckTellsWhichTypesFit(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports[1:] {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			s := tr.Setup(t, describing)
			var methods []describe.Method
			for _, e := range evolutions {
				if err := e.handle(s.Server); err != nil {
					t.Fatal(err)
				}
				methods = append(methods, e.method)
			}
			report, err := describe.Check(rig.Context(t), s.Client, s.Dest, methods...)
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range evolutions {
				t.Run(e.name, func(t *testing.T) {
					checkEvolution(t, report.Methods[i], e)
					if err := e.call(s, t); (err != nil) != (e.want == "problem" && !e.lossy) {
						t.Errorf("a call, which %s: %v", e.want, err)
					}
				})
			}
			if err := report.Err(); err == nil || strings.Count(err.Error(), "Svc.renamed: peer "+s.Dest.String()) != 1 {
				t.Errorf("the report's error is %v", err)
			}
		})
	}
}

func checkEvolution(t *testing.T, m describe.CheckedMethod, e evolution) {
	t.Helper()
	got, texts := "fits", m.Notes
	if len(m.Notes) > 0 {
		got = "note"
	}
	if len(m.Problems) > 0 {
		got, texts = "problem", m.Problems
	}
	if got != e.want || m.Method != e.method.ID() {
		t.Errorf("%v is %s, not %s: %q %q", m.Method, got, e.want, m.Problems, m.Notes)
	}
	for _, say := range e.says {
		if text := strings.Join(texts, "\n"); !strings.Contains(text, say) {
			t.Errorf("does not say %q: %s", say, text)
		}
	}
}

// Methods are checked whoever serves them, and whichever form they have.
func TestCheckOfMethods(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var calls atomic.Int64
		counting := rpc.WithClientInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				calls.Add(1)
				return next(ctx, call)
			}
		})
		s := with(rig.ByChannels{}, rig.Options{Server: describing.Server, Client: []rpc.ClientOption{counting}})
		var all []describe.Method
		for _, c := range []struct {
			method  describe.Method
			problem string
		}{
			{rig.MultiplyMethod, ""},
			{rig.DivideMethod, ""},
			{rig.Divides, ""},
			{rig.CountTo, ""},
			{rig.Sum, ""},
			{rpc.NewDuplex[int, int]("Svc", "Sum"), ""},
			{rpc.NewMethod[int, int]("None", "Sum"), "no service"},
			{rpc.NewMethod[int, int]("Svc", "None"), "no method"},
			{rpc.NewMethod[int, int]("Svc", "Sum"), "streaming at the server, and unary here"},
			{rpc.NewClientStream[rig.Args, int]("Svc", "Multiply"), "unary at the server, and streaming here"},
			{rpc.NewMethod[rig.Args, string]("Svc", "Multiply"), "reply: the server sends int"},
			{rpc.NewMethod[rig.Args, chan int]("Svc", "Multiply"), "the reply's type chan int cannot travel"},
			{rpc.NewDuplex[rig.Args, []rig.Quotient]("Svc", "Divides"), "reply: "},
		} {
			all = append(all, c.method)
			report, err := describe.Check(rig.Context(t), s.Client, s.Dest, c.method)
			if err != nil {
				t.Fatal(err)
			}
			err = report.Err()
			if c.problem == "" && (err != nil || report.String() != fmt.Sprintf("%v: fits\n", c.method)) {
				t.Errorf("%v: %v", c.method, report)
			}
			if c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)) {
				t.Errorf("%v: not %q: %v", c.method, c.problem, err)
			}
		}
		calls.Store(0)
		if report, err := describe.Check(rig.Context(t), s.Client, s.Dest, all...); err != nil || len(report.Methods) != len(all) || calls.Load() != 1 {
			t.Errorf("%d calls to check all: %v, %v", calls.Load(), report, err)
		}
		if report, err := describe.Check(rig.Context(t), s.Client, s.Dest); err != nil || report.Err() != nil || report.Peer != s.Dest {
			t.Errorf("nothing to check: %v, %v", report, err)
		}
		_, err := describe.Check(rig.Context(t), s.Client, s.Dest, make([]describe.Method, 1025)...)
		rig.CheckErr(t, err, rpc.NonRPCErr, codes.InvalidArgument, "1024")
	})
}

// Servers describe themselves when they are told to, and to those that may ask.
func TestCheckIsSubjectToAuthorization(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, rig.Arith{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		_, err := describe.Check(rig.Context(t), s.Client, s.Dest, rig.MultiplyMethod)
		rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "WithDescriptions")
	})
	allowing := func(p policy.Rules) rig.Options {
		return rig.Options{Server: []rpc.ServerOption{rpc.WithDescriptions(true), policy.With(p)}}
	}
	rig.OverAll(t, rig.Arith{}, allowing(policy.Rules{{Name: "Svc"}: policy.Everyone()}), func(t *testing.T, s rig.Setup) {
		if _, err := describe.Check(rig.Context(t), s.Client, s.Dest, rig.MultiplyMethod); rpc.IsAuthorizationError(err) == (s.Dest == s.Sender) {
			t.Errorf("got %v", err)
		}
	})
	some := policy.Rules{{Name: describe.ServiceName}: policy.Everyone(), rig.DivideMethod.ID(): policy.Everyone()}
	rig.OverAll(t, rig.Arith{}, allowing(some), func(t *testing.T, s rig.Setup) {
		absent := rpc.NewMethod[int, int]("Svc", "None")
		report, err := describe.Check(rig.Context(t), s.Client, s.Dest, rig.MultiplyMethod, rig.DivideMethod, absent)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"does not allow", "", "does not allow"} {
			if s.Dest == s.Sender { // which is never asked
				want = []string{"", "", "no method"}[i]
			}
			if text := strings.Join(report.Methods[i].Problems, ""); !strings.Contains(text, want) || (want == "") != (text == "") {
				t.Errorf("%v: %q", report.Methods[i].Method, text)
			}
		}
	})
}

// lying describes what it likes.
type lying struct{ reply map[string]any }

func (l lying) Describe(_ context.Context, _ any, reply *map[string]any) error {
	*reply = l.reply
	return nil
}

// A description is a peer's word, and is bounded.
func TestCheckOfAHostileServer(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	here := []m{{"State": "here", "Kind": 1}}
	one := func(typ m) m { return m{"Methods": here, "Types": []m{typ}} }
	fields := func(n int, name string) (all []m) {
		for i := range n {
			all = append(all, m{"Name": fmt.Sprint(name, i), "Type": 0})
		}
		return all
	}
	types := make([]m, 4000)
	for i := range types { // each holds all the next ones
		types[i] = m{"Kind": "struct", "Name": "T", "Fields": []m{
			{"Name": "Value", "Type": min(i+1, len(types)-1)}, {"Name": "Next", "Type": min(i+2, len(types)-1)}}}
	}
	bad := map[string]m{
		"nothing":              {},
		"two methods":          {"Methods": []m{{}, {}}},
		"no types":             {"Methods": here},
		"a type beyond":        {"Methods": []m{{"State": "here", "Kind": 1, "Args": 1}}, "Types": []m{{"Kind": "int"}}},
		"a type before":        {"Methods": []m{{"State": "here", "Kind": 1, "Reply": -1}}, "Types": []m{{"Kind": "int"}}},
		"an element beyond":    one(m{"Kind": "list", "Elem": 1}),
		"a key before":         one(m{"Kind": "map", "Key": -1}),
		"a field beyond":       one(m{"Kind": "struct", "Fields": []m{{"Name": "Value", "Type": 7}}}),
		"a field's long name":  one(m{"Kind": "struct", "Fields": []m{{"Name": strings.Repeat("x", 1<<20)}}}),
		"many fields":          one(m{"Kind": "struct", "Fields": fields(1<<14+1, "F")}),
		"many types":           {"Methods": here, "Types": make([]m, 1<<12+1)},
		"types that are other": {"Methods": here, "Types": "none"},
	}
	odd := map[string]m{
		"holds itself":         one(m{"Kind": "list", "Elem": 0}),
		"an unknown kind":      one(m{"Kind": "\x1b[2J"}),
		"an unknown state":     {"Methods": []m{{"State": "\x00\x1b"}}},
		"many fields":          one(m{"Kind": "struct", "Fields": fields(1<<14, "F\x1b")}),
		"many types":           {"Methods": here, "Types": types},
		"a long local reason":  {"Methods": []m{{"State": "here", "Kind": 1, "LostReply": strings.Repeat("\n", 1<<20)}}, "Types": []m{{"Kind": "any"}}},
		"one name many times":  one(m{"Kind": "struct", "Fields": []m{{"Name": "Value"}, {"Name": "Value"}, {"Name": "Value"}}}),
		"a struct as an array": one(m{"Kind": "struct", "Array": true, "Fields": fields(1000, "F")}),
	}
	method := rpc.NewMethod[list, list]("Svc", "M")
	check := func(t *testing.T, reply m, methods ...describe.Method) (describe.Report, error) {
		a, b := rig.NewHosts(t)
		s := rig.NewServer(t, b)
		c := rig.Client(t, a)
		if err := s.RegisterName(describe.ServiceName, lying{reply}); err != nil {
			t.Fatal(err)
		}
		return describe.Check(rig.Context(t), c, b.ID(), append(methods, method)...)
	}
	for name, reply := range bad {
		t.Run("bad: "+name, func(t *testing.T) {
			t.Parallel()
			report, err := check(t, reply)
			if err == nil {
				t.Errorf("got %v, %v", report, err)
			}
		})
	}
	for name, reply := range odd {
		t.Run("odd: "+name, func(t *testing.T) {
			t.Parallel()
			report, err := check(t, reply)
			if err != nil || report.Err() == nil {
				t.Errorf("got %v, %v", report, err)
			}
			text := report.String()
			if len(text) > 64<<10 || strings.ContainsAny(text, "\x00\x1b") || strings.Count(text, "\n") > 200 {
				t.Errorf("the report of %d bytes: %.500q", len(text), text)
			}
		})
	}
	t.Run("large types of many methods", func(t *testing.T) {
		t.Parallel()
		large := one(m{"Kind": "struct", "Fields": fields(1<<14, "F")})
		large["Methods"] = slices.Repeat(here, 1<<10)
		report, err := check(t, large, slices.Repeat([]describe.Method{method}, 1<<10-1)...)
		if err != nil {
			t.Fatal(err)
		}
		if first := report.Methods[0]; len(first.Problems) == 0 {
			t.Errorf("%+v", first)
		}
		if last := report.Methods[1<<10-1]; !strings.Contains(strings.Join(last.Notes, ""), "not compared") {
			t.Errorf("all were compared: %+v", last)
		}
	})
}

// Who authorizes is asked about no names that a call could not have.
func TestDescriptionOfNamesThatAreTooLong(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	longest := new(atomic.Int64)
	s := rig.NewServer(t, b, rpc.WithDescriptions(true),
		rpc.WithAuthorizeFunc(func(_ peer.ID, svc, method string) bool {
			longest.Store(max(longest.Load(), int64(len(svc)+len(method))))
			return true
		}))
	c := rig.Client(t, a)
	t.Cleanup(func() { _ = s.Close() })
	type request struct{ Methods []rpc.ServiceID }
	type description struct{ Methods []struct{ State string } }
	var got description
	ask := request{[]rpc.ServiceID{{Name: strings.Repeat("x", 1<<20), Method: "M"}, {Name: "Svc", Method: "M"}}}
	if err := c.CallContext(rig.Context(t), b.ID(), describe.ServiceName, "Describe", ask, &got); err != nil {
		t.Fatal(err)
	}
	if n := longest.Load(); n > rpc.MaxServiceIDLength || len(got.Methods) != 2 || got.Methods[0] != got.Methods[1] {
		t.Errorf("asked about names of %d bytes; told %+v", n, got)
	}
}
