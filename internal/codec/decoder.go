package codec

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// decoder is the state of one Decode. Its err is set once, and ends it.
type decoder struct {
	b      []byte
	pos    int
	modern bool
	limits msgpack.Limits
	depth  int // containers that are open
	hops   int // pointers that are being followed
	values int // values seen, or announced by a container

	used  uint64 // memory that the result takes, or a little more
	taken uint64 // of it, from the account
	most  uint64
	free  uint64 // how much may be used before more is taken
	holds *account.Holding

	shared  []byte // memory for binary forms
	sharing int    // how large the last of it was

	repeats *repeats // nil: none are looked for
	room    *repeats // for those of the next large message

	err  error
	path []string // of the value that err is of, from inside out
}

// decodeFunc decodes the next value into the memory that p points to, which holds
// a zero value, or one that the same message wrote.
type decodeFunc func(d *decoder, p unsafe.Pointer) bool

// ErrExpands says that a message takes more memory when it is decoded than it may.
var ErrExpands = errors.New("it takes too much memory when decoded")

// MalformedError is the error of a message that is not one msgpack value within the
// limits.
type MalformedError struct{ Cause error }

func (e *MalformedError) Error() string { return e.Cause.Error() }

func (e *MalformedError) Unwrap() error { return e.Cause }

// MisfitError is the error of a message that does not fit a type.
type MisfitError struct {
	Field string // the field that does not fit; empty if the whole message does not
	cause error
}

func (e *MisfitError) Error() string {
	if e.Field == "" {
		return e.cause.Error()
	}
	return "field " + e.Field + ": " + e.cause.Error()
}

func (e *MisfitError) Unwrap() error { return e.cause }

func (d *decoder) init(m Message, most uint64, h *account.Holding) {
	d.b, d.modern, d.limits, d.most, d.holds = m.B, m.Form == Modern, m.Limits, most, h
	d.values, d.hops, d.free = 1, 0, min(account.Unaccounted, most)
	if len(m.B) >= repeatsFrom {
		if d.repeats = d.room; d.repeats == nil {
			d.repeats = new(repeats)
		}
	}
	if len(m.B) > m.Limits.Bytes {
		d.b = nil // so that nothing is read
		d.malformed(&msgpack.LimitError{Limit: msgpack.LimitBytes, Max: m.Limits.Bytes})
	}
}

// release makes d like new, but for the room that it has.
func (d *decoder) release() {
	if d.repeats != nil {
		*d.repeats = repeats{}
		d.room = d.repeats
	}
	*d = decoder{path: d.path[:0], room: d.room}
}

// add accounts for n bytes that the result is about to take.
func (d *decoder) add(n uint64) bool {
	d.used += n
	return d.used <= d.free || d.take()
}

// take takes what is used from the account, and a little of what may be used next:
// the account has a lock, and what one call takes another may be refused for.
func (d *decoder) take() bool {
	if d.err != nil {
		return false
	}
	if d.used > d.most {
		d.err = fmt.Errorf("%w: more than %d bytes, which Limits.MessageSize sets", ErrExpands, d.most)
		return false
	}
	for _, want := range [...]uint64{min(d.used+d.used/16, d.most), d.used} {
		if d.err = d.holds.More(d.taken, want); d.err == nil {
			d.taken, d.free = want, want
			return true
		}
	}
	return false
}

// settle leaves in the account what is used, if that is accounted for at all.
func (d *decoder) settle() bool {
	left := d.used
	if left <= account.Unaccounted {
		left = 0
	}
	if d.taken > left {
		d.holds.Free(d.taken - left)
		d.taken = left
	}
	return true
}

// giveBack gives everything back that was taken, because there is no result.
func (d *decoder) giveBack() {
	d.holds.Free(d.taken)
	d.taken = 0
}

// open accounts for a container of n values; close must follow if it is true.
func (d *decoder) open(n uint64) bool {
	if n > uint64(d.limits.Values-d.values) {
		return d.malformed(&msgpack.LimitError{Limit: msgpack.LimitValues, Max: d.limits.Values})
	}
	if n > 0 && d.depth >= d.limits.Depth {
		return d.malformed(&msgpack.LimitError{Limit: msgpack.LimitDepth, Max: d.limits.Depth})
	}
	if n > uint64(len(d.b)-d.pos) { // each has a byte, at least
		return d.short()
	}
	d.values += int(n)
	d.depth++
	return true
}

func (d *decoder) close() { d.depth-- }

func (d *decoder) malformed(err error) bool {
	if d.err == nil {
		d.err = &MalformedError{err}
	}
	return false
}

