package rpc

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"
)

// DescriptionService is the name of the service that [WithDescriptions]
// registers. It has one method, Describe.
const DescriptionService = "rpc.Descriptions"

// WithDescriptions says whether a server describes its methods to clients that
// ask ([Client.Check]): their kinds and the shapes of their types. Default
// false. Who may ask is for authorization to say, as of any method (the service
// is [DescriptionService]), and a caller is told nothing of methods that it may
// not call.
func WithDescriptions(on bool) ServerOption {
	return func(s *Server) { s.describes = on }
}

// What travels. Types are numbers of the description's Types, so that a type may
// hold itself, and nothing nests.
type (
	describeRequest struct {
		Methods []ServiceID
	}
	description struct {
		Methods []describedMethod // in the order of the request
		Types   []describedType
	}
	describedMethod struct {
		State     string
		Kind      Kind   `codec:",omitempty"`
		LocalOnly string `codec:",omitempty"`
		Args      int    `codec:",omitempty"`
		Reply     int    `codec:",omitempty"`
	}
	describedType struct {
		Kind   string           // how it is written
		Name   string           // in Go
		Bits   int              `codec:",omitempty"` // of a number
		Len    int              `codec:",omitempty"` // of an array
		Key    int              `codec:",omitempty"` // of a map
		Elem   int              `codec:",omitempty"` // of a list or a map
		Fields []describedField `codec:",omitempty"`
		Array  bool             `codec:",omitempty"` // a struct that is written as an array
	}
	describedField struct {
		Name string
		Type int
	}
)

