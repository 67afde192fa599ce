// Package forms lets types of another encoding travel in it: all that implement one
// interface, such as protobuf's messages, with which package protorpc does so.
package forms

import (
	"fmt"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
)

// Register gives all types that implement the interface I a binary form: a value is
// written as the bytes that appendTo appends, as is one with MarshalBinary, whose
// place it takes. from is given a new value, which those bytes are read into; they are
// its own to keep. Both are called by many goroutines at once. A nil pointer travels
// as nil, and values in an interface arrive as bytes. Call it in an init function,
// before values travel; it panics if I is no interface with methods.
func Register[I any](appendTo func(b []byte, v I) ([]byte, error), from func(b []byte, v I) error) {
	t := reflect.TypeFor[I]()
	if t.Kind() != reflect.Interface || t.NumMethod() == 0 {
		panic(fmt.Sprintf("forms: %v is no interface with methods", t))
	}
	codec.RegisterForm(t,
		func(b []byte, v any) ([]byte, error) { return appendTo(b, v.(I)) },
		func(b []byte, v any) error { return from(b, v.(I)) })
}
