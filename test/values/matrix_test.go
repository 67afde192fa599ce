package values_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// The tables of docs/wire.md under "What fits what" and "In an interface" are
// asserted here: Go types by ways of carrying by places in a message. A row of a
// table is a rule; each has cases, and each case has a rule.

// columns are the ways of carrying. What P cannot keep is a column of its own.
var columns = []string{"local", "wire", "session", "P"}

// column returns a client and a server for one of them.
func column(t *testing.T, name string) rig.Setup {
	switch name {
	case "local":
		return rig.Local.Setup(t, rig.Options{})
	case "wire":
		return rig.Wire.Setup(t, rig.Options{})
	case "session":
		return rig.Session.Setup(t, rig.Options{})
	}
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	b.RemoveStreamHandler(rig.Extended) // as v0.6 has none
	b.RemoveStreamHandler(rig.Sessions)
	return rig.Setup{Client: rig.Client(t, a), Server: s, Dest: b.ID(), Sender: a.ID(), Host: a}
}

// within has a value in one of the places that a message has for it.
type within[T any] struct {
	Field T            `codec:",omitempty"`
	Elem  map[string]T `codec:",omitempty"`
	List  []T          `codec:",omitempty"`
	To    *T           `codec:",omitempty"`
	inner[T]
}

type inner[T any] struct {
	Embedded T `codec:",omitempty"`
}

// places puts a value into each.
func places[T any](v T) map[string]within[T] {
	return map[string]within[T]{
		"field": {Field: v}, "map value": {Elem: map[string]T{"k": v}}, "element": {List: []T{v}}, "pointer": {To: &v}, "embedded": {inner: inner[T]{v}},
	}
}

// takeOut takes it out again.
func takeOut[T any](place string, w within[T]) (v T) {
	switch place {
	case "field":
		return w.Field
	case "map value":
		return w.Elem["k"]
	case "element":
		if len(w.List) == 1 {
			return w.List[0]
		}
	case "pointer":
		if w.To != nil {
			return *w.To
		}
	case "embedded":
		return w.Embedded
	}
	return v
}

// meeting has methods that take a B and reply with an A, as an argument, a reply,
// and the items of a stream in each direction.
type meeting[A, B any] struct {
	mu    *sync.Mutex
	gives *A
	took  *B
}

func (m meeting[A, B]) take(v B) {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.took = v
}

func (m meeting[A, B]) Take(_ context.Context, v B, _ *int) error { m.take(v); return nil }

func (m meeting[A, B]) Give(_ context.Context, _ int, v *A) error { *v = *m.gives; return nil }

func (m meeting[A, B]) Takes(_ context.Context, in <-chan B, out chan<- int) error {
	defer close(out)
	for v := range in {
		m.take(v)
	}
	return nil
}

func (m meeting[A, B]) Gives(_ context.Context, in <-chan int, out chan<- A) error {
	defer close(out)
	for range in {
		out <- *m.gives
	}
	return nil
}

// ways sends an A to where a B is taken, in all ways, and returns what arrives.
func ways[A, B any](t *testing.T, s rig.Setup, svc string, v A) map[string]func() (B, error) {
	t.Helper()
	m := meeting[A, B]{new(sync.Mutex), &v, new(B)}
	if err := s.Server.RegisterName(svc, m); err != nil {
		t.Fatal(err)
	}
	ctx := rig.Context(t)
	taken := func() B {
		m.mu.Lock()
		defer m.mu.Unlock()
		v := *m.took
		*m.took = *new(B)
		return v
	}
	return map[string]func() (B, error){
		"argument": func() (B, error) {
			err := s.Client.CallContext(ctx, s.Dest, svc, "Take", v, new(int))
			return taken(), err
		},
		"reply": func() (got B, err error) {
			err = s.Client.CallContext(ctx, s.Dest, svc, "Give", 1, &got)
			return got, err
		},
		"stream argument": func() (B, error) {
			args, replies := make(chan A, 1), make(chan int)
			args <- v
			close(args)
			all := rig.Collect(replies)
			err := s.Client.Stream(ctx, s.Dest, svc, "Takes", args, replies)
			all()
			return taken(), err
		},
		"stream reply": func() (got B, err error) {
			args, replies := make(chan int, 1), make(chan B)
			args <- 1
			close(args)
			all := rig.Collect(replies)
			err = s.Client.Stream(ctx, s.Dest, svc, "Gives", args, replies)
			if items := all(); len(items) == 1 {
				got = items[0]
			}
			return got, err
		},
	}
}

