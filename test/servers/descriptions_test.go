package servers_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	"github.com/libp2p/go-libp2p-gorpc/policy"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Pins is a service with all kinds of types.
type Pins struct{}

type pin struct {
	Name     string
	Raw      []byte
	Of       cid.Cid
	Owner    peer.ID
	Addrs    []multiaddr.Multiaddr
	At       time.Time
	For      time.Duration
	Size     uint64 `codec:"size"`
	Next     *pin
	Anything any
	Hash     [32]byte
}

func (Pins) Get(context.Context, string, *pin) error                { return nil }
func (Pins) Put(context.Context, pin, *struct{}) error              { return nil }
func (Pins) Watch(context.Context, <-chan string, chan<- pin) error { return nil }

var pinsOptions = []rpc.ServerOption{
	rpc.WithDescriptions(true),
	rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc"}, rpc.MethodConfig{Doc: "What is kept.", Timeout: time.Minute}),
	rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc", Method: "Get"}, rpc.MethodConfig{
		Doc: "Get is a line.\nAnd another.", MessageSize: 1000, CallsPerPeer: 3, Rate: 2.5, Timeout: -1,
	}),
	rpc.WithServerLimits(rpc.Limits{CallsPerPeer: -1}),
}

// A peer lists what the caller may call, and nothing else.
func TestPeerDescribesWhatMayBeCalled(t *testing.T) {
	t.Parallel()
	some := policy.Rules{{Name: describe.ServiceName}: policy.Everyone(), {Name: "Svc", Method: "Get"}: policy.Everyone()}
	options := rig.Options{Server: append([]rpc.ServerOption{policy.With(some)}, pinsOptions...)}
	rig.OverAll(t, Pins{}, options, func(t *testing.T, s rig.Setup) {
		d, err := describe.Peer(rig.Context(t), s.Client, s.Dest)
		if err != nil {
			t.Fatal(err)
		}
		methods, name := 1, ""
		if s.Dest == s.Sender {
			methods = 3 // of a local call nobody is asked
		}
		for _, svc := range d.Services {
			name += svc.Name
			if len(svc.Methods) != methods || svc.Doc != "What is kept." {
				t.Errorf("got %+v", svc)
			}
		}
		get, ok := d.Method(rpc.ServiceID{Name: name, Method: "Get"})
		want := describe.OfferedMethod{
			Name: "Get", Doc: "Get is a line.", Kind: rpc.Unary, Args: "string", Reply: "servers_test.pin",
			Limits: describe.Limits{MessageSize: 1000, CallsPerPeer: 3, Rate: 2.5, Burst: 3},
		}
		if !ok || get != want {
			t.Errorf("got %+v", get)
		}
		if methods == 1 && len(d.Types) == 0 {
			t.Errorf("got %+v", d.Types)
		}
		var kinds []string
		for _, f := range d.Types["servers_test.pin"].Fields {
			kinds = append(kinds, f.Name+" "+d.Types[f.Type].Kind)
		}
		if got := strings.Join(kinds, ", "); got != "Name string, Raw bytes, Of cid, Owner peer, Addrs list, At time, For duration, size uint, Next struct, Anything any, Hash bytes" {
			t.Errorf("got %s", got)
		}
		again, err := describe.Read(d.JSON())
		if err != nil || !reflect.DeepEqual(again, d) || again.Hash() != d.Hash() || !bytes.Equal(again.JSON(), d.JSON()) {
			t.Errorf("read again: %v\n%s\n%s", err, again.JSON(), d.JSON())
		}
		if here := describe.Server(s.Server); methods == 3 && here.Hash() != d.Hash() || methods == 1 && here.Hash() == d.Hash() {
			t.Errorf("the server itself:\n%s", here.JSON())
		}
	})
	rig.OverAll(t, Pins{}, rig.Options{}, func(t *testing.T, s rig.Setup) {
		_, err := describe.Peer(rig.Context(t), s.Client, s.Dest)
		rig.CheckErr(t, err, rpc.ServerErr, codes.Unimplemented, "WithDescriptions")
	})
}