// States of a described method.
const (
	describedHere     = "here"
	describedAbsent   = "absent"
	describedNone     = "no such service"
	describedDenied   = "denied"
	describedTooLarge = "too large"
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

// The bounds of a description, which hold for what is sent and for what is
// received.
const (
	maxDescribed       = 1 << 10 // methods
	maxDescribedTypes  = 1 << 12
	maxDescribedFields = 1 << 14 // of all types together
	maxDescribedName   = 128
	maxDescribedDepth  = 100 // of pointers
)

// registerDescriptions makes the server describe itself.
func (s *Server) registerDescriptions() {
	err := s.handle(&method{
		id: describeMethod.id, kind: Unary,
		arg: reflect.TypeFor[describeRequest](), reply: reflect.TypeFor[description](), replyPtr: reflect.TypeFor[*description](),
		typed: func(ctx context.Context, arg, reply any) (err error) {
			*reply.(*description), err = s.describe(ctx, arg.(describeRequest))
			return err
		},
	})
	if err != nil {
		panic(err) // the server is new
	}
}

var describeMethod = NewMethod[describeRequest, description](DescriptionService, "Describe")

func (s *Server) describe(ctx context.Context, r describeRequest) (description, error) {
	if n := len(r.Methods); n > maxDescribed {
		return description{}, &Error{Code: CodeInvalidArgument, Message: fmt.Sprintf("rpc: %d methods asked about, and %d may be at once", n, maxDescribed)}
	}
	var d describer
	for _, id := range r.Methods {
		d.Methods = append(d.Methods, s.describeMethod(ctx, &d, id))
	}
	return d.description, nil
}

func (s *Server) describeMethod(ctx context.Context, d *describer, id ServiceID) describedMethod {
	if len(id.String()) > MaxServiceIDLength {
		return describedMethod{State: describedNone} // which nobody is asked about in a call
	}
	if c := servedOf(ctx); s.authorize != nil && (c == nil || c.isRemote()) {
		if c == nil || !s.authorize(c.sender(), id.Name, id.Method) {
			return describedMethod{State: describedDenied}
		}
	}
	m := s.lookup(id.Name, id.Method)
	switch {
	case m == nil && !s.serves(id.Name):
		return describedMethod{State: describedNone}
	case m == nil:
		return describedMethod{State: describedAbsent}
	}
	described := d.method(m.kind, m.arg, m.reply)
	if err := m.localOnly(); err != nil {
		described.LocalOnly = trimmed(err.Error())
	}
	return described
}

// describer makes a description.
type describer struct {
	description
	known  map[reflect.Type]int
	fields int
	over   bool
}

func (d *describer) method(kind Kind, arg, reply reflect.Type) describedMethod {
	m := describedMethod{State: describedHere, Kind: kind, Args: d.add(arg), Reply: d.add(reply)}
	if d.over {
		return describedMethod{State: describedTooLarge, Kind: kind}
	}
	return m
}

// add returns the number of the type.
func (d *describer) add(t reflect.Type) int {
	for range maxDescribedDepth {
		if t.Kind() != reflect.Pointer || t.Implements(selfer) {
			break
		}
		t = t.Elem() // nil is a zero value
	}
	if n, ok := d.known[t]; ok {
		return n
	}
	if d.over = d.over || len(d.Types) >= maxDescribedTypes; d.over {
		return 0
	}
	if d.known == nil {
		d.known = make(map[reflect.Type]int)
	}
	n := len(d.Types)
	d.known[t] = n
	d.Types = append(d.Types, describedType{Name: trimmed(t.String())})
	described := d.describe(t)
	described.Name = d.Types[n].Name
	d.Types[n] = described
	return n
}

func (d *describer) describe(t reflect.Type) describedType {
	if marshals(t) && t.Kind() != reflect.Interface {
		return describedType{Kind: kindOwn}
	}
	switch k := t.Kind(); k {
	case reflect.Bool:
		return describedType{Kind: kindBool}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return describedType{Kind: kindInt, Bits: t.Bits()}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		return describedType{Kind: kindUint, Bits: t.Bits()}
	case reflect.Float32, reflect.Float64:
		return describedType{Kind: kindFloat, Bits: t.Bits()}
	case reflect.Interface:
		return describedType{Kind: kindAny}
	case reflect.String:
		return describedType{Kind: kindRaw}
	case reflect.Slice, reflect.Array:
		length := 0
		if k == reflect.Array {
			length = t.Len()
		}
		if t.Elem().Kind() == reflect.Uint8 {
			return describedType{Kind: kindRaw, Len: length}
		}
		return describedType{Kind: kindList, Len: length, Elem: d.add(t.Elem())}
	case reflect.Map:
		return describedType{Kind: kindMap, Key: d.add(t.Key()), Elem: d.add(t.Elem())}
	case reflect.Struct:
		return d.describeStruct(t)
	}
	return describedType{Kind: kindOther}
}

func (d *describer) describeStruct(t reflect.Type) describedType {
	fields := fieldsOf(t)
	if d.fields += len(fields.order); d.fields > maxDescribedFields {
		d.over = true
		return describedType{}
	}
	s := describedType{Kind: kindStruct, Fields: make([]describedField, len(fields.order))}
	for i, f := range fields.order {
		name := fields.names[i]
		if len(name) > maxDescribedName {
			d.over = true // a name that is cut is another one
		}
		s.Fields[i] = describedField{name, d.add(f)}
	}
	s.Array = writtenAsArray(t)
	return s
}

// writtenAsArray reports whether a struct is written as the codec's toarray says.
func writtenAsArray(t reflect.Type) bool {
	of, ok := t.FieldByName("_struct")
	return ok && strings.Contains(of.Tag.Get("codec"), ",toarray")
}

// trimmed bounds what is only for people to read.
func trimmed(s string) string {
	if len(s) <= maxDescribedName {
		return s
	}
	s = s[:maxDescribedName-3]
	for !utf8.ValidString(s) && len(s) > 0 {
		s = s[:len(s)-1]
	}
	return s + "..."
}

// valid reports what is wrong with a description that a peer has sent, of so
// many methods.
func (d *description) valid(methods int) error {
	if len(d.Methods) != methods {
		return fmt.Errorf("it describes %d methods, and %d were asked about", len(d.Methods), methods)
	}
	if len(d.Types) > maxDescribedTypes {
		return fmt.Errorf("it has %d types, and %d may be", len(d.Types), maxDescribedTypes)
	}
	known := func(n int) bool { return n >= 0 && n < max(len(d.Types), 1) }
	fields := 0
	for i := range d.Types {
		t := &d.Types[i]
		if fields += len(t.Fields); fields > maxDescribedFields {
			return fmt.Errorf("it has more than %d fields", maxDescribedFields)
		}
		if !known(t.Elem) || !known(t.Key) {
			return fmt.Errorf("type %d is of a type that is not there", i)
		}
		for _, f := range t.Fields {
			if !known(f.Type) || len(f.Name) > maxDescribedName {
				return fmt.Errorf("a field of type %d is of a type that is not there, or has a long name", i)
			}
		}
	}
	for i, m := range d.Methods {
		if !known(m.Args) || !known(m.Reply) || m.State == describedHere && len(d.Types) == 0 {
			return fmt.Errorf("method %d has a type that is not there", i)
		}
	}
	return nil
}
