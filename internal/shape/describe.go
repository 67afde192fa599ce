// Package shape describes types as they are written, for a peer to compare with
// its own, and compares such descriptions.
package shape

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// ServiceName is the name of the service whose method Describe is asked.
const ServiceName = "rpc.Descriptions"

// OfServer describes all methods of a server of this process, a *rpc.Server. The root
// sets it.
var OfServer func(server any) Description

// How many methods one request may be about, and how many there may be of all.
const (
	MaxDescribed = 1 << 10
	MaxAll       = 1 << 12
)

// Request asks about methods, by their IDs, or about all that the caller may call.
type Request[ID any] struct {
	Methods []ID
	All     bool `codec:",omitempty"`
}

// What travels. Types are numbers of the Description's Types, so that a type may
// hold itself, and nothing nests.
type (
	Description struct {
		Methods  []Method // in the order of the request; of all, by service and name
		Types    []Type
		Services []Service `codec:",omitempty"` // those that have a Doc, where all are described
		More     bool      `codec:",omitempty"` // there are more methods than are described at once
	}
	Service struct{ Name, Doc string }
	Method  struct {
		Service   string `codec:",omitempty"` // where all are described
		Name      string `codec:",omitempty"` // so are the last two
		State     string
		Kind      uint8  `codec:",omitempty"`
		LostArgs  string `codec:",omitempty"` // a part that does not travel
		LostReply string `codec:",omitempty"`
		Args      int    `codec:",omitempty"`
		Reply     int    `codec:",omitempty"`
		Doc       string `codec:",omitempty"`
		Limits    Limits
	}
	Limits struct { // of one caller; 0 is none
		Timeout      time.Duration `codec:",omitempty"`
		MessageSize  int           `codec:",omitempty"`
		CallsPerPeer int           `codec:",omitempty"`
		Rate         float64       `codec:",omitempty"`
		Burst        int           `codec:",omitempty"`
	}
	Type struct {
		Kind   string  // how it is written
		Name   string  // in Go
		Bits   int     `codec:",omitempty"` // of a number
		Len    int     `codec:",omitempty"` // of an array
		Key    int     `codec:",omitempty"` // of a map
		Elem   int     `codec:",omitempty"` // of a list or a map
		Fields []Field `codec:",omitempty"`
		Array  bool    `codec:",omitempty"` // a struct that is written as an array
	}
	Field struct {
		Name string
		Type int
	}
)

// States of a described method.
const (
	Here      = "here"
	Absent    = "absent"
	NoService = "no such service"
	Denied    = "denied"
	TooLarge  = "too large"
)

// Kinds of a described type: what is written, and for people what it is.
const (
	KindAny       = "any"
	KindBool      = "bool"
	KindInt       = "int"
	KindUint      = "uint"
	KindFloat     = "float"
	KindDuration  = "duration" // an int of nanoseconds
	KindString    = "string"   // it fits bytes
	KindBytes     = "bytes"
	KindList      = "list" // a slice, or an array
	KindMap       = "map"
	KindStruct    = "struct"
	KindOwn       = "own" // bytes that the type makes of itself; so are the next four
	KindTime      = "time"
	KindPeer      = "peer"
	KindCID       = "cid"
	KindMultiaddr = "multiaddr"
	KindOther     = "other" // fits the same Go type
)

// known are types with a kind of their own, by package and name.
var known = map[[2]string]string{
	{"time", "time.Time"}:                                           KindTime,
	{"time", "time.Duration"}:                                       KindDuration,
	{"github.com/libp2p/go-libp2p/core/peer", "peer.ID"}:            KindPeer,
	{"github.com/ipfs/go-cid", "cid.Cid"}:                           KindCID,
	{"github.com/multiformats/go-multiaddr", "multiaddr.Multiaddr"}: KindMultiaddr,
}

// The bounds of a Description, which hold for what is sent and for what is
// received.
const (
	maxTypes  = 1 << 12
	maxFields = 1 << 14 // of all types together
	maxName   = 128
	maxDoc    = 256
	mostID    = 256
	maxDepth  = 100 // of pointers
)

// Describer makes a Description of types of one representation, T.
type Describer[T comparable] struct {
	Description
	Rules  travels.Reader[T]
	known  map[T]int
	fields int
	over   bool
}

