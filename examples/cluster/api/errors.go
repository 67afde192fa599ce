package api

import (
	"fmt"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Errorf makes an error whose code the caller gets too, wherever it is.
func Errorf(code codes.Code, format string, args ...any) error {
	return &rpc.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
