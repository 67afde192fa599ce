package servers_test

import (
	"bytes"
	"context"
	"encoding"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var update = flag.Bool("update", false, "write the tables of docs/evolving.md anew")

// evolving is a change of a type, of an argument and of a reply. An old client, which has
// the old type, calls a new server; what is safe has to arrive, and what is breaking
// fails, or loses something, for the samples.
type evolving struct {
	change string
	rules  [2]string                                        // of an argument, and of a reply
	calls  [2]func(t *testing.T, s rig.Setup) (bool, error) // whether what arrives is what was sent
	serve  [2]func(t *testing.T, s *rpc.Server)             // in the old version, and in the new one
}

// becomes is a change from Old to New, with a value of each that shows it.
func becomes[Old, New any](change string, old Old, new New) evolving {
	argument := rpc.NewMethod[Old, struct{}]("Old", "Takes")
	reply := rpc.NewMethod[struct{}, Old]("Old", "Gives")
	var got New
	e := evolving{change: change}
	e.serve[0] = func(t *testing.T, s *rpc.Server) {
		rig.MustHandle(t, s, argument, func(context.Context, Old) (struct{}, error) { return struct{}{}, nil })
		rig.MustHandle(t, s, reply, func(context.Context, struct{}) (Old, error) { return old, nil })
	}
	e.serve[1] = func(t *testing.T, s *rpc.Server) {
		rig.MustHandle(t, s, rpc.NewMethod[New, struct{}]("Old", "Takes"), func(_ context.Context, a New) (struct{}, error) {
			got = a
			return struct{}{}, nil
		})
		rig.MustHandle(t, s, rpc.NewMethod[struct{}, New]("Old", "Gives"), func(context.Context, struct{}) (New, error) { return new, nil })
	}
	e.calls[0] = func(t *testing.T, s rig.Setup) (bool, error) {
		_, err := argument.Call(rig.Context(t), s.Client, s.Dest, old)
		return holds(valueOf(old), valueOf(got)), err
	}
	e.calls[1] = func(t *testing.T, s rig.Setup) (bool, error) {
		told, err := reply.Call(rig.Context(t), s.Client, s.Dest, struct{}{})
		return holds(valueOf(told), valueOf(new)), err
	}
	return e
}

func valueOf[T any](v T) reflect.Value { return reflect.Indirect(reflect.ValueOf(&v)) }

// holds reports whether of a struct the old side's fields are, by their names, what
// the new side's are. Bytes are not the value of which they are the form. Other values
// are not compared: they arrive, or fail.
func holds(old, new reflect.Value) bool {
	if form := reflect.TypeFor[encoding.BinaryMarshaler](); old.Type().Implements(form) != new.Type().Implements(form) {
		return false
	}
	if old.Kind() != reflect.Struct || new.Kind() != reflect.Struct || old.Type() == reflect.TypeFor[time.Time]() {
		return true
	}
	for i := range old.NumField() {
		if !old.Type().Field(i).IsExported() {
			continue
		}
		f := new.FieldByName(old.Type().Field(i).Name)
		if !f.IsValid() || f.Kind() == old.Field(i).Kind() && !reflect.DeepEqual(f.Interface(), old.Field(i).Interface()) {
			return false
		}
	}
	return true
}

type (
	itemV1    struct{ Name string }
	itemAdded struct {
		Name string
		Size int
	}
	itemRenamed struct{ Title string }
	itemTagged  struct {
		Name string `codec:"Name,omitempty"`
	}
	itemOrder struct {
		Size int
		Name string
	}
	itemFunc struct {
		Name string
		Done func()
	}
	placesV1 struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		Name    string
		Size    int
	}
	placesMore struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		Name    string
		Size    int
		Note    string
	}
	placesOrder struct {
		_struct bool `codec:",toarray"` //lint:ignore U1000 the codec looks for it
		Size    int
		Name    string
	}
)

const aPeer = peer.ID("\x00\x04peer")