// Method describes a method; kind is the caller's own number for its form.
func (d *Describer[T]) Method(kind uint8, arg, reply T) Method {
	m := Method{State: Here, Kind: kind, LostArgs: d.lost(arg), LostReply: d.lost(reply), Args: d.add(arg), Reply: d.add(reply)}
	if d.over {
		return Method{State: TooLarge, Kind: kind}
	}
	return m
}

// lost says which part of a type does not travel, and why.
func (d *Describer[T]) lost(t T) string {
	path, why := travels.Obstacle(d.Rules, t)
	if why == "" {
		return ""
	}
	return Trimmed(travels.Describe(travels.Names(path), why))
}

// add returns the number of the type.
func (d *Describer[T]) add(t T) int {
	rules := d.Rules
	for range maxDepth {
		if rules.Kind(t) != reflect.Pointer || rules.Implements(t, travels.Selfer) {
			break
		}
		t = rules.Elem(t) // nil is a zero value
	}
	if n, ok := d.known[t]; ok {
		return n
	}
	if d.over = d.over || len(d.Types) >= maxTypes; d.over {
		return 0
	}
	if d.known == nil {
		d.known = make(map[T]int)
	}
	n := len(d.Types)
	d.known[t] = n
	d.Types = append(d.Types, Type{Name: Trimmed(rules.String(t))})
	described := d.describe(t)
	described.Name = d.Types[n].Name
	d.Types[n] = described
	return n
}

