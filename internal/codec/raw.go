package codec

import (
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// A message that is nothing but bytes or a string, as large ones mostly are,
// does not go through the codec: it need not be copied there, nor memory be
// zeroed that is written at once. The bytes are the same.

// Raw returns what v holds if it is bytes and nothing else, and not nil.
func Raw(v any) (data []byte, ok bool) {
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

// Encoded is an encoded argument or reply: bytes of the buffer pool or shared
// ones, and, where the value is nothing but bytes, those themselves after them.
type Encoded struct {
	Head   []byte
	User   []byte // the user's own memory, which follows Head
	pooled bool   // Head is a buffer of the pool
	plain  bool   // in v0.6's form
}

// Len is the number of bytes.
func (e *Encoded) Len() int { return len(e.Head) + len(e.User) }

// ToPlain turns what was encoded in today's form into v0.6's, byte for byte what that
// writes of the value. The value is not looked at again: a method of this process
// may be using it by now.
func (e *Encoded) ToPlain() {
	if e.plain {
		return
	}
	e.plain = true
	if e.User != nil {
		e.Head = msgpack.AppendStringHead(make([]byte, 0, msgpack.MaxHead), len(e.User))
		return
	}
	plain := msgpack.AppendPlain(account.NewBuffer(len(e.Head))[:0], e.Head)
	e.Done()
	e.Head, e.pooled = plain, true
}

// Done gives the buffer back to the pool.
func (e *Encoded) Done() {
	if e.pooled {
		account.FreeBuffer(e.Head)
	}
}

// Encode encodes v; with whole all of it is in Head.
func Encode(v any, form Form, whole bool) (e Encoded, err error) {
	if !whole {
		if data, ok := Raw(v); ok {
			return Encoded{Head: form.appendBytesHead(make([]byte, 0, msgpack.MaxHead), len(data)), User: data}, nil
		}
	}
	e.Head, err = Append(account.NewBuffer(FirstEncoding)[:0], v, form)
	e.pooled = true
	return e, err
}

// AppendRawHead appends what comes before the bytes that Raw returned.
func AppendRawHead(b []byte, n int, form Form) []byte { return form.appendBytesHead(b, n) }

// FirstEncoding is the room that a buffer for one encoded value begins with.
const FirstEncoding = 128

// appendRaw is Append for bytes and strings.
func appendRaw(b []byte, v any, form Form) ([]byte, bool) {
	if data, ok := Raw(v); ok {
		b = account.GrowBuffer(b, len(data)+msgpack.MaxHead)
		return append(form.appendBytesHead(b, len(data)), data...), true
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
	return form.appendString(account.GrowBuffer(b, len(s)+msgpack.MaxHead), s), true
}

var bytesType = reflect.TypeFor[[]byte]()

// IsBytes reports whether t is []byte.
func IsBytes(t reflect.Type) bool { return t == bytesType }

// WantsBytes reports whether what is decoded into takes bytes as they come.
func WantsBytes(into any) bool {
	p, ok := into.(*[]byte)
	return ok && p != nil
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

// decodeRaw is decode for those. It never writes to memory that there was before.
// An s to keep need not be copied.
func decodeRaw(s []byte, into any, keep bool) {
	switch p := into.(type) {
	case *[]byte:
		if !keep {
			s = own(s)
		}
		*p = s
	case *string:
		*p = string(s)
	}
}
