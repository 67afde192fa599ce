package msgpack

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var errShort = errors.New("msgpack: value ends too early")

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

// Describe names the kind of the value that b starts with, for a person.
func Describe(b []byte) string {
	h, ok := parse(b)
	if !ok {
		return "nothing"
	}
	return kindNames[h.kind]
}

// Open reads the head of an array or a map, of n elements or pairs; ok is
// false for anything else.
func Open(b []byte) (n uint64, isMap bool, rest []byte, ok bool) {
	h, ok := parse(b)
	switch {
	case ok && h.kind == kindArray:
		return h.children, false, b[h.size:], true
	case ok && h.kind == kindMap:
		return h.children / 2, true, b[h.size:], true
	}
	return 0, false, nil, false
}

// IsNil reports whether b starts with nil.
func IsNil(b []byte) bool { return len(b) > 0 && b[0] == Nil }

// ReadMap reads a map's head; nil counts as an empty map. The pairs follow in
// rest.
func ReadMap(b []byte) (pairs int, rest []byte, err error) {
	h, rest, err := read(b, kindMap)
	if err == nil && h.children > uint64(len(rest)) { // a byte each, at least
		return 0, nil, errShort
	}
	return int(h.children / 2), rest, err
}

// ReadString reads a string of any of the format's forms; nil counts as empty.
// The result shares b's memory.
func ReadString(b []byte) (s, rest []byte, err error) {
	h, rest, err := read(b, kindString)
	if err != nil {
		return nil, nil, err
	}
	if h.payload > uint64(len(rest)) {
		return nil, nil, errShort
	}
	return rest[:h.payload], rest[h.payload:], nil
}

// OnlyString returns the bytes of a string in any of the format's forms, if b
// is that and nothing else. The result shares b's memory.
func OnlyString(b []byte) (s []byte, ok bool) {
	h, ok := parse(b)
	if !ok || h.kind != kindString || h.payload != uint64(len(b)-int(h.size)) {
		return nil, false
	}
	return b[h.size:], true
}

// ReadUint reads an integer that is not negative; nil counts as zero.
func ReadUint(b []byte) (n uint64, rest []byte, err error) {
	h, rest, err := read(b, kindInt)
	if err == nil && h.negative {
		return 0, nil, fmt.Errorf("msgpack: negative integer %d where none may be", int64(h.num))
	}
	return h.num, rest, err
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
		h, ok := parse(b)
		if !ok || h.payload > uint64(len(b)-int(h.size)) {
			return nil, errShort
		}
		if h.kind == kindInvalid {
			return nil, ErrInvalid
		}
		b = b[uint64(h.size)+h.payload:]
		missing += h.children
	}
	return b, nil
}

func read(b []byte, want kind) (head, []byte, error) {
	h, ok := parse(b)
	if !ok {
		return head{}, nil, errShort
	}
	rest := b[h.size:]
	switch h.kind {
	case want:
		return h, rest, nil
	case kindNil:
		return head{kind: want}, rest, nil
	}
	return head{}, nil, fmt.Errorf("msgpack: %s where %s is expected", kindNames[h.kind], kindNames[want])
}
