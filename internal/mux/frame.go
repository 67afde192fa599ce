// Package mux carries many calls on one stream: requests one way, replies the
// other, each a message of bytes that the package does not look into. It knows
// nothing of libp2p nor of what a call is; docs/session.md is its
// specification.
package mux

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// kind is a frame's first byte.
type kind byte

const (
	kindSettings kind = 1 + iota
	kindRequest       // client: the first piece of a request
	kindReply         // server: the first piece of a reply
	kindData          // the next piece of either
	kindCancel        // client: the call is given up
	kindAbort         // server: the call has ended, and no more of it will come
	kindRefuse        // server: the request was not looked at
	kindPing
	kindPong
	kindGoAway
	lastKind = kindGoAway
)

// Kinds from firstExtension on are passed over by whoever does not know them;
// an unknown kind below it ends the session.
const firstExtension = 64

// The settings that a side announces. Unknown ones are passed over.
const (
	settingCalls   = 1 // how many calls the server takes at once
	settingMessage = 2 // the most bytes of one message
)

const (
	// MaxFrame is the most bytes of a frame, without its length.
	MaxFrame = 64 << 10

	// maxHead is the most bytes of a frame before its body.
	maxHead = 1 + 2*binary.MaxVarintLen64

	// maxText is how much of a reason travels.
	maxText = 1 << 10
)

// frame is one as it arrived. Which of the fields it has, its kind says.
type frame struct {
	kind   kind
	id     uint64
	num    uint64   // the whole message's length, or a code
	body   []byte   // a piece, a text, or a ping's eight bytes
	size   int      // of the body
	unsure bool     // of a kind that is not known here
	lost   error    // why there was no memory for the body
	held   int      // what is accounted for the buffer
	placed *inbound // which body is in already
}

var errFrame = errors.New("malformed frame")

// parseFrame reads what is in b, which body shares. So many bytes more belong
// to the body, and are not there.
func parseFrame(b []byte, missing int) (f frame, err error) {
	if len(b) == 0 {
		return f, fmt.Errorf("%w: it is empty", errFrame)
	}
	f.kind, b = kind(b[0]), b[1:]
	numbers := 0
	switch f.kind {
	case kindRequest, kindReply, kindCancel, kindRefuse, kindGoAway:
		numbers = 2
	case kindData, kindAbort:
		numbers = 1
	case kindSettings:
	case kindPing, kindPong:
		if n := len(b) + missing; n != 8 {
			return f, fmt.Errorf("%w: a ping of %d bytes", errFrame, n)
		}
	default:
		if f.kind < firstExtension {
			return f, fmt.Errorf("%w: unknown kind %d", errFrame, f.kind)
		}
		f.unsure = true
	}
	for _, n := range []*uint64{&f.id, &f.num}[:numbers] {
		v, size := binary.Uvarint(b)
		if size <= 0 {
			return f, fmt.Errorf("%w: kind %d with a bad number", errFrame, f.kind)
		}
		*n, b = v, b[size:]
	}
	f.body, f.size = b, len(b)+missing
	first := f.kind == kindRequest || f.kind == kindReply
	switch {
	case (f.kind == kindCancel || f.kind == kindAbort) && f.size > 0:
		return f, fmt.Errorf("%w: %d bytes too many for kind %d", errFrame, f.size, f.kind)
	case first && uint64(f.size) > f.num:
		return f, fmt.Errorf("%w: a piece of %d bytes of a message of %d", errFrame, f.size, f.num)
	case first && f.size == 0 && f.num > 0, f.kind == kindData && f.size == 0:
		return f, fmt.Errorf("%w: an empty piece", errFrame)
	}
	return f, nil
}

// settings reads the pairs of a settings frame.
func (f *frame) settings(each func(key, value uint64)) error {
	for b := f.body; len(b) > 0; {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			return fmt.Errorf("%w: bad settings", errFrame)
		}
		value, m := binary.Uvarint(b[n:])
		if m <= 0 {
			return fmt.Errorf("%w: bad settings", errFrame)
		}
		each(key, value)
		b = b[n+m:]
	}
	return nil
}

// appendFrame appends a frame with its length before it.
func appendFrame(b []byte, k kind, numbers []uint64, body ...[]byte) []byte {
	size := 1
	for _, n := range numbers {
		size += uvarintLen(n)
	}
	for _, p := range body {
		size += len(p)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, byte(k))
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
	}
	for _, p := range body {
		b = append(b, p...)
	}
	return b
}

func uvarintLen(n uint64) (size int) {
	for size = 1; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

func appendSettings(b []byte, pairs ...uint64) []byte {
	var body []byte
	for _, n := range pairs {
		body = binary.AppendUvarint(body, n)
	}
	return appendFrame(b, kindSettings, nil, body)
}