func (d *Describer[T]) describe(t T) Type {
	rules := d.Rules
	if travels.Marshals(rules, t) && rules.Kind(t) != reflect.Interface {
		return Type{Kind: cmp.Or(known[[2]string{rules.Package(t), rules.String(t)}], KindOwn)}
	}
	switch k := rules.Kind(t); k {
	case reflect.Bool:
		return Type{Kind: KindBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Type{Kind: cmp.Or(known[[2]string{rules.Package(t), rules.String(t)}], KindInt), Bits: rules.Bits(t)}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return Type{Kind: KindUint, Bits: rules.Bits(t)}
	case reflect.Float32, reflect.Float64:
		return Type{Kind: KindFloat, Bits: rules.Bits(t)}
	case reflect.Interface:
		return Type{Kind: KindAny}
	case reflect.String:
		return Type{Kind: KindString}
	case reflect.Slice, reflect.Array:
		length := 0
		if k == reflect.Array {
			length = rules.Len(t)
		}
		if rules.Kind(rules.Elem(t)) == reflect.Uint8 {
			return Type{Kind: KindBytes, Len: length}
		}
		return Type{Kind: KindList, Len: length, Elem: d.add(rules.Elem(t))}
	case reflect.Map:
		return Type{Kind: KindMap, Key: d.add(rules.Key(t)), Elem: d.add(rules.Elem(t))}
	case reflect.Struct:
		return d.describeStruct(t)
	}
	return Type{Kind: KindOther}
}

func (d *Describer[T]) describeStruct(t T) Type {
	of := travels.StructOf(d.Rules, t)
	if d.fields += len(of.Fields); d.fields > maxFields {
		d.over = true
		return Type{Kind: KindStruct}
	}
	s := Type{Kind: KindStruct, Fields: make([]Field, len(of.Fields)), Array: of.Array}
	for i, f := range of.Fields {
		if len(f.Name) > maxName {
			d.over = true // a name that is cut is another one
		}
		s.Fields[i] = Field{f.Name, d.add(f.Type)}
	}
	return s
}

// Trimmed bounds a name that is only for people to read.
func Trimmed(s string) string { return trimmed(s, maxName) }

// Line returns the first line of a text, bounded.
func Line(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return trimmed(s, maxDoc)
}

func trimmed(s string, most int) string {
	if len(s) <= most {
		return s
	}
	s = s[:most-3]
	for !utf8.ValidString(s) && len(s) > 0 {
		s = s[:len(s)-1]
	}
	return s + "..."
}

// bitsOf are the sizes that types of each kind may have. Kinds without a size have none.
var bitsOf = map[string][]int{
	KindAny: {0}, KindBool: {0}, KindInt: {8, 16, 32, 64}, KindUint: {8, 16, 32, 64}, KindFloat: {32, 64}, KindDuration: {64},
	KindString: {0}, KindBytes: {0}, KindList: {0}, KindMap: {0}, KindStruct: {0}, KindOwn: {0}, KindTime: {0}, KindPeer: {0},
	KindCID: {0}, KindMultiaddr: {0}, KindOther: {0},
}

// Wrong says what of the type cannot be, or is of another version: a comparison of it
// would say nothing. It returns no text if all is right.
func (t *Type) Wrong() string {
	bits, known := bitsOf[t.Kind]
	switch {
	case !known:
		return fmt.Sprintf("is of the kind %q, which this version does not know", Trimmed(t.Kind))
	case !slices.Contains(bits, t.Bits):
		return fmt.Sprintf("is of the kind %s and has %d bits", t.Kind, t.Bits)
	case t.Len < 0 || t.Len > 0 && t.Kind != KindList && t.Kind != KindBytes:
		return fmt.Sprintf("is of the kind %s and has the length %d", t.Kind, t.Len)
	case t.Kind != KindStruct && (t.Array || len(t.Fields) > 0):
		return fmt.Sprintf("is of the kind %s and has what only a struct has: fields", t.Kind)
	}
	return ""
}

// Valid reports what is wrong with a description that a peer has sent, of so many
// methods that were asked about, or of all.
func (d *Description) Valid(methods int, all bool) error {
	if len(d.Methods) != methods && !all {
		return fmt.Errorf("it describes %d methods, and %d were asked about", len(d.Methods), methods)
	}
	if len(d.Methods) > MaxAll && all {
		return fmt.Errorf("it describes %d methods, and %d may be", len(d.Methods), MaxAll)
	}
	if len(d.Types) > maxTypes {
		return fmt.Errorf("it has %d types, and %d may be", len(d.Types), maxTypes)
	}
	known := func(n int) bool { return n >= 0 && n < max(len(d.Types), 1) }
	fields := 0
	for i := range d.Types {
		t := &d.Types[i]
		if fields += len(t.Fields); fields > maxFields {
			return fmt.Errorf("it has more than %d fields", maxFields)
		}
		if t.Bits < 0 || t.Len < 0 {
			return fmt.Errorf("type %d, %s, has %d bits and the length %d: neither may be negative", i, Word(t.Name), t.Bits, t.Len)
		}
		if !known(t.Elem) || !known(t.Key) {
			return fmt.Errorf("type %d is of a type that is not there", i)
		}
		for _, f := range t.Fields {
			if !known(f.Type) || len(f.Name) > maxName {
				return fmt.Errorf("a field of type %d is of a type that is not there, or has a long name", i)
			}
		}
	}
	for i, m := range d.Methods {
		if !known(m.Args) || !known(m.Reply) || m.State == Here && len(d.Types) == 0 {
			return fmt.Errorf("method %d has a type that is not there", i)
		}
	}
	if all {
		return d.validTexts()
	}
	return nil
}

// validTexts is Valid for what only a description of all methods has.
func (d *Description) validTexts() error {
	for i, m := range d.Methods {
		switch l := m.Limits; {
		case m.Service == "" || m.Name == "" || len(m.Service)+len(m.Name) > mostID:
			return fmt.Errorf("method %d has no name, or a long one", i)
		case len(m.Doc) > maxDoc || len(m.LostArgs) > maxName || len(m.LostReply) > maxName:
			return fmt.Errorf("method %d has a text that is too long", i)
		case !(l.Rate >= 0 && l.Rate <= math.MaxFloat64) || l.Timeout < 0 || l.MessageSize < 0 || l.CallsPerPeer < 0 || l.Burst < 0:
			return fmt.Errorf("method %d has a limit that is none", i)
		}
	}
	for i, t := range d.Types {
		if len(t.Name) > maxName || len(t.Kind) > maxName {
			return fmt.Errorf("type %d has a long name", i)
		}
	}
	if len(d.Services) > MaxAll {
		return fmt.Errorf("it has %d services, and %d may be", len(d.Services), MaxAll)
	}
	for i, s := range d.Services {
		if len(s.Name) > mostID || len(s.Doc) > maxDoc {
			return fmt.Errorf("service %d has a text that is too long", i)
		}
	}
	return nil
}
