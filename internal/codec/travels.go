package codec

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// What a value would lose on its way is an error when it is there, and nothing
// when it is nil or zero: types are not refused. That a type has such parts is
// told when a method is registered, and by Check.

// PartError is the error of a value with a part that cannot travel.
type PartError struct {
	Of    reflect.Type // that the path begins at
	path  []string     // of the part, from inside out
	why   string
	outer []string // of an interface that holds a value of the type, from inside out
}

func (e *PartError) Error() string {
	text := fmt.Sprintf("type %v cannot travel: %s", e.Of, travels.Describe(e.path, e.why))
	if len(e.outer) > 0 {
		text = "field " + travels.Join(e.outer) + ": " + text
	}
	return text
}

// within adds to the path of a part.
func (e *PartError) within(part string) {
	if e.Of == nil {
		e.path = append(e.path, part)
	} else {
		e.outer = append(e.outer, part)
	}
}

// Types reads types for the rules that say what is lost of them.
var Types travels.Reader[reflect.Type] = travels.ForReflect(reflect.TypeFor[ugorji.Selfer]())

// travelsPartly returns an error that names the first part of t that travels
// only while it is nil or zero, if there is one.
func travelsPartly(t reflect.Type) error {
	steps, why := travels.Obstacle(Types, t)
	if why == "" {
		return nil
	}
	var path []string
	for _, step := range steps {
		path = append(path, step.Name)
	}
	return fmt.Errorf("type %v cannot travel whole: %s; only nil or zero travels", t, travels.Describe(path, why))
}

// IsSelfer reports whether t itself writes and reads its encoding, by methods of
// the codec library's interface.
func IsSelfer(t reflect.Type) bool { return Types.Implements(t, travels.Selfer) }

// cannotTravel says why values of t itself cannot travel, but for nil and zero
// ones.
func cannotTravel(t reflect.Type) (why string) {
	return travels.Lost(Types, t)
}

// Marshals reports whether t's own methods say how it travels.
func Marshals(t reflect.Type) bool {
	return travels.Marshals(Types, t)
}

// Running reads the types of the running program, for descriptions of them.
type Running struct{}

func (Running) Rules() travels.Reader[reflect.Type] { return Types }
func (Running) Bits(t reflect.Type) int             { return t.Bits() }
func (Running) Len(t reflect.Type) int              { return t.Len() }
func (Running) Array(t reflect.Type) bool           { return WrittenAsArray(t) }

func (Running) Fields(t reflect.Type) (names []string, of []reflect.Type) {
	fields := FieldsOf(t)
	return fields.Names, fields.Order
}

// loses reports whether encoding loses v itself, of a type that cannotTravel
// tells of.
func loses(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Chan, reflect.Func:
		return !v.IsNil()
	case reflect.UnsafePointer: // the codec takes none, not even nil
		return true
	case reflect.Struct:
		return !v.IsZero() && !sameText(v)
	}
	return false
}

// sameText reports whether the text of v is that of a zero value: a big.Int that
// has become 0 is not zero in memory.
func sameText(v reflect.Value) bool {
	if !v.CanInterface() {
		return false
	}
	p := reflect.New(v.Type())
	zero, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	if err != nil {
		return false
	}
	p.Elem().Set(v)
	text, err := p.Interface().(encoding.TextMarshaler).MarshalText()
	return err == nil && bytes.Equal(text, zero)
}
