// Package codec turns Go values into bytes and bytes into Go values: the msgpack
// that go-libp2p-gorpc v0.6 writes and reads. It alone imports the codec library,
// and keeps from it what the library would misread, recurse into without end, or
// take too much memory for.
package codec

import (
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	ugorji "github.com/ugorji/go/codec"

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
var handle = newHandle()

func newHandle() *ugorji.MsgpackHandle {
	h := new(ugorji.MsgpackHandle)
	h.MaxDepth = MaxDepth + 1
	h.MaxInitLen = 1 << 10
	h.CheckCircularRef = true // recursion without end is no error that can be recovered
	return h
}

type encoder struct {
	*ugorji.Encoder
	out []byte
}

var encoders = sync.Pool{New: func() any {
	e := new(encoder)
	e.Encoder = ugorji.NewEncoderBytes(&e.out, handle)
	return e
}}

// Append appends the encoding of v to b, a buffer of the pool, and returns the
// buffer that takes its place. A panic of v's own methods is an error.
func Append(b []byte, v any) (out []byte, err error) {
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
	if v == nil {
		return b, errors.New("nil cannot be encoded")
	}
	t := typeInfoOf(reflect.TypeOf(v))
	sent := v
	if t.misread {
		sent = pointerTo(v)
	}
	if t.walked {
		misread, err := checkValue(v)
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

// Message is a received message, which the scanner has found to be one value
// within the limits.
type Message struct {
	B      []byte
	Values int  // the number of values in it
	Kept   bool // the receiver of the decoded value may keep B
}

// Decode decodes m into the variable that into points to. It refuses a message
// that takes more than most bytes of memory (ErrExpands), and takes the memory
// from the account h: size bytes, if they are more than account.Unaccounted. It
// keeps none of m.B, unless m.Kept. Other errors: *MisfitError, *PartError,
// *account.DecodedError.
func Decode(m Message, into any, most uint64, h *account.Holding) (size uint64, err error) {
	if s, ok := onlyRaw(m.B, into); ok {
		if err := h.TakeLarge(uint64(len(s))); err != nil {
			return 0, err
		}
		decodeRaw(s, into, m.Kept)
		return uint64(len(s)), nil
	}
	b := m.B
	if size, err = decodedSize(m, reflect.TypeOf(into), most, h); err != nil {
		return 0, err
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("cannot decode into %T: %v", into, r)
		}
	}()
	pool := &decoders.Load().pool
	d := pool.Get().(*ugorji.Decoder)
	d.ResetBytes(b)
	if err := d.Decode(into); err != nil {
		return size, misfit(b, reflect.TypeOf(into), d.NumBytesRead(), err)
	}
	d.ResetBytes(nil)
	pool.Put(d)
	return size, nil
}

// DecodeReply is Decode into a new value, which then replaces the caller's: it
// neither keeps nor overwrites memory of an earlier answer, because copies may
// share it. If m does not decode, the variable stays as it was.
func DecodeReply(m Message, into any, most uint64, h *account.Holding) error {
	reply := reflect.ValueOf(into).Elem()
	if reply.IsZero() { // nothing is there that could be kept
		_, err := Decode(m, into, most, h)
		if err != nil {
			reply.SetZero()
		}
		return err
	}
	p := reflect.New(reply.Type())
	if _, err := Decode(m, p.Interface(), most, h); err != nil {
		return err
	}
	reply.Set(p.Elem())
	return nil
}

// typeInfo is what is known of a type that travels.
type typeInfo struct {
	partly  error        // names the field that cannot travel, if there is one; see travels.Obstacle
	largest uint64       // see largestValue
	signed  bool         // see holdsSigned
	walked  bool         // its values are looked at before they are encoded; see checkValue
	misread bool         // see isMisread
	size    atomic.Int32 // of the last encoding: how much room the next may need
}

// maxSizeHint bounds the room that is made for a value because the last of its
// type was large.
const maxSizeHint = 1 << 20

var typeInfos sync.Map // reflect.Type to *typeInfo

func typeInfoOf(t reflect.Type) *typeInfo {
	info, ok := typeInfos.Load(t)
	if !ok {
		decodeOwnForms(t)
		n := nestingOf(t)
		info, _ = typeInfos.LoadOrStore(t, &typeInfo{
			partly: travelsPartly(t), walked: n.walked, misread: n.misread,
			largest: largestValue(t, make(map[reflect.Type]bool)), signed: holdsSigned(t, make(map[reflect.Type]bool)),
		})
	}
	return info.(*typeInfo)
}

// Partly returns an error that names the first part of t that travels only while
// it is nil or zero, and nil if there is none.
func Partly(t reflect.Type) error { return typeInfoOf(t).partly }

// MaxDepth is the deepest nesting of a value that is encoded or decoded, because
// the codec library recurses.
const MaxDepth = 1000