// matrixCase is a case of a rule.
type matrixCase struct {
	rule string
	run  func(t *testing.T, column string, s rig.Setup, svc string)
}

// every runs f in each way with the value by itself, and in each place.
func every[A, B any](t *testing.T, s rig.Setup, svc string, v A, f func(what string, got B, err error)) {
	t.Helper()
	for way, call := range ways[A, B](t, s, svc, v) {
		got, err := call()
		f(way, got, err)
	}
	a, b := reflect.TypeFor[A](), reflect.TypeFor[B]()
	for place, w := range places(v) {
		if place == "element" && a != b && (a.Kind() == reflect.Uint8 || b.Kind() == reflect.Uint8) {
			continue // a list of them is bytes, which is another rule
		}
		for way, call := range ways[within[A], within[B]](t, s, svc+" "+place, w) {
			got, err := call()
			f(way+", "+place, takeOut(place, got), err)
		}
	}
}

// fits is a value that is taken as another type, but for local calls, whose types
// have to be the same.
func fits[A, B any](rule string, v A, want B) matrixCase {
	return matrixCase{rule, func(t *testing.T, column string, s rig.Setup, svc string) {
		same := reflect.TypeFor[A]() == reflect.TypeFor[B]()
		every(t, s, svc, v, func(what string, got B, err error) {
			switch {
			case column == "local" && !same:
				if err == nil && !reflect.DeepEqual(got, want) {
					t.Errorf("%s: %#v, locally, arrives as %#v", what, v, got)
				}
			case err != nil || !alike(got, want):
				t.Errorf("%s: %#v arrives as %#v, %v; want %#v", what, v, got, err, want)
			}
		})
	}}
}

// keeps is fits with the same type.
func keeps[T any](rule string, v T) matrixCase { return fits(rule, v, v) }

// alike compares, times as instants.
func alike(a, b any) bool {
	if at, ok := a.(time.Time); ok {
		return at.Equal(b.(time.Time))
	}
	return reflect.DeepEqual(a, b)
}

// misfits is a value that is refused, with words that say why.
func misfits[A, B any](rule string, v A, words string) matrixCase {
	return matrixCase{rule, func(t *testing.T, column string, s rig.Setup, svc string) {
		every(t, s, svc, v, func(what string, got B, err error) {
			if rpc.CodeOf(err) != codes.InvalidArgument {
				t.Errorf("%s: %#v arrives as %#v, %v", what, v, got, err)
			} else if says := strings.Contains(err.Error(), words); column != "local" && !says {
				// The caller of a unary method is told of the two types in place of the bytes.
				if way, _, _ := strings.Cut(what, ","); way != "argument" || !strings.Contains(err.Error(), "pass a value of that type") {
					t.Errorf("%s: %v does not say %q", what, err, words)
				}
			}
		})
	}}
}

// loses is a value that would lose something between peers, and arrives locally.
func loses[T any](rule string, v T, words string) matrixCase {
	return matrixCase{rule, func(t *testing.T, column string, s rig.Setup, svc string) {
		every(t, s, svc, v, func(what string, got T, err error) {
			switch {
			case column == "local":
				if err != nil || reflect.ValueOf(&got).Elem().IsZero() {
					t.Errorf("%s: %v, %v", what, got, err)
				}
			case err == nil || !strings.Contains(err.Error(), words) || !strings.Contains(err.Error(), "cannot travel"):
				t.Errorf("%s: arrives as %#v, %v; want words of %q", what, got, err, words)
			}
		})
		inAny := within[any]{Field: v}
		for way, call := range ways[within[any], within[any]](t, s, svc+" in an any", inAny) {
			if got, err := call(); (err == nil) != (column == "local") {
				t.Errorf("%s, in an any: arrives as %#v, %v", way, got, err)
			}
		}
	}}
}

