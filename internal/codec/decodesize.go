package codec

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// The scanner bounds what arrives. What that decodes to depends on the type: a
// nil is a byte on the wire, and as an element of a slice as large as the
// element. This file bounds that. By the same walk it finds the integers that
// the codec would make negative, what stands where only nil can be decoded, and
// the field that did not decode.

// ErrExpands says that a message takes more memory when it is decoded than it may.
var ErrExpands = errors.New("it takes too much memory when decoded")

// loosely is the share of a peer's account in which a message counts as what it
// takes at most, by its type and the number of its values. Only where there is
// more than that are messages walked through to know better.
const loosely = 4

// decodedSize returns what a message takes when it is decoded, or more, and has
// taken that from the account. It refuses a message that takes much more than the
// limit of messages allows, and one with an integer over math.MaxInt64 where
// the codec reads a number with a sign: it does not look for that one overflow.
// Nor may anything but nil stand where nothing else can be decoded (see
// cannotTravel): the codec fills channels, and would wait for room in one. Most
// messages are too short for the first, have nothing like the second, are of
// types without the third, and are not looked at.
func decodedSize(m Message, into reflect.Type, most uint64, h *account.Holding) (size uint64, err error) {
	b, info := m.B, typeInfoOf(into)
	size = uint64(into.Elem().Size()) + uint64(len(b))
	roughly := size + uint64(m.Values)*info.largest
	if roughly <= most && !(info.signed && msgpack.MayHoldGreat(b)) && info.partly == nil &&
		(roughly <= account.Unaccounted || h.Take(roughly, h.Most()/loosely) == nil) {
		return roughly, nil
	}
	s := sizer{total: size, budget: most}
	_, err = s.value(b, into.Elem())
	switch e := err.(type) {
	case nil:
		return s.total, h.TakeLarge(s.total)
	case *PartError:
		e.Of, e.path = into, s.path
		return 0, e
	}
	return 0, &MisfitError{travels.Join(s.path), err}
}

// largestValue is the most memory that one value of a message can take in a
// variable of type t, beside the bytes that it came in: as an element, and what
// it allocates.
func largestValue(t reflect.Type, seen map[reflect.Type]bool) uint64 {
	most := allocates(t)
	if seen[t] || t.Kind() != reflect.Interface && Marshals(t) {
		return most
	}
	seen[t] = true
	of := func(t reflect.Type, slot uint64) {
		most = max(most, slot+allocates(t), largestValue(t, seen))
	}
	switch t.Kind() {
	case reflect.Interface:
		most = max(most, element(anyType)+mapOf(1, anyType, anyType)+allocates(anyType))
	case reflect.Pointer:
		of(t.Elem(), 0)
	case reflect.Array:
		of(t.Elem(), 0)
	case reflect.Slice:
		of(t.Elem(), element(t.Elem()))
	case reflect.Map:
		of(t.Key(), 0)
		of(t.Elem(), mapOf(1, t.Key(), t.Elem()))
	case reflect.Struct:
		for i := range t.NumField() {
			of(t.Field(i).Type, FieldsOf(t).embedded)
		}
	}
	return most
}

// allocates is what one value of type t allocates, beside what its parts do.
func allocates(t reflect.Type) (n uint64) {
	const deep = 8 // pointers to pointers, of a type that is one to itself
	for range deep {
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
		n += allocated(t.Size())
	}
	switch t.Kind() {
	case reflect.Interface:
		n += allocated(mapHead) // a slice's head, or bytes', is smaller
	case reflect.Map:
		n += mapHead
	case reflect.String, reflect.Slice:
		n += allocated(0)
	}
	return n
}

// allocated is what the allocator makes of a size, about.
func allocated(size uintptr) uint64 { return uint64(size) + uint64(size)/8 + 8 }

// element is what one of a long slice takes, which grows by quarters.
func element(t reflect.Type) uint64 { return uint64(t.Size()) + uint64(t.Size())/4 }

// mapHead is how large a map without elements is.
const mapHead = 48

// mapOf is what a map of n elements has for them: groups of eight places, and in
// all as many as twice those that are needed. What is large is not in the places.
func mapOf(n uint64, key, elem reflect.Type) uint64 {
	if n == 0 {
		return 0
	}
	const group, inPlace, pointer = 8, 128, 8
	place, beside := uint64(1), uint64(0)
	for _, size := range [...]uintptr{key.Size(), elem.Size()} {
		if size > inPlace {
			beside += allocated(size)
			size = pointer
		}
		place += uint64(size)
	}
	places := uint64(group)
	if n > group {
		places = n*16/7 + group
	}
	return places*place + n*beside
}

