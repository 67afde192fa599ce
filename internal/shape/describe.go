// Package shape describes types as they are written, for a peer to compare with
// its own, and compares such descriptions.
package shape

import (
	"fmt"
	"reflect"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// Service is the name of the service whose method Describe is asked.
const Service = "rpc.Descriptions"

// MaxDescribed is how many methods one request may be about.
const MaxDescribed = 1 << 10

// Request asks about methods, by their IDs.
type Request[ID any] struct{ Methods []ID }

// What travels. Types are numbers of the Description's Types, so that a type may
// hold itself, and nothing nests.
type (
	Description struct {
		Methods []Method // in the order of the request
		Types   []Type
	}
	Method struct {
		State     string
		Kind      uint8  `codec:",omitempty"`
		LocalOnly string `codec:",omitempty"`
		Args      int    `codec:",omitempty"`
		Reply     int    `codec:",omitempty"`
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

// Kinds of a described type: what is written, not what it is in Go.
const (
	kindAny    = "any"
	kindBool   = "bool"
	kindInt    = "int"
	kindUint   = "uint"
	kindFloat  = "float"
	kindOther  = "other"  // fits the same Go type
	kindRaw    = "raw"    // a string, or bytes
	kindList   = "list"   // a slice, or an array
	kindMap    = "map"    //
	kindStruct = "struct" //
	kindOwn    = "own"    // bytes that the type makes of itself
)

// The bounds of a Description, which hold for what is sent and for what is
// received.
const (
	maxTypes  = 1 << 12
	maxFields = 1 << 14 // of all types together
	maxName   = 128
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
	m := Method{State: Here, Kind: kind, Args: d.add(arg), Reply: d.add(reply)}
	if d.over {
		return Method{State: TooLarge, Kind: kind}
	}
	return m
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
		return Type{Kind: kindOwn}
	}
	switch k := rules.Kind(t); k {
	case reflect.Bool:
		return Type{Kind: kindBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return Type{Kind: kindInt, Bits: rules.Bits(t)}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return Type{Kind: kindUint, Bits: rules.Bits(t)}
	case reflect.Float32, reflect.Float64:
		return Type{Kind: kindFloat, Bits: rules.Bits(t)}
	case reflect.Interface:
		return Type{Kind: kindAny}
	case reflect.String:
		return Type{Kind: kindRaw}
	case reflect.Slice, reflect.Array:
		length := 0
		if k == reflect.Array {
			length = rules.Len(t)
		}
		if rules.Kind(rules.Elem(t)) == reflect.Uint8 {
			return Type{Kind: kindRaw, Len: length}
		}
		return Type{Kind: kindList, Len: length, Elem: d.add(rules.Elem(t))}
	case reflect.Map:
		return Type{Kind: kindMap, Key: d.add(rules.Key(t)), Elem: d.add(rules.Elem(t))}
	case reflect.Struct:
		return d.describeStruct(t)
	}
	return Type{Kind: kindOther}
}

func (d *Describer[T]) describeStruct(t T) Type {
	of := travels.StructOf(d.Rules, t)
	if d.fields += len(of.Fields); d.fields > maxFields {
		d.over = true
		return Type{}
	}
	s := Type{Kind: kindStruct, Fields: make([]Field, len(of.Fields)), Array: of.Array}
	for i, f := range of.Fields {
		if len(f.Name) > maxName {
			d.over = true // a name that is cut is another one
		}
		s.Fields[i] = Field{f.Name, d.add(f.Type)}
	}
	return s
}

// Trimmed bounds what is only for people to read.
func Trimmed(s string) string {
	if len(s) <= maxName {
		return s
	}
	s = s[:maxName-3]
	for !utf8.ValidString(s) && len(s) > 0 {
		s = s[:len(s)-1]
	}
	return s + "..."
}

// Valid reports what is wrong with a description that a peer has sent, of so
// many methods.
func (d *Description) Valid(methods int) error {
	if len(d.Methods) != methods {
		return fmt.Errorf("it describes %d methods, and %d were asked about", len(d.Methods), methods)
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
	return nil
}
