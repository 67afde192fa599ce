package rpc

import (
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// A message that is nothing but bytes or a string, as large ones mostly are,
// does not go through the codec: it need not be copied there, nor memory be
// zeroed that is written at once. The bytes are the same.

// rawBytes returns what v holds if it is bytes and nothing else, and not nil.
func rawBytes(v any) (data []byte, ok bool) {
	switch v := v.(type) {
	case []byte:
		data = v
	case *[]byte:
		if v != nil {
			data = *v
		}
	}
	return data, data != nil
}

// encodedValue is an encoded argument or reply: bytes of the buffer pool or shared
// ones, and, where the value is nothing but bytes, those themselves after them.
type encodedValue struct {
	head   []byte
	users  []byte // the user's memory
	pooled bool   // head is of the pool
}

func (e *encodedValue) len() int { return len(e.head) + len(e.users) }

// done gives the buffer back.
func (e *encodedValue) done() {
	if e.pooled {
		account.FreeBuffer(e.head)
	}
}

// encode encodes v; whole is for those who want to see all of it in one piece.
func encode(v any, whole bool) (e encodedValue, err error) {
	if !whole {
		if data, ok := rawBytes(v); ok {
			return encodedValue{head: msgpack.AppendStringHead(make([]byte, 0, msgpack.MaxHead), len(data)), users: data}, nil
		}
	}
	e.head, err = appendEncoded(account.NewBuffer(firstEncoding)[:0], v)
	e.pooled = true
	return e, err
}

const firstEncoding = 128

// appendRaw is appendEncoded for bytes and strings.
func appendRaw(b []byte, v any) ([]byte, bool) {
	if data, ok := rawBytes(v); ok {
		b = account.GrowBuffer(b, len(data)+msgpack.MaxHead)
		return append(msgpack.AppendStringHead(b, len(data)), data...), true
	}
	var s string
	switch v := v.(type) {
	case string:
		s = v
	case *string:
		if v == nil {
			return b, false
		}
		s = *v
	default:
		return b, false
	}
	return msgpack.AppendString(account.GrowBuffer(b, len(s)+msgpack.MaxHead), s), true
}

var bytesType = reflect.TypeFor[[]byte]()

// wantsBytes reports whether what is decoded into takes bytes as they come, and
// has no memory for them.
func wantsBytes(into any) bool {
	p, ok := into.(*[]byte)
	return ok && p != nil && cap(*p) == 0
}

// onlyRaw returns what b is, if it is decoded into bytes or a string and is
// nothing else.
func onlyRaw(b []byte, into any) (s []byte, ok bool) {
	switch into.(type) {
	case *[]byte, *string:
		return msgpack.OnlyString(b)
	}
	return nil, false
}

// decodeRaw is decode for those. Like the codec it fills the memory that a slice
// has, if that is large enough. An s to keep need not be copied.
func decodeRaw(s []byte, into any, keep bool) {
	switch p := into.(type) {
	case *[]byte:
		if keep && cap(*p) == 0 {
			*p = s
		} else if *p = append((*p)[:0], s...); *p == nil {
			*p = []byte{}
		}
	case *string:
		*p = string(s)
	}
}
