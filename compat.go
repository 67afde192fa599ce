package rpc

import (
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// This file has what only programs that were written for v0.6 name. Each comment says
// what a new program uses in its place.

// Response is the header of a reply, as v0.6 exports it. The library reads and writes
// it by docs/wire.md; the type is here for programs that name it. New programs have no
// use for it.
type Response struct {
	Service ServiceID
	Error   string
	ErrType ErrorType
	Data    any
}

// ContextKey is the type of [ContextKeyRequestSender]. New programs have no use for it.
type ContextKey string

// ContextKeyRequestSender is the key under which a method's context holds the
// caller's [peer.ID]. New programs use [GetRequestSender].
const ContextKeyRequestSender ContextKey = "request_sender"

// IsRPCError reports whether err came from the library rather than from a method or
// from the context of a call by name: whether its [Error.Type] is not [NonRPCErr]. New
// programs use [CodeOf], which says what failed.
func IsRPCError(err error) bool { return typeOf(err) != NonRPCErr }

// IsServerError reports whether the serving side failed outside the method. New
// programs use [CodeOf] or, to call elsewhere, [Error.Unsent].
func IsServerError(err error) bool { return typeOf(err) == ServerErr }

// IsClientError reports whether the calling side failed. New programs use [CodeOf] or,
// to call again, [Error.Unsent].
func IsClientError(err error) bool { return typeOf(err) == ClientErr }

// IsAuthorizationError reports whether the caller was refused the method. New programs
// use [CodeOf], which is [codes.PermissionDenied], also for a method that says so.
func IsAuthorizationError(err error) bool { return typeOf(err) == AuthorizationErr }

// AuthorizeWithMap returns a function for [WithAuthorizeFunc] that allows each
// peer the methods, named "Service.Method", that m holds true for it, and
// nothing to a peer or a method that m does not hold. Nor does it allow a method
// with a dot in its name, as no receiver has. m is not copied: it must not change while
// the server is in use. New programs use package policy, which names methods by value
// and tells which have no rule.
func AuthorizeWithMap(m map[peer.ID]map[string]bool) func(caller peer.ID, svc, method string) bool {
	return func(caller peer.ID, svc, method string) bool {
		return !strings.Contains(method, ".") && m[caller][svc+"."+method]
	}
}

// WithMultiStreamBufferSize sets how many arguments [Client.MultiStream] holds
// for each destination: by how many the slowest may be behind before the
// others wait for it. Default 0. New programs use [Duplex.OpenAll] with fan.Buffer.
func WithMultiStreamBufferSize(size int) ClientOption {
	return func(c *Client) { c.multiBuffer = max(size, 0) }
}
