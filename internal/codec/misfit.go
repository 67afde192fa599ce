package codec

import (
	"errors"
	"math"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// MisfitError is the error of a message that does not fit a type.
type MisfitError struct {
	Field string // the field that does not fit; empty if the whole message does not
	cause error
}

func (e *MisfitError) Error() string {
	if e.Field == "" {
		return e.cause.Error()
	}
	return "field " + e.Field + ": " + e.cause.Error()
}

func (e *MisfitError) Unwrap() error { return e.cause }

var errHere = errors.New("here")

// misfit is the error of a message that the codec, when it had read so much of
// it, did not get into what a pointer points to.
func misfit(b []byte, into reflect.Type, read int, err error) error {
	s := sizer{budget: math.MaxUint64, whole: len(b), stop: read}
	field := ""
	if _, found := s.value(b, into.Elem()); found == errHere {
		field = travels.Join(s.path)
	}
	if cause := errors.Unwrap(err); cause != nil {
		err = cause // without the position, which is of bytes that nobody sees
	}
	return &MisfitError{field, err}
}
