package codes_test

import (
	"fmt"
	"net/http"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// httpStatus is what a gateway answers to a call that ended with a code.
func httpStatus(c codes.Code) int {
	switch c {
	case codes.OK:
		return http.StatusOK
	case codes.InvalidArgument, codes.OutOfRange, codes.FailedPrecondition:
		return http.StatusBadRequest
	case codes.Unauthenticated:
		return http.StatusUnauthorized
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.NotFound:
		return http.StatusNotFound
	case codes.AlreadyExists, codes.Aborted:
		return http.StatusConflict
	case codes.ResourceExhausted:
		return http.StatusTooManyRequests
	case codes.Canceled:
		return 499 // the caller has gone
	case codes.Unimplemented:
		return http.StatusNotImplemented
	case codes.Unavailable:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	case codes.Unknown, codes.Internal, codes.DataLoss:
	}
	return http.StatusInternalServerError
}

// A gateway makes a status of the code of a call's error.
func ExampleCode() {
	for _, err := range []error{nil, rpc.Errorf(codes.NotFound, "no such pin"), fmt.Errorf("the disk is full")} {
		fmt.Println(rpc.CodeOf(err), httpStatus(rpc.CodeOf(err)))
	}
	// Output:
	// OK 200
	// NotFound 404
	// Unknown 500
}