// holdsSigned reports whether t has numbers with a sign.
func holdsSigned(t reflect.Type, seen map[reflect.Type]bool) bool {
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return holdsSigned(t.Elem(), seen)
	case reflect.Map:
		return holdsSigned(t.Key(), seen) || holdsSigned(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if holdsSigned(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return isSigned(t)
}

func isSigned(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Float32, reflect.Float64, reflect.Complex64, reflect.Complex128:
		return true
	}
	return false
}

// sizer adds up what a message takes when it is decoded.
type sizer struct {
	total, budget uint64
	whole, stop   int      // end with errHere at the value in which so many bytes of all end, if stop is not 0
	path          []string // of the value that an error is of, from inside out
}

// within names the part of a value that err is of.
func (s *sizer) within(err error, part string) error {
	s.path = append(s.path, part)
	return err
}

// here reports whether the bytes to stop at end before rest.
func (s *sizer) here(rest []byte) bool { return s.stop > 0 && s.whole-len(rest) >= s.stop }

func (s *sizer) add(n uint64) error {
	s.total += n
	if s.total > s.budget {
		return fmt.Errorf("%w: more than %d bytes, which Limits.MessageSize sets", ErrExpands, s.budget)
	}
	return nil
}

// value passes over the value that b starts with, as one of type t, and
// returns what follows it. The depth is bounded: the scanner has seen b.
func (s *sizer) value(b []byte, t reflect.Type) ([]byte, error) {
	for t.Kind() == reflect.Pointer && !msgpack.IsNil(b) {
		if err := s.add(allocated(t.Elem().Size())); err != nil {
			return nil, err
		}
		t = t.Elem()
	}
	if !msgpack.IsNil(b) {
		if err := s.add(allocates(t)); err != nil {
			return nil, err
		}
	}
	n, isMap, rest, ok := msgpack.Open(b)
	if !ok && isSigned(t) {
		if great, over := msgpack.Great(b); over && !Marshals(t) {
			return nil, fmt.Errorf("%d does not fit a %v", great, t)
		}
	}
	if t.Kind() != reflect.Struct && !msgpack.IsNil(b) {
		if why := cannotTravel(t); why != "" {
			return nil, &PartError{why: why}
		}
	}
	if !ok || Marshals(t) {
		return s.skip(b) // its bytes are bounded as they are
	}
	if s.here(rest) {
		return nil, errHere
	}
	if t.Kind() == reflect.Struct && n > 0 {
		if err := s.add(FieldsOf(t).embedded); err != nil {
			return nil, err
		}
	}
	switch {
	case !isMap:
		return s.elements(rest, n, t)
	case t.Kind() != reflect.Slice && t.Kind() != reflect.Array:
		return s.pairs(rest, n, t)
	}
	rest, err := s.pairs(rest, n, t)
	if err != nil {
		s.path = nil // it is the map that does not fit
	}
	return rest, err
}

// elements passes over those of an array.
func (s *sizer) elements(b []byte, n uint64, t reflect.Type) (rest []byte, err error) {
	var each func(i uint64) reflect.Type
	switch t.Kind() {
	case reflect.Slice:
		if err := s.add(n * element(t.Elem())); err != nil {
			return nil, err
		}
		each = func(uint64) reflect.Type { return t.Elem() }
	case reflect.Array:
		each = func(uint64) reflect.Type { return t.Elem() }
	case reflect.Struct: // its fields, in order
		fields := FieldsOf(t)
		each = func(i uint64) reflect.Type {
			if i < uint64(len(fields.Order)) {
				return fields.Order[i]
			}
			return nil
		}
	default:
		if err := s.add(n * element(anyType)); err != nil {
			return nil, err
		}
		each = func(uint64) reflect.Type { return anyType }
	}
	for i := range n {
		if b, err = s.part(b, each(i)); err != nil {
			err = s.within(err, "["+strconv.FormatUint(i, 10)+"]")
			if t.Kind() == reflect.Struct && !WrittenAsArray(t) {
				s.path = nil // it is the array that does not fit
			}
			return nil, err
		}
	}
	return b, nil
}

// pairs passes over those of a map.
func (s *sizer) pairs(b []byte, n uint64, t reflect.Type) (rest []byte, err error) {
	key, elem := anyType, anyType
	var fields *Fields
	switch t.Kind() {
	case reflect.Struct:
		fields = FieldsOf(t)
	case reflect.Map:
		key, elem = t.Key(), t.Elem()
	case reflect.Slice, reflect.Array: // keys and elements in turn
		key, elem = t.Elem(), t.Elem()
	}
	if fields == nil {
		if err := s.add(mapOf(n, key, elem)); err != nil {
			return nil, err
		}
	}
	for range n {
		var name []byte
		if fields != nil {
			var after []byte
			name, after, err = msgpack.ReadString(b)
			if err != nil { // not the name of a field
				if after, err = msgpack.Skip(b); err != nil {
					return nil, err
				}
			}
			if s.here(after) {
				return nil, errHere
			}
			b, elem = after, fields.ByName[string(name)]
		} else if b, err = s.part(b, key); err != nil {
			return nil, s.within(err, "[key]")
		}
		if b, err = s.part(b, elem); err != nil {
			if elem == nil || fields == nil {
				name = []byte("[]")
			}
			return nil, s.within(err, string(name))
		}
	}
	return b, nil
}

// part is value, for a type that may be unknown: then the codec skips it.
func (s *sizer) part(b []byte, t reflect.Type) ([]byte, error) {
	if t == nil {
		return s.skip(b)
	}
	return s.value(b, t)
}

// skip passes over a value that takes no more than its bytes.
func (s *sizer) skip(b []byte) (rest []byte, err error) {
	if rest, err = msgpack.Skip(b); err == nil && s.here(rest) {
		err = errHere
	}
	return rest, err
}

var anyType = reflect.TypeFor[any]()