func (d *decoder) short() bool { return d.malformed(msgpack.ErrShort) }

// misfit says why the value does not fit.
func (d *decoder) misfit(format string, args ...any) bool {
	d.err = &MisfitError{cause: fmt.Errorf(format, args...)}
	return false
}

func (d *decoder) lost(why string) bool {
	if d.pos >= len(d.b) {
		return d.short()
	}
	d.err = &PartError{why: why}
	return false
}

// wrongKind says that the next value is of a kind that does not fit.
func (d *decoder) wrongKind(wanted string) bool {
	if d.pos >= len(d.b) {
		return d.short()
	}
	if d.b[d.pos] == 0xc1 {
		return d.malformed(msgpack.ErrInvalid)
	}
	return d.misfit("%s where %s is expected", msgpack.Describe(d.b[d.pos:]), wanted)
}

// within adds to the path of the value that the error is of.
func (d *decoder) within(part string) bool {
	d.path = append(d.path, part)
	return false
}

// failure is the error of the whole message.
func (d *decoder) failure(into reflect.Type) error {
	switch e := d.err.(type) {
	case *MisfitError:
		e.Field = travels.Join(d.path)
	case *PartError:
		e.Of = into
		e.path = append(e.path, d.path...)
	}
	return d.err
}

// isNil passes over the next value if it is nil.
func (d *decoder) isNil() bool {
	if d.pos < len(d.b) && d.b[d.pos] == msgpack.Nil {
		d.pos++
		return true
	}
	return false
}

// head reads the head of the next value, whose payload follows at pos.
func (d *decoder) head() (h msgpack.Head, ok bool) {
	h, ok = msgpack.Parse(d.b[d.pos:])
	switch {
	case !ok:
		return h, d.short()
	case h.Kind == msgpack.KindInvalid:
		return h, d.malformed(msgpack.ErrInvalid)
	}
	d.pos += int(h.Size)
	if end := uint64(d.pos) + h.Payload; end > uint64(d.limits.Bytes) {
		return h, d.malformed(&msgpack.LimitError{Limit: msgpack.LimitBytes, Max: d.limits.Bytes})
	} else if end > uint64(len(d.b)) {
		return h, d.short()
	}
	return h, true
}

// container reads the head of an array or a map with n elements or pairs, and
// accounts for it; close must follow.
func (d *decoder) container(kind msgpack.Kind, wanted string) (n int, ok bool) {
	start := d.pos
	if start < len(d.b) { // most are short
		switch c := d.b[start]; {
		case c&0xf0 == 0x80 && kind == msgpack.KindMap:
			d.pos++
			return int(c & 0x0f), d.open(2 * uint64(c&0x0f))
		case c&0xf0 == 0x90 && kind == msgpack.KindArray:
			d.pos++
			return int(c & 0x0f), d.open(uint64(c & 0x0f))
		}
	}
	h, ok := d.head()
	if !ok {
		return 0, false
	}
	if h.Kind != kind {
		d.pos = start
		return 0, d.wrongKind(wanted)
	}
	if !d.open(h.Children) {
		return 0, false
	}
	if kind == msgpack.KindMap {
		return int(h.Children / 2), true
	}
	return int(h.Children), true
}

// str reads a string or bytes, of any form. The result is part of the message.
func (d *decoder) str(wanted string) (s []byte, ok bool) {
	start := d.pos
	if start+1 < len(d.b) { // most are short
		from, end := start+1, start
		switch c := d.b[start]; {
		case c&0xe0 == 0xa0:
			end = from + int(c&0x1f)
		case c == 0xd9 || c == 0xc4:
			from++
			end = from + int(d.b[start+1])
		}
		if end > start && end <= len(d.b) {
			d.pos = end
			return d.b[from:end:end], true
		}
	}
	h, ok := d.head()
	if !ok {
		return nil, false
	}
	if h.Kind != msgpack.KindString {
		d.pos = start
		return nil, d.wrongKind(wanted)
	}
	end := d.pos + int(h.Payload)
	s = d.b[d.pos:end:end]
	d.pos = end
	return s, true
}

// skip passes over the next value, within the limits. Their depth bounds the
// recursion.
func (d *decoder) skip() bool {
	h, ok := d.head()
	if !ok {
		return false
	}
	d.pos += int(h.Payload)
	if h.Children == 0 {
		return true
	}
	if !d.open(h.Children) {
		return false
	}
	for range h.Children {
		if !d.skip() {
			return false
		}
	}
	d.close()
	return true
}
