package call

import (
	"errors"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Mismatched is the fault of an argument of another type; given describes it. The
// type that the method takes travels, so that a remote caller can say the same with
// its own type's name.
func Mismatched(takes, given string) *Fault {
	if given == takes {
		given = "another type of that name"
	}
	f := Fail(OfServer, codes.InvalidArgument, "the method takes %s, not %s", takes, given).Advised(PassValue)
	f.Takes = takes
	return f
}

// Undecoded is the fault of an argument that was of the right type, as far as its
// name says, and did not decode.
func Undecoded(takes string, cause string) *Fault {
	f := Fail(OfServer, codes.InvalidArgument, "the argument does not decode into a %s: %s", takes, cause)
	f.Takes, f.Misfit = takes, cause
	return f
}

// ArgumentFault is the fault of an argument that does not decode into what the method takes.
func ArgumentFault(takes reflect.Type, l *Limits, b []byte, err error) *Fault {
	var part *codec.PartError
	var field *codec.MisfitError
	var bad *codec.MalformedError
	switch {
	case errors.As(err, &bad):
		if f := FaultOf(l.Fault(bad.Cause, OfServer, "the argument")); f != nil {
			return f
		}
		return Fail(OfServer, codes.InvalidArgument, "the argument: %w", err)
	case errors.Is(err, codec.ErrExpands):
		return Fail(OfServer, codes.ResourceExhausted, "the argument: %w", err).Over("Limits.MessageSize")
	case errors.As(err, new(*account.DecodedError)):
		return Fail(OfServer, codes.ResourceExhausted, "the argument: %w", err).Over("Limits.DecodedPerPeer")
	case errors.As(err, &part):
		part.Of = takes
		return Fail(OfServer, codes.InvalidArgument, "the argument's %w", part)
	case errors.As(err, &field) && field.Field != "":
		f := Undecoded(takes.String(), err.Error())
		f.Cause = err
		return f
	}
	f := Mismatched(takes.String(), msgpack.Describe(b)).Because(err)
	f.Misfit = err.Error()
	return f
}