// inAny is a value that an interface holds, and what it arrives as by today's form
// and by v0.6's.
func inAny(rule string, v, modern, plain any) matrixCase {
	return matrixCase{rule, func(t *testing.T, column string, s rig.Setup, svc string) {
		want := map[string]any{"local": v, "wire": modern, "session": modern, "P": plain}[column]
		every(t, s, svc, v, func(what string, got any, err error) {
			if what == "argument" && v == nil {
				return // it is none: such a call is refused
			}
			if err != nil || !alike(got, want) {
				t.Errorf("%s: %#v arrives as %#v, %v; want %#v", what, v, got, err, want)
			}
		})
	}}
}

// rules are the first cells of the rows of the tables.
func rules(t *testing.T) map[string]bool {
	t.Helper()
	b, err := os.ReadFile("../../docs/wire.md")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]bool)
	for _, heading := range []string{"### What fits what", "### In an interface", "### What would be lost"} {
		_, section, ok := strings.Cut(string(b), "\n"+heading+"\n")
		if !ok {
			t.Fatalf("docs/wire.md has no %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n#")
		rows := 0
		for line := range strings.Lines(section) {
			if cells := strings.Split(strings.TrimSpace(line), "|"); len(cells) > 3 {
				if rows++; rows > 2 { // after the head
					found[strings.TrimSpace(cells[1])] = false
				}
			}
		}
	}
	return found
}

func TestValuesFitAsTheTablesSay(t *testing.T) {
	t.Parallel()
	told := rules(t)
	for _, c := range matrix() {
		if _, ok := told[c.rule]; !ok {
			t.Errorf("no table of docs/wire.md has the row %q", c.rule)
		}
		told[c.rule] = true
	}
	for rule, tested := range told {
		if !tested {
			t.Errorf("nothing tests the row %q of docs/wire.md", rule)
		}
	}
	for _, name := range columns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := column(t, name)
			for i, c := range matrix() {
				t.Run(c.rule, func(t *testing.T) { c.run(t, name, s, fmt.Sprint("Svc", i)) })
			}
		})
	}
}

// What stays different between a local and a remote call is this and no more.
func TestWhatStaysDifferentLocally(t *testing.T) {
	t.Parallel()
	type shadows struct {
		Embedded
		E string // hides Embedded's
	}
	zone := time.FixedZone("x", 3600)
	for _, name := range columns {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := column(t, name)
			local := name == "local"
			check := func(what string, same bool, err error) {
				if err != nil || same != local {
					t.Errorf("%s: the same: %v, %v", what, same, err)
				}
			}
			list := []int{1}
			got, err := ways[[]int, []int](t, s, "Memory", list)["argument"]()
			check("memory", err == nil && &got[0] == &list[0], err)
			part, err := ways[unexported, unexported](t, s, "Unexported", unexported{1, 2, deepInner{}})["argument"]()
			check("unexported fields", part.hidden == 2, err)
			left, err := ways[tagged, tagged](t, s, "Tagged", tagged{Skipped: "x"})["argument"]()
			check("fields that are tagged to stay", left.Skipped == "x", err)
			under, err := ways[shadows, shadows](t, s, "Shadowed", shadows{Embedded{1}, "x"})["argument"]()
			check("fields that others hide", under.Embedded.E == 1, errors.Join(err, map[bool]error{false: errors.New(under.E)}[under.E == "x"]))
			typ, err := ways[any, any](t, s, "Named", named("x"))["argument"]()
			check("named types in an interface", typ == any(named("x")), err)
			at, err := ways[time.Time, time.Time](t, s, "Zone", time.Now().In(zone))["argument"]()
			check("a time's zone", at.Location() == zone, err)
		})
	}
}