var evolvings = []evolving{
	becomes("a field is added", itemV1{"x"}, itemAdded{"x", 3}),
	becomes("a field is removed", itemAdded{"x", 3}, itemV1{"x"}),
	becomes("a field is renamed", itemV1{"x"}, itemRenamed{"x"}),
	becomes("fields change their order", itemAdded{"x", 3}, itemOrder{3, "x"}),
	becomes("`omitempty` is set", itemV1{"x"}, itemTagged{"x"}),
	becomes("a field that cannot travel is added", itemV1{"x"}, itemFunc{"x", func() {}}),
	becomes("`toarray`: a field is added at the end", placesV1{Name: "x"}, placesMore{Name: "x", Note: "n"}),
	becomes("`toarray`: fields change their order", placesV1{Name: "x"}, placesOrder{Name: "x"}),
	becomes("a struct becomes a pointer to it", itemV1{"x"}, &itemV1{"x"}),
	becomes("a struct becomes a `map[string]string`", itemV1{"x"}, map[string]string{"Name": "x"}),
	becomes("a struct becomes a list", itemV1{"x"}, []itemV1{{"x"}}),
	becomes("a struct becomes an `any`", itemV1{"x"}, any("x")),
	becomes("an `any` becomes a struct", any("x"), itemV1{"x"}),
	becomes("an `int32` becomes an `int64`", int32(3), int64(1)<<40),
	becomes("an `int64` becomes an `int32`", int64(1)<<40, int32(3)),
	becomes("an `int` becomes a `uint`", -1, uint(1)<<63),
	becomes("an `int` becomes a `float64`", 3, 3.5),
	becomes("a `float64` becomes an `int`", 3.5, 3),
	becomes("a `time.Duration` becomes an `int64`", time.Second, int64(3)),
	becomes("an `int` becomes a `string`", 3, "x"),
	becomes("a `string` becomes a `[]byte`", "x", []byte("x")),
	becomes("a `[]byte` becomes a `[4]byte`", []byte("x"), [4]byte{}),
	becomes("a `[]int` becomes a `[]int64`", []int{3}, []int64{3}),
	becomes("a `[]int` becomes a `[2]int`", []int{3}, [2]int{}),
	becomes("a `map[string]int` becomes a `map[int]int`", map[string]int{"x": 1}, map[int]int{1: 1}),
	becomes("a `peer.ID` becomes a `string`", aPeer, "x"),
	becomes("a `string` becomes a `peer.ID`", "x", aPeer),
	becomes("a `time.Time` becomes an `int64`", time.Unix(1, 0), int64(1)),
}

// TestEvolving holds the tables of docs/evolving.md: the rules, and changes of types as
// they judge them, which are tried between an old client and a new server.
func TestEvolving(t *testing.T) {
	t.Parallel()
	var rules, changes strings.Builder
	breaking := make(map[string]bool)
	rules.WriteString("| Rule | What is different | Peers of the version before | Mend |\n| --- | --- | --- | --- |\n")
	for _, r := range describe.Rules() {
		breaking[r.Name] = r.Breaking
		verdict := r.Then
		if r.Breaking {
			verdict = "**break**: " + verdict
		}
		fmt.Fprintf(&rules, "| `%s` | %s | %s | %s |\n", r.Name, r.Change, verdict, r.Mend)
	}
	changes.WriteString("| Change | Of an argument | Of a reply |\n| --- | --- | --- |\n")
	for i := range evolvings {
		e := &evolvings[i]
		e.judge(t)
		fmt.Fprintf(&changes, "| %s |", e.change)
		for _, rule := range e.rules {
			switch {
			case rule == "":
				changes.WriteString(" safe |")
			case breaking[rule]:
				fmt.Fprintf(&changes, " **breaks**: `%s` |", rule)
			default:
				fmt.Fprintf(&changes, " safe: `%s` |", rule)
			}
		}
		changes.WriteString("\n")
		for side, rule := range e.rules {
			e.try(t, side, breaking[rule])
		}
	}
	checkTable(t, "rules", rules.String())
	checkTable(t, "changes", changes.String())
}

// judge compares the versions.
func (e *evolving) judge(t *testing.T) {
	var described [2]describe.Description
	for i, serve := range e.serve {
		s := rpc.NewServer(nil, rig.Protocol)
		t.Cleanup(func() { _ = s.Close() })
		serve(t, s)
		described[i] = describe.Server(s)
	}
	changes, err := describe.Compare(described[0], described[1])
	if err != nil {
		t.Fatalf("%s: %v", e.change, err)
	}
	for _, c := range changes {
		side := 0
		if c.Method == "Old.Gives" {
			side = 1
		}
		if e.rules[side] == "" || c.Breaking {
			e.rules[side] = c.Rule
		}
	}
}

// try has an old client call a new server, one way by itself so that no way falls back
// on another.
func (e *evolving) try(t *testing.T, side int, breaking bool) {
	a, b := rig.NewHosts(t)
	s := rig.NewServer(t, b)
	e.serve[1](t, s)
	whole, err := e.calls[side](t, rig.Setup{Client: rig.Client(t, a), Server: s, Dest: b.ID()})
	if broke := err != nil || !whole; broke != breaking {
		t.Errorf("%s, %s: breaking is %v, and the call: %v, whole: %v", e.change, [...]string{"argument", "reply"}[side], breaking, err, whole)
	}
}

// checkTable compares a table with that of the document, which stands between two marks.
func checkTable(t *testing.T, name, table string) {
	t.Helper()
	const file = "../../docs/evolving.md"
	doc, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	begin, end := fmt.Appendf(nil, "<!-- table: %s -->\n", name), []byte("<!-- end -->")
	before, rest, ok := bytes.Cut(doc, begin)
	had, after, ok2 := bytes.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no table %s", file, name)
	}
	if string(had) == "\n"+table+"\n" {
		return
	}
	if !*update {
		t.Errorf("%s: the table %s is not that of the rules: go test ./test/servers -run TestEvolving -update", file, name)
		return
	}
	doc = bytes.Join([][]byte{before, begin, []byte("\n" + table + "\n"), end, after}, nil)
	if err := os.WriteFile(file, doc, 0o644); err != nil {
		t.Fatal(err)
	}
}
