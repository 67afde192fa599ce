// Package msgpack holds the little of the format that the library reads and
// writes by itself: a scanner that finds the end of one value and checks it
// against limits before any decoder sees it, and the few primitives that
// headers are made of.
package msgpack

import (
	"errors"
	"fmt"
	"sync"
)

// Limits bounds one value. Every field must be positive.
type Limits struct {
	Bytes  int // length of the whole value
	Values int // scalars and containers in it, itself included
	Depth  int // containers within containers
}

// Limit names one of the fields of Limits.
type Limit int

// The limits a value can exceed.
const (
	LimitBytes Limit = iota
	LimitValues
	LimitDepth
)

// LimitError reports a value that is larger than it may be.
type LimitError struct {
	Limit Limit
	Max   int
}

func (e *LimitError) Error() string {
	switch e.Limit {
	case LimitBytes:
		return fmt.Sprintf("msgpack: value of more than %d bytes", e.Max)
	case LimitValues:
		return fmt.Sprintf("msgpack: more than %d values", e.Max)
	default:
		return fmt.Sprintf("msgpack: containers nested more than %d deep", e.Max)
	}
}

// ErrInvalid reports a byte that starts no msgpack value.
var ErrInvalid = errors.New("msgpack: invalid byte 0xc1")

// Scanner finds the end of one value in a buffer that is still growing. It
// looks at each byte once, however many reads brought them, and keeps its own
// stack, so that no input can make it recurse.
//
// The zero Scanner is not usable: call Reset first. It must not be copied after
// that, and is not safe for concurrent use.
type Scanner struct {
	limits Limits
	pos    uint64    // where the next value starts, possibly past the buffer's end
	values uint64    // values seen or promised by a container
	open   []uint64  // values still missing from each open container
	first  [8]uint64 // what open starts with: few values nest deeper
}

// Reset prepares s for a new value.
func (s *Scanner) Reset(l Limits) {
	s.limits, s.pos, s.values = l, 0, 1
	if s.open == nil {
		s.open = s.first[:]
	}
	s.open = s.open[:0]
}

// Need is the least length the whole value can have, as far as it is known. It
// comes from the sender: a hint for how to grow, never a size to allocate.
func (s *Scanner) Need() int {
	need := s.pos
	for _, n := range s.open {
		need += n
	}
	return int(min(need, uint64(s.limits.Bytes)))
}

// Scan continues over buf, which holds the value from its first byte and all
// that has arrived after it. When done, the value is buf[:end].
func (s *Scanner) Scan(buf []byte) (end int, done bool, err error) {
	for {
		if s.pos > uint64(s.limits.Bytes) {
			return 0, false, &LimitError{LimitBytes, s.limits.Bytes}
		}
		if s.pos >= uint64(len(buf)) {
			// A payload that ends exactly here may complete the value.
			if s.pos == uint64(len(buf)) && s.complete() {
				return int(s.pos), true, nil
			}
			return 0, false, nil
		}
		if s.complete() {
			return int(s.pos), true, nil
		}
		h, ok := Parse(buf[s.pos:])
		if !ok {
			return 0, false, nil // the head itself is not whole yet
		}
		if h.Kind == KindInvalid {
			return 0, false, ErrInvalid
		}
		if err := s.take(h); err != nil {
			return 0, false, err
		}
	}
}

// complete reports whether every promised value has been seen.
func (s *Scanner) complete() bool { return len(s.open) == 0 && s.pos > 0 }

// take accounts for the value whose head is h.
func (s *Scanner) take(h Head) error {
	s.pos += uint64(h.Size) + h.Payload
	if n := len(s.open); n > 0 {
		s.open[n-1]--
	}
	if h.Children > 0 {
		s.values += h.Children
		if s.values > uint64(s.limits.Values) {
			return &LimitError{LimitValues, s.limits.Values}
		}
		if len(s.open) >= s.limits.Depth {
			return &LimitError{LimitDepth, s.limits.Depth}
		}
		s.open = append(s.open, h.Children)
	}
	for n := len(s.open); n > 0 && s.open[n-1] == 0; n-- {
		s.open = s.open[:n-1]
	}
	return nil
}

var scanners = sync.Pool{New: func() any { return new(Scanner) }}

// Values is how many values there are in what was scanned, itself included.
func (s *Scanner) Values() int { return int(s.values) }

// First returns the length of the value that b starts with; an error if there
// is none within the limits.
func First(b []byte, l Limits) (int, error) {
	n, _, err := first(b, l)
	return n, err
}

func first(b []byte, l Limits) (n, values int, err error) {
	if h, ok := Parse(b); ok && h.Children == 0 && h.Kind != KindInvalid && h.Payload <= uint64(len(b)-int(h.Size)) {
		if n := int(h.Size) + int(h.Payload); n <= l.Bytes {
			return n, 1, nil
		}
		return 0, 0, &LimitError{LimitBytes, l.Bytes}
	}
	s := scanners.Get().(*Scanner)
	defer scanners.Put(s)
	s.Reset(l)
	n, done, err := s.Scan(b)
	switch {
	case err != nil:
		return 0, 0, err
	case !done:
		return 0, 0, ErrShort
	case n > l.Bytes:
		return 0, 0, &LimitError{LimitBytes, l.Bytes}
	}
	return n, s.Values(), nil
}

// Check reports whether b is exactly one value within the limits.
func Check(b []byte, l Limits) error {
	_, err := Count(b, l)
	return err
}

// Count is Check, and returns how many values there are in b, itself included.
func Count(b []byte, l Limits) (values int, err error) {
	end, values, err := first(b, l)
	if err == nil && end != len(b) {
		err = fmt.Errorf("msgpack: %d bytes after the value", len(b)-end)
	}
	return values, err
}
