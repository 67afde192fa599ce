package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// ErrShort reports a value that is not whole.
var ErrShort = errors.New("msgpack: value ends too early")

// Nil is the encoding of nil.
const Nil = 0xc0

// AppendMap appends the head of a map of n pairs.
func AppendMap(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x80|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xde), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
}

// AppendString appends s in the old raw form that v0.6 writes and reads.
func AppendString(b []byte, s string) []byte {
	return append(AppendStringHead(b, len(s)), s...)
}

// MaxHead is the most bytes that come before the bytes of a string.
const MaxHead = 5

// AppendStringHead appends what comes before the bytes of a string of length n.
func AppendStringHead(b []byte, n int) []byte {
	switch {
	case n < 32:
		return append(b, 0xa0|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xda), uint16(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
}

// AppendBytesHead appends what comes before n bytes in today's form.
func AppendBytesHead(b []byte, n int) []byte {
	switch {
	case n <= math.MaxUint8:
		return append(b, 0xc4, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
}

// AppendArray appends the head of an array of n elements.
func AppendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xdc), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
}

// AppendUint appends n in the fewest bytes.
func AppendUint(b []byte, n uint64) []byte {
	switch {
	case n < 0x80:
		return append(b, byte(n))
	case n <= math.MaxUint8:
		return append(b, 0xcc, byte(n))
	case n <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(b, 0xcd), uint16(n))
	case n <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
	}
}

// PutUint writes n in place of what AppendUint has appended at the beginning of b: of a
// number that is not smaller, in as many bytes.
func PutUint(b []byte, n uint64) {
	switch b[0] {
	case 0xcc:
		b[1] = byte(n)
	case 0xcd:
		binary.BigEndian.PutUint16(b[1:], uint16(n))
	case 0xce:
		binary.BigEndian.PutUint32(b[1:], uint32(n))
	case 0xcf:
		binary.BigEndian.PutUint64(b[1:], n)
	default:
		b[0] = byte(n)
	}
}

// AppendStringMap appends m as a map of strings.
func AppendStringMap(b []byte, m map[string]string) []byte {
	b = AppendMap(b, len(m))
	for k, v := range m {
		b = AppendString(AppendString(b, k), v)
	}
	return b
}

// StringMapSize is the most bytes that AppendStringMap appends for m's pairs.
func StringMapSize(m map[string]string) (n int) {
	for k, v := range m {
		n += len(k) + len(v) + 10
	}
	return n
}

// AppendPlain appends b, a sequence of values in today's form, in v0.6's: strings
// and bytes without a sign of which they are, and times without the extension's.
func AppendPlain(dst, b []byte) []byte {
	for len(b) > 0 {
		h, ok := Parse(b)
		n := uint64(h.Size) + h.Payload
		if !ok || n > uint64(len(b)) {
			return append(dst, b...)
		}
		body := b[h.Size:n]
		switch {
		case h.Kind == KindString:
			dst = append(AppendStringHead(dst, len(body)), body...)
		case h.Kind == KindExt && body[0] == timeExt:
			dst = append(AppendStringHead(dst, len(body)-1), body[1:]...)
		default:
			dst = append(dst, b[:n]...)
		}
		b = b[n:]
	}
	return dst
}

// timeExt is the type of the extension for times.
const timeExt = 0xff

// Describe names the kind of the value that b starts with, for a person.
func Describe(b []byte) string {
	h, ok := Parse(b)
	if !ok {
		return "nothing"
	}
	return kindNames[h.Kind]
}

// Open reads the head of an array or a map, of n elements or pairs; ok is
// false for anything else.
func Open(b []byte) (n uint64, isMap bool, rest []byte, ok bool) {
	h, ok := Parse(b)
	switch {
	case ok && h.Kind == KindArray:
		return h.Children, false, b[h.Size:], true
	case ok && h.Kind == KindMap:
		return h.Children / 2, true, b[h.Size:], true
	}
	return 0, false, nil, false
}

// IsNil reports whether b starts with nil.
func IsNil(b []byte) bool { return len(b) > 0 && b[0] == Nil }

// ReadMap reads a map's head; nil counts as an empty map. The pairs follow in
// rest.
func ReadMap(b []byte) (pairs int, rest []byte, err error) {
	h, rest, err := read(b, KindMap)
	if err == nil && h.Children > uint64(len(rest)) { // a byte each, at least
		return 0, nil, ErrShort
	}
	return int(h.Children / 2), rest, err
}

// ReadString reads a string of any of the format's forms; nil counts as empty.
// The result shares b's memory.
func ReadString(b []byte) (s, rest []byte, err error) {
	h, rest, err := read(b, KindString)
	if err != nil {
		return nil, nil, err
	}
	if h.Payload > uint64(len(rest)) {
		return nil, nil, ErrShort
	}
	return rest[:h.Payload], rest[h.Payload:], nil
}

// OnlyString returns the bytes of a string in any of the format's forms, if b
// is that and nothing else. The result shares b's memory.
func OnlyString(b []byte) (s []byte, ok bool) {
	h, ok := Parse(b)
	if !ok || h.Kind != KindString || h.Payload != uint64(len(b)-int(h.Size)) {
		return nil, false
	}
	return b[h.Size:], true
}

// ReadUint reads an integer that is not negative; nil counts as zero.
func ReadUint(b []byte) (n uint64, rest []byte, err error) {
	h, rest, err := read(b, KindInt)
	if err == nil && h.Negative {
		return 0, nil, fmt.Errorf("msgpack: negative integer %d where none may be", int64(h.Num))
	}
	return h.Num, rest, err
}

// ReadStringMap reads a map of strings.
func ReadStringMap(b []byte) (m map[string]string, rest []byte, err error) {
	n, rest, err := ReadMap(b)
	if err != nil || n == 0 {
		return nil, rest, err
	}
	m = make(map[string]string)
	for range n {
		var k, v []byte
		if k, rest, err = ReadString(rest); err != nil {
			return nil, nil, err
		}
		if v, rest, err = ReadString(rest); err != nil {
			return nil, nil, err
		}
		m[string(k)] = string(v)
	}
	return m, rest, nil
}

// Skip passes over one value, however deep, without recursion.
func Skip(b []byte) (rest []byte, err error) {
	for missing := uint64(1); missing > 0; missing-- {
		h, ok := Parse(b)
		if !ok || h.Payload > uint64(len(b)-int(h.Size)) {
			return nil, ErrShort
		}
		if h.Kind == KindInvalid {
			return nil, ErrInvalid
		}
		b = b[uint64(h.Size)+h.Payload:]
		missing += h.Children
	}
	return b, nil
}

func read(b []byte, want Kind) (Head, []byte, error) {
	h, ok := Parse(b)
	if !ok {
		return Head{}, nil, ErrShort
	}
	rest := b[h.Size:]
	switch h.Kind {
	case want:
		return h, rest, nil
	case KindNil:
		return Head{Kind: want}, rest, nil
	}
	return Head{}, nil, fmt.Errorf("msgpack: %s where %s is expected", kindNames[h.Kind], kindNames[want])
}
