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
	left   uint64    // values still missing from the innermost container, or the whole value
	open   []uint64  // and from those around it
	first  [8]uint64 // what open starts with: few values nest deeper
}

// Reset prepares s for a new value.
func (s *Scanner) Reset(l Limits) {
	s.limits, s.pos, s.values, s.left = l, 0, 1, 1
	if s.open == nil {
		s.open = s.first[:]
	}
	s.open = s.open[:0]
}

// Need is the least length the whole value can have, as far as it is known. It
// comes from the sender: a hint for how to grow, never a size to allocate.
func (s *Scanner) Need() int {
	if s.pos == 0 { // nothing is known
		return 0
	}
	need := s.pos + s.left
	for _, n := range s.open {
		need += n
	}
	return int(min(need, uint64(s.limits.Bytes)))
}

// Scan continues over buf, which holds the value from its first byte and all
// that has arrived after it. When done, the value is buf[:end].
func (s *Scanner) Scan(buf []byte) (end int, done bool, err error) {
	pos, left := s.pos, s.left
	for {
		for left == 0 {
			n := len(s.open)
			if n == 0 {
				s.pos, s.left = pos, 0
				return s.ends(len(buf))
			}
			left, s.open = s.open[n-1], s.open[:n-1]
		}
		if pos >= uint64(len(buf)) {
			break
		}
		c := buf[pos]
		if n := fixedSize[c]; n > 0 { // most values have no parts, and say how long they are
			pos += uint64(n)
			left--
			continue
		}
		if (c == 0xd9 || c == 0xc4) && pos+1 < uint64(len(buf)) { // or in a second byte
			pos += 2 + uint64(buf[pos+1])
			left--
			continue
		}
		h, ok := Parse(buf[pos:])
		if !ok {
			break // the head itself is not whole yet
		}
		if h.Kind == KindInvalid {
			return 0, false, ErrInvalid
		}
		pos += uint64(h.Size) + h.Payload
		left--
		if h.Children == 0 {
			continue
		}
		if err := s.opens(h.Children); err != nil {
			return 0, false, err
		}
		s.open = append(s.open, left)
		left = h.Children
	}
	s.pos, s.left = pos, left
	if pos > uint64(s.limits.Bytes) {
		return 0, false, &LimitError{LimitBytes, s.limits.Bytes}
	}
	return 0, false, nil
}

// ends reports the end of the value, which may lie beyond what has arrived.
func (s *Scanner) ends(arrived int) (end int, done bool, err error) {
	switch {
	case s.pos > uint64(s.limits.Bytes):
		return 0, false, &LimitError{LimitBytes, s.limits.Bytes}
	case s.pos > uint64(arrived):
		return 0, false, nil
	}
	return int(s.pos), true, nil
}

// opens accounts for the children of a container.
func (s *Scanner) opens(children uint64) error {
	s.values += children
	if s.values > uint64(s.limits.Values) {
		return &LimitError{LimitValues, s.limits.Values}
	}
	if len(s.open) >= s.limits.Depth {
		return &LimitError{LimitDepth, s.limits.Depth}
	}
	return nil
}

var scanners = sync.Pool{New: func() any { return new(Scanner) }}

// First returns the length of the value that b starts with; an error if there
// is none within the limits.
func First(b []byte, l Limits) (int, error) {
	if h, ok := Parse(b); ok && h.Children == 0 && h.Kind != KindInvalid && h.Payload <= uint64(len(b)-int(h.Size)) {
		if n := int(h.Size) + int(h.Payload); n <= l.Bytes {
			return n, nil
		}
		return 0, &LimitError{LimitBytes, l.Bytes}
	}
	s := scanners.Get().(*Scanner)
	defer scanners.Put(s)
	s.Reset(l)
	n, done, err := s.Scan(b)
	switch {
	case err != nil:
		return 0, err
	case !done:
		return 0, ErrShort
	}
	return n, nil
}

// Check reports whether b is exactly one value within the limits.
func Check(b []byte, l Limits) error {
	end, err := First(b, l)
	if err == nil && end != len(b) {
		err = fmt.Errorf("msgpack: %d bytes after the value", len(b)-end)
	}
	return err
}
