// Package codes has the codes that errors of calls carry: gRPC's canonical ones,
// with its numbers. rpc.CodeOf reads the code of an error, and rpc.Errorf and
// rpc.Error make an error with one.
package codes

import (
	"fmt"
	"log/slog"
)

// Code says what went wrong.
type Code uint32

// The codes, as gRPC defines them.
const (
	OK                 Code = iota // no error
	Canceled                       // the caller gave the call up
	Unknown                        // an error that says no more than its text
	InvalidArgument                // an argument is wrong, whatever the state of the callee
	DeadlineExceeded               // too late
	NotFound                       // what was asked for does not exist
	AlreadyExists                  // what was to be made exists
	PermissionDenied               // the caller may not do this
	ResourceExhausted              // a limit is reached
	FailedPrecondition             // not in the callee's present state
	Aborted                        // a conflict with something else under way
	OutOfRange                     // beyond the valid range
	Unimplemented                  // no such service or method
	Internal                       // the callee is broken
	Unavailable                    // the callee cannot be reached, or serves no one now
	DataLoss                       // data is lost or corrupt for good
	Unauthenticated                // the caller is not known
)

var names = [...]string{
	"OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound",
	"AlreadyExists", "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
	"Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable", "DataLoss",
	"Unauthenticated",
}

// String returns the name of the code, and "Code(N)" for one without a name.
func (c Code) String() string {
	if int(c) < len(names) {
		return names[c]
	}
	return fmt.Sprintf("Code(%d)", uint32(c))
}

// LogValue makes slog's handlers write the name of the code.
func (c Code) LogValue() slog.Value { return slog.StringValue(c.String()) }
