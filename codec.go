package rpc

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// The codec is v1.3.2, the newest release with which the recorded conversations
// of v0.6 and the hostile inputs pass. They pass with v1.2.12 too, v0.6's, and
// what was found in either is not met here:
//
//   - 1.3 encodes a reflect.Value as an empty map: values are what is encoded.
//     Its decoder of a reader wraps io.EOF, and may keep all that it has read;
//     that of 1.2 takes quadratic time for a long string. Here only whole slices
//     of bytes are decoded.
//   - Both skip unknown fields by recursion without a bound, and make what a
//     length or nested arrays declare. The scanner has counted, and bounded, all
//     of that before; see decodesize.go.

// handle is v0.6's: msgpack with no option set for the bytes, and two that
// bound decoding a second time, after the scanner has.
var handle = func() *codec.MsgpackHandle {
	h := new(codec.MsgpackHandle)
	h.MaxDepth = maxDepth + 1
	h.MaxInitLen = 1 << 10
	h.CheckCircularRef = true // recursion without end is no error that can be recovered
	return h
}()

type encoder struct {
	*codec.Encoder
	out []byte
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.Encoder = codec.NewEncoderBytes(&e.out, handle)
	return e
}}

var decoders = sync.Pool{New: func() any { return codec.NewDecoderBytes(nil, handle) }}

// appendEncoded appends the encoding of v. b is of the buffer pool, and so is
// what is returned in its place.
func appendEncoded(b []byte, v any) (out []byte, err error) {
	if out, ok := appendRaw(b, v); ok {
		return out, nil
	}
	defer func() {
		// A MarshalBinary of the user's, or the codec itself, may panic: the
		// encoder is not used again.
		if r := recover(); r != nil {
			out, err = b, fmt.Errorf("cannot encode %T: %v", v, r)
		}
	}()
	t := typeInfoOf(reflect.TypeOf(v))
	if t.encode != nil {
		return b, t.encode
	}
	sent := v
	if t.misread {
		sent = pointerTo(v)
	}
	if t.unbounded {
		misread, err := checkNesting(v)
		if err != nil {
			return b, err
		}
		if misread {
			sent = withPointers(v)
		}
	}
	b = account.GrowBuffer(b, int(t.size.Load()))
	e := encoders.Get().(*encoder)
	tail := b[len(b):cap(b)]
	e.out = tail
	e.ResetBytes(&e.out)
	if err := e.Encode(sent); err != nil {
		return b, fmt.Errorf("cannot encode %T: %w", v, err)
	}
	n := len(e.out)
	if n <= cap(tail) {
		b = b[:len(b)+n] // it was written in place
	} else {
		b = append(account.GrowBuffer(b, n), e.out...)
	}
	t.size.Store(int32(min(n, maxSizeHint)))
	e.out = nil
	encoders.Put(e)
	return b, nil
}

// message is one that was received, which the scanner has found to be a value
// within the limits.
type message struct {
	b      []byte
	values int  // how many there are in it
	kept   bool // b is for who decodes it to keep
}

// decode reads m into what into points to, and takes what that is from the
// account: size, if it is more than unaccounted. It keeps none of m.b, unless it
// may.
func decode(m message, into any, l *Limits, h *holding) (size uint64, err error) {
	if s, ok := onlyRaw(m.b, into); ok {
		if err := h.takeLarge(uint64(len(s))); err != nil {
			return 0, err
		}
		decodeRaw(s, into, m.kept)
		return uint64(len(s)), nil
	}
	b := m.b
	if size, err = decodedSize(m, reflect.TypeOf(into), l, h); err != nil {
		return 0, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot decode into %T: %v", into, r)
		}
	}()
	d := decoders.Get().(*codec.Decoder)
	d.ResetBytes(b)
	if err := d.Decode(into); err != nil {
		if field := typeInfoOf(reflect.TypeOf(into)).decode; field != nil {
			return size, fmt.Errorf("%w (%w)", field, err)
		}
		return size, err
	}
	d.ResetBytes(nil)
	decoders.Put(d)
	return size, nil
}

// encodedArgs is an argument encoded once for many destinations.
type encodedArgs struct {
	value any
	bytes []byte
	err   error
}

