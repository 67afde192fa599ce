// Package wire is v0.6's conversation, one stream a call: its headers, and
// reading and writing whole msgpack values within limits. It knows no libp2p
// and decodes no user's value; docs/wire.md is its specification.
package wire

import (
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Kind says what a caller takes a method for.
type Kind uint8

// The kinds of call. A v0.6 client does not say which it makes.
const (
	KindUnknown Kind = iota
	KindUnary
	KindStreaming
)

// StreamEnd ends the arguments and the replies of a streaming call where the
// stream's own end says only that it is gone (see docs/wire.md). It is the one
// byte that no msgpack value starts with.
const StreamEnd = 0xc1

// Header opens a call. Its zero fields are not written, and the first two are
// always: with none of the others set the bytes are v0.6's.
type Header struct {
	Service  string
	Method   string
	Kind     Kind
	Begun    bool          // the caller wants to know when the method runs
	Timeout  time.Duration // from now; 0 is none
	Metadata map[string]string
}

// AppendHeader appends h's encoding.
func AppendHeader(b []byte, h *Header) []byte {
	n := 2
	if h.Kind != KindUnknown {
		n++
	}
	if h.Begun {
		n++
	}
	if h.Timeout > 0 {
		n++
	}
	if len(h.Metadata) > 0 {
		n++
	}
	b = msgpack.AppendMap(b, n)
	b = appendName(b, h.Service, h.Method)
	if h.Kind != KindUnknown {
		b = msgpack.AppendUint(msgpack.AppendString(b, "Kind"), uint64(h.Kind))
	}
	if h.Begun {
		b = msgpack.AppendUint(msgpack.AppendString(b, "Begun"), 1)
	}
	if h.Timeout > 0 {
		b = msgpack.AppendUint(msgpack.AppendString(b, "Timeout"), uint64(h.Timeout))
	}
	if len(h.Metadata) > 0 {
		b = msgpack.AppendStringMap(msgpack.AppendString(b, "Metadata"), h.Metadata)
	}
	return b
}

// SetTimeout changes the timeout of an encoded header, which has one, in place. d is
// shorter than that was.
func SetTimeout(b []byte, d time.Duration) {
	_ = eachPair(b, func(key, b []byte) ([]byte, error) {
		if string(key) == "Timeout" {
			msgpack.PutUint(b, uint64(max(d, 1)))
		}
		return msgpack.Skip(b)
	})
}

func appendName(b []byte, service, method string) []byte {
	b = msgpack.AppendString(msgpack.AppendString(b, "Name"), service)
	return msgpack.AppendString(msgpack.AppendString(b, "Method"), method)
}

// ParseHeader decodes a header that a Reader has checked to be one value.
func ParseHeader(b []byte) (Header, error) {
	var h Header
	err := eachPair(b, func(key, b []byte) (rest []byte, err error) {
		var s []byte
		var n uint64
		switch string(key) {
		case "Name":
			s, rest, err = msgpack.ReadString(b)
			h.Service = string(s)
		case "Method":
			s, rest, err = msgpack.ReadString(b)
			h.Method = string(s)
		case "Kind":
			n, rest, err = msgpack.ReadUint(b)
			if n == uint64(KindUnary) || n == uint64(KindStreaming) {
				h.Kind = Kind(n)
			}
		case "Begun":
			n, rest, err = msgpack.ReadUint(b)
			h.Begun = n > 0
		case "Timeout":
			n, rest, err = msgpack.ReadUint(b)
			h.Timeout = time.Duration(min(n, 1<<63-1))
		case "Metadata":
			h.Metadata, rest, err = msgpack.ReadStringMap(b)
		default:
			rest, err = msgpack.Skip(b)
		}
		return rest, err
	})
	return h, err
}

// Response precedes every reply, and an error.
type Response struct {
	Service string
	Method  string
	Error   string
	ErrType int
	Code    int // see docs/wire.md; written when not negative
	Details map[string]string
	Begun   bool // the method runs; it tells nothing else

	// Metadata that the method sends back: before the first reply, and with the end.
	Header, Trailer map[string]string
}

// AppendResponse appends r's encoding: v0.6's, unless there is a code, or there
// are details or metadata.
func AppendResponse(b []byte, r *Response) []byte {
	named := r.Service != "" || r.Method != ""
	n := 0
	for _, has := range [...]bool{named, r.Error != "", r.ErrType != 0, r.Code >= 0, len(r.Details) > 0, r.Begun, len(r.Header) > 0, len(r.Trailer) > 0} {
		if has {
			n++
		}
	}
	b = msgpack.AppendMap(b, n)
	if named {
		b = msgpack.AppendMap(msgpack.AppendString(b, "Service"), 2)
		b = appendName(b, r.Service, r.Method)
	}
	if r.Error != "" {
		b = msgpack.AppendString(msgpack.AppendString(b, "Error"), r.Error)
	}
	if r.ErrType != 0 {
		b = msgpack.AppendUint(msgpack.AppendString(b, "ErrType"), uint64(r.ErrType))
	}
	if r.Code >= 0 {
		b = msgpack.AppendUint(msgpack.AppendString(b, "Code"), uint64(r.Code))
	}
	if len(r.Details) > 0 {
		b = msgpack.AppendStringMap(msgpack.AppendString(b, "Details"), r.Details)
	}
	if r.Begun {
		b = msgpack.AppendUint(msgpack.AppendString(b, "Begun"), 1)
	}
	if len(r.Header) > 0 {
		b = msgpack.AppendStringMap(msgpack.AppendString(b, "Header"), r.Header)
	}
	if len(r.Trailer) > 0 {
		b = msgpack.AppendStringMap(msgpack.AppendString(b, "Trailer"), r.Trailer)
	}
	return b
}

// ParseResponse decodes a response that a Reader has checked to be one value.
// The service it echoes is not read: the caller knows what it asked for.
func ParseResponse(b []byte) (Response, error) {
	r := Response{Code: -1}
	err := eachPair(b, func(key, b []byte) (rest []byte, err error) {
		var s []byte
		var n uint64
		switch string(key) {
		case "Error":
			s, rest, err = msgpack.ReadString(b)
			r.Error = string(s)
		case "ErrType":
			n, rest, err = msgpack.ReadUint(b)
			r.ErrType = int(min(n, 1<<16))
		case "Code":
			n, rest, err = msgpack.ReadUint(b)
			r.Code = int(min(n, 1<<16))
		case "Details":
			r.Details, rest, err = msgpack.ReadStringMap(b)
		case "Begun":
			n, rest, err = msgpack.ReadUint(b)
			r.Begun = n > 0
		case "Header":
			r.Header, rest, err = msgpack.ReadStringMap(b)
		case "Trailer":
			r.Trailer, rest, err = msgpack.ReadStringMap(b)
		default:
			rest, err = msgpack.Skip(b)
		}
		return rest, err
	})
	return r, err
}

// eachPair calls f with each key of the map b and what follows it; f returns
// what follows the value.
func eachPair(b []byte, f func(key, b []byte) ([]byte, error)) error {
	if msgpack.IsNil(b) {
		return fmt.Errorf("%s where a header is expected", msgpack.Describe(b))
	}
	n, b, err := msgpack.ReadMap(b)
	for range n {
		var key []byte
		if key, b, err = msgpack.ReadString(b); err != nil {
			return err
		}
		if b, err = f(key, b); err != nil {
			return fmt.Errorf("header key %.32q: %w", key, err)
		}
	}
	return err
}