// Descriptions that peers make up are refused, or are harmless.
func TestPeerOfAHostileServer(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	method := func(more m) m {
		one := m{"State": "here", "Kind": 1, "Service": "S", "Name": "M"}
		for k, v := range more {
			one[k] = v
		}
		return m{"Methods": []m{one}, "Types": []m{{"Kind": "int", "Name": "int"}}}
	}
	describing := func(t *testing.T, reply m) (describe.Description, error) {
		a, b := rig.NewHosts(t)
		if err := rig.NewServer(t, b).RegisterName(describe.ServiceName, lying{reply}); err != nil {
			t.Fatal(err)
		}
		return describe.Peer(rig.Context(t), rig.Client(t, a), b.ID())
	}
	for name, reply := range map[string]m{
		"no name":          method(m{"Name": ""}),
		"a long name":      method(m{"Service": strings.Repeat("x", 257)}),
		"a long line":      method(m{"Doc": strings.Repeat("x", 257)}),
		"a long reason":    method(m{"LostArgs": strings.Repeat("x", 1<<20)}),
		"no number":        method(m{"Limits": m{"Rate": math.NaN()}}),
		"infinite":         method(m{"Limits": m{"Rate": math.Inf(1)}}),
		"a negative limit": method(m{"Limits": m{"Timeout": -1}}),
		"a type beyond":    method(m{"Args": 1}),
		"negative bits":    {"Methods": []m{{"Service": "S", "Name": "M"}}, "Types": []m{{"Kind": "int", "Bits": -64}}},
		"negative length":  {"Methods": []m{{"Service": "S", "Name": "M"}}, "Types": []m{{"Kind": "bytes", "Len": -1}}},
		"many methods":     {"Methods": make([]m, 1<<12+1), "Types": []m{{"Kind": "int"}}},
	} {
		if d, err := describing(t, reply); rpc.CodeOf(err) != codes.Internal {
			t.Errorf("%s: %v, %s", name, err, d.JSON())
		}
	}
	for name, reply := range map[string]m{
		"an odd name":     method(m{"Name": "\xff\x1b[2J", "Doc": "\xff"}),
		"types of a name": {"Methods": []m{{"Service": "S", "Name": "M"}}, "Types": []m{{"Kind": "list", "Elem": 1}, {"Kind": "list"}, {"Name": "#2", "Kind": "bool"}}},
		"nothing":         {},
	} {
		d, err := describing(t, reply)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		again, err := describe.Read(d.JSON())
		if name != "an odd name" && (err != nil || again.Hash() != d.Hash()) {
			t.Errorf("%s: %v\n%s", name, err, d.JSON())
		}
		if _, err := describe.Compare(d, d); name != "an odd name" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A server with a method that is too large to be described writes a file that is read.
func TestTypesTooLargeToBeDescribed(t *testing.T) {
	t.Parallel()
	fields := make([]reflect.StructField, 1<<14+1)
	for i := range fields {
		fields[i] = reflect.StructField{Name: fmt.Sprint("F", i), Type: reflect.TypeFor[bool]()}
	}
	form := reflect.TypeFor[func(context.Context, int, *int) error]()
	of := reflect.FuncOf([]reflect.Type{form.In(0), reflect.StructOf(fields), form.In(2)}, []reflect.Type{form.Out(0)}, false)
	s := rpc.NewServer(nil, rig.Protocol)
	none := func([]reflect.Value) []reflect.Value { return []reflect.Value{reflect.Zero(form.Out(0))} }
	if err := errors.Join(s.RegisterFunc("S", "Large", reflect.MakeFunc(of, none).Interface()), s.RegisterFunc("S", "M", reflect.MakeFunc(form, none).Interface())); err != nil {
		t.Fatal(err)
	}
	d := describe.Server(s)
	again, err := describe.Read(d.JSON())
	if m, ok := d.Method(rpc.ServiceID{Name: "S", Method: "Large"}); err != nil || again.Hash() != d.Hash() || !ok || m.Args != "" {
		t.Errorf("%v\n%s", err, d.JSON())
	}
}

// What is compared of methods beside their types.
func TestChangesOfMethods(t *testing.T) {
	t.Parallel()
	method := func(name string, kind rpc.Kind) describe.OfferedMethod {
		return describe.OfferedMethod{Name: name, Kind: kind, Args: "int", Reply: "int"}
	}
	types := map[string]describe.Type{"int": {Kind: "int", Bits: 64}}
	limited := method("Limited", rpc.Unary)
	limited.Limits = describe.Limits{MessageSize: 10, Timeout: time.Second}
	narrower := limited
	narrower.Limits = describe.Limits{MessageSize: 5, Timeout: time.Minute, Rate: 3}
	old := describe.Description{Types: types, Services: []describe.Service{
		{Name: "A", Methods: []describe.OfferedMethod{method("Gone", rpc.Unary), limited, method("Other", rpc.Unary), method("Same", rpc.Streaming)}},
		{Name: "Gone", Methods: []describe.OfferedMethod{method("M", rpc.Unary)}},
	}}
	now := describe.Description{Types: types, Services: []describe.Service{
		{Name: "A", Methods: []describe.OfferedMethod{narrower, method("New", rpc.Unary), method("Other", rpc.Streaming), method("Same", rpc.Streaming)}},
	}}
	changes, err := describe.Compare(old, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"breaking: A.Gone: the method is gone; keep",
		"compatible: A.Limited: messages have at most 5 bytes, and 10 before",
		"compatible: A.Limited: a peer may make at most 3 calls a second, and any number before",
		"breaking: A.Other: the method was unary, and is streaming; keep",
		"breaking: Gone.M: the service is gone; keep",
		"compatible: A.New: the method is new",
	}
	lines := strings.Split(strings.TrimSpace(changes.String()), "\n")
	for i, line := range lines {
		if i >= len(want) || !strings.HasPrefix(line, want[i]) {
			t.Errorf("line %d: %s", i, line)
		}
	}
	if len(lines) != len(want) || len(changes.Breaking()) != 3 || strings.Count(fmt.Sprint(changes.Err()), "\n") != 2 {
		t.Errorf("got %v, %v", changes, changes.Err())
	}
	if same, err := describe.Compare(now, now); err != nil || len(same) != 0 || same.Err() != nil {
		t.Errorf("of the same: %v, %v", same, err)
	}
	now.Services[0].Methods[0].Args = "none"
	if _, err := describe.Compare(old, now); err == nil || !strings.Contains(err.Error(), "the new description") || !strings.Contains(err.Error(), "A.Limited") {
		t.Errorf("got %v", err)
	}
	for _, text := range []string{"", "{", `{"services":[{"name":"S","methods":[{"name":"M","kind":"odd"}]}]}`, `{"service":[]}`, `{"types":{"T":{"kind":"list","elem":"U"}}}`} {
		if d, err := describe.Read([]byte(text)); err == nil {
			t.Errorf("%s: %+v", text, d)
		}
	}
}