// typeInfo is what is known of a type that travels.
type typeInfo struct {
	encode    error        // values of it cannot be encoded; names type and field
	decode    error        // or not decoded
	largest   uint64       // see largestValue
	signed    bool         // see holdsSigned
	unbounded bool         // see checkNesting
	misread   bool         // see isMisread
	size      atomic.Int32 // of the last encoding: how much room the next may need
}

// maxSizeHint bounds the room that is made for a value because the last of its
// type was large.
const maxSizeHint = 1 << 20

var typeInfos sync.Map // reflect.Type to *typeInfo

func typeInfoOf(t reflect.Type) *typeInfo {
	if t == nil {
		return &typeInfo{encode: errors.New("nil cannot be encoded")}
	}
	info, ok := typeInfos.Load(t)
	if !ok {
		info, _ = typeInfos.LoadOrStore(t, &typeInfo{encode: travels(t, false), decode: travels(t, true), largest: largestValue(t, make(map[reflect.Type]bool)), signed: holdsSigned(t, make(map[reflect.Type]bool)), unbounded: unbounded(t), misread: isMisread(t)})
	}
	return info.(*typeInfo)
}

func travels(t reflect.Type, decoding bool) error {
	path, why := obstacle(t, decoding, make(map[reflect.Type]bool))
	if why == "" {
		return nil
	}
	return fmt.Errorf("type %v cannot travel: %s%s", t, describePath(path), why)
}

func describePath(path []string) string {
	if len(path) == 0 {
		return "it is "
	}
	return "field " + strings.Join(path, ".") + " is "
}

var (
	binaryMarshaler   = reflect.TypeFor[encoding.BinaryMarshaler]()
	textMarshaler     = reflect.TypeFor[encoding.TextMarshaler]()
	binaryUnmarshaler = reflect.TypeFor[encoding.BinaryUnmarshaler]()
	selfer            = reflect.TypeFor[codec.Selfer]()
)

// obstacle finds the first part of t that the codec cannot carry: a channel or
// a func, or, where it is to be decoded, an interface that has methods and so
// says nothing of what to make.
func obstacle(t reflect.Type, decoding bool, seen map[reflect.Type]bool) (path []string, why string) {
	if seen[t] {
		return nil, ""
	}
	seen[t] = true
	if marshals(t) {
		if !decoding || t.Kind() != reflect.Interface {
			return nil, ""
		}
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.UnsafePointer:
		return nil, "a " + t.Kind().String() + " (" + t.String() + ")"
	case reflect.Interface:
		if decoding && t.NumMethod() > 0 {
			return nil, "the interface " + t.String() + ", which does not say what to decode into; use a concrete type"
		}
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return obstacle(t.Elem(), decoding, seen)
	case reflect.Map:
		if path, why = obstacle(t.Key(), decoding, seen); why != "" {
			return path, why
		}
		return obstacle(t.Elem(), decoding, seen)
	case reflect.Struct:
		if onlyText(t) {
			return nil, "a " + t.String() + ", which has no exported fields and only a text form; give it MarshalBinary and UnmarshalBinary"
		}
		for i := range t.NumField() {
			f := t.Field(i)
			tag := f.Tag.Get("codec")
			if tag == "" {
				tag = f.Tag.Get("json")
			}
			if !f.IsExported() && !f.Anonymous || tag == "-" || strings.HasPrefix(tag, "-,") {
				continue
			}
			if path, why = obstacle(f.Type, decoding, seen); why != "" {
				return append([]string{f.Name}, path...), why
			}
		}
	}
	return nil, ""
}

// marshals reports whether t's own methods say how it travels. A text form
// does not count: the codec uses it in text formats only.
func marshals(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return (t.Implements(binaryMarshaler) || p.Implements(binaryMarshaler)) &&
		(t.Kind() == reflect.Interface || p.Implements(binaryUnmarshaler)) ||
		t.Implements(selfer) || p.Implements(selfer)
}

// onlyText reports whether all of a struct's content is hidden, and would be
// lost without a word, though it has a text form.
func onlyText(t reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.IsExported() || f.Anonymous {
			return false
		}
	}
	return t.NumField() > 0 && (t.Implements(textMarshaler) || reflect.PointerTo(t).Implements(textMarshaler))
}
