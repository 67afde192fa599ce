package describe

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// text is a peer's word as JSON can have it.
func text(s string) string { return strings.ToValidUTF8(s, "\ufffd") }

// public is a valid description as programs see it.
func public(d *shape.Description) Description {
	keys := keysOf(d.Types)
	p := Description{Services: []Service{}, Types: make(map[string]Type, len(keys)), Truncated: d.More}
	for i, t := range d.Types {
		of := Type{Kind: text(t.Kind), Bits: t.Bits, Len: t.Len, Array: t.Array}
		switch t.Kind {
		case shape.KindMap:
			of.Key, of.Elem = keys[t.Key], keys[t.Elem]
		case shape.KindList:
			of.Elem = keys[t.Elem]
		}
		for _, f := range t.Fields {
			of.Fields = append(of.Fields, Field{text(f.Name), keys[f.Type]})
		}
		p.Types[keys[i]] = of
	}
	docs := make(map[string]string)
	for _, s := range d.Services {
		docs[s.Name] = text(s.Doc)
	}
	services := make(map[string]*Service)
	for _, m := range d.Methods {
		s := services[m.Service]
		if s == nil {
			s = &Service{Name: text(m.Service), Doc: docs[m.Service]}
			services[m.Service] = s
		}
		offered := OfferedMethod{Name: text(m.Name), Doc: text(m.Doc), Kind: rpc.Kind(m.Kind), LostArgs: text(m.LostArgs), LostReply: text(m.LostReply), Limits: Limits(m.Limits)}
		if m.State == shape.Here {
			offered.Args, offered.Reply = keys[m.Args], keys[m.Reply]
		}
		s.Methods = append(s.Methods, offered)
	}
	for _, name := range slices.Sorted(maps.Keys(services)) {
		s := services[name]
		slices.SortStableFunc(s.Methods, func(a, b OfferedMethod) int { return strings.Compare(a.Name, b.Name) })
		p.Services = append(p.Services, *s)
	}
	return p
}

// keysOf names types: by their names in Go, each once.
func keysOf(types []shape.Type) []string {
	keys := make([]string, len(types))
	taken := make(map[string]bool, len(types))
	last := make(map[string]int)
	for i, t := range types {
		name := text(t.Name)
		key := name
		for taken[key] {
			last[name]++
			key = fmt.Sprintf("%s#%d", name, last[name]+1)
		}
		taken[key], keys[i] = true, key
	}
	return keys
}

// private is the description as comparisons see it, with methods in its order, or what
// is wrong with it.
func private(p *Description) (*shape.Description, error) {
	d := &shape.Description{More: p.Truncated}
	names := slices.Sorted(maps.Keys(p.Types))
	number := make(map[string]int, len(names))
	for i, name := range names {
		number[name] = i
	}
	var missing error
	of := func(key, where string) int {
		n, ok := number[key]
		if !ok && missing == nil {
			missing = fmt.Errorf("%s is of the type %q, which is not among the types", where, key)
		}
		return n
	}
	for _, name := range names {
		t := p.Types[name]
		goName, _, _ := strings.Cut(name, "#")
		to := shape.Type{Kind: t.Kind, Name: goName, Bits: t.Bits, Len: t.Len, Array: t.Array}
		for _, f := range t.Fields {
			to.Fields = append(to.Fields, shape.Field{Name: f.Name, Type: of(f.Type, "the field "+f.Name+" of "+name)})
		}
		if wrong := to.Wrong(); wrong != "" {
			return nil, fmt.Errorf("the type %s %s", shape.Word(name), wrong)
		}
		switch t.Kind {
		case shape.KindMap:
			to.Key, to.Elem = of(t.Key, "the key of "+name), of(t.Elem, "the element of "+name)
		case shape.KindList:
			to.Elem = of(t.Elem, "the element of "+name)
		}
		d.Types = append(d.Types, to)
	}
	twice := make(map[rpc.ServiceID]bool)
	for _, s := range p.Services {
		for _, m := range s.Methods {
			if id := (rpc.ServiceID{Name: s.Name, Method: m.Name}); twice[id] {
				return nil, fmt.Errorf("it describes %v twice", id)
			} else {
				twice[id] = true
			}
			to := shape.Method{
				Service: s.Name, Name: m.Name, State: shape.Here, Kind: uint8(m.Kind), LostArgs: m.LostArgs, LostReply: m.LostReply, Doc: m.Doc, Limits: shape.Limits(m.Limits),
			}
			if m.Args == "" && m.Reply == "" {
				to.State = shape.TooLarge
			} else {
				id := s.Name + "." + m.Name
				to.Args, to.Reply = of(m.Args, "the argument of "+id), of(m.Reply, "the reply of "+id)
			}
			d.Methods = append(d.Methods, to)
		}
	}
	if missing != nil {
		return nil, missing
	}
	return d, d.Valid(0, true)
}

// plainMethod is an OfferedMethod without methods.
type plainMethod OfferedMethod

type methodJSON struct {
	Kind string `json:"kind"`
	plainMethod
}

// MarshalJSON writes the kind as a word.
func (m OfferedMethod) MarshalJSON() ([]byte, error) {
	return json.Marshal(methodJSON{m.Kind.String(), plainMethod(m)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (m *OfferedMethod) UnmarshalJSON(b []byte) error {
	var from methodJSON
	if err := strictly(b, &from); err != nil {
		return err
	}
	*m = OfferedMethod(from.plainMethod)
	for kind := range rpc.Streaming + 1 {
		if kind.String() == from.Kind {
			m.Kind = kind
			return nil
		}
	}
	return fmt.Errorf("%q is no kind of method", from.Kind)
}

type limitsJSON struct {
	Timeout      string  `json:"timeout,omitempty"`
	MessageSize  int     `json:"messageSize,omitempty"`
	CallsPerPeer int     `json:"callsPerPeer,omitempty"`
	Rate         float64 `json:"rate,omitempty"`
	Burst        int     `json:"burst,omitempty"`
}

// MarshalJSON writes the timeout as people do.
func (l Limits) MarshalJSON() ([]byte, error) {
	to := limitsJSON{MessageSize: l.MessageSize, CallsPerPeer: l.CallsPerPeer, Rate: l.Rate, Burst: l.Burst}
	if l.Timeout > 0 {
		to.Timeout = l.Timeout.String()
	}
	return json.Marshal(to)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (l *Limits) UnmarshalJSON(b []byte) (err error) {
	var from limitsJSON
	if err := strictly(b, &from); err != nil {
		return err
	}
	*l = Limits{MessageSize: from.MessageSize, CallsPerPeer: from.CallsPerPeer, Rate: from.Rate, Burst: from.Burst}
	if from.Timeout != "" {
		l.Timeout, err = time.ParseDuration(from.Timeout)
	}
	return err
}
