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
	kindOpen    // client: a streaming call, with its first bytes
	kindBytes   // the next bytes of a streaming call
	kindEnd     // server: the last bytes of one
	kindGrant   // so many more bytes may be sent
	kindBlocked // more is to be sent than may be
	lastKind    = kindBlocked
)

// Kinds from firstExtension on are passed over by whoever does not know them;
// an unknown kind below it ends the session.
const firstExtension = 64

// The settings that a side announces. Unknown ones are passed over.
const (
	settingCalls   = 1 // how many calls the server takes at once
	settingMessage = 2 // the most bytes of one message
	settingWindow  = 3 // the first window of a call's arguments
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
	case kindRequest, kindReply, kindCancel, kindRefuse, kindGoAway, kindOpen, kindGrant:
		numbers = 2
	case kindData, kindAbort, kindBytes, kindEnd, kindBlocked:
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
	return f, f.checkSize()
}

// checkSize checks that the body is as long as the kind says.
func (f *frame) checkSize() error {
	switch f.kind {
	case kindCancel, kindAbort, kindGrant, kindBlocked:
		if f.size > 0 {
			return fmt.Errorf("%w: %d bytes too many for kind %d", errFrame, f.size, f.kind)
		}
	case kindRequest, kindReply:
		if uint64(f.size) > f.num {
			return fmt.Errorf("%w: a piece of %d bytes of a message of %d", errFrame, f.size, f.num)
		}
		if f.size == 0 && f.num > 0 {
			return fmt.Errorf("%w: an empty piece", errFrame)
		}
	case kindData, kindOpen, kindBytes:
		if f.size == 0 {
			return fmt.Errorf("%w: an empty piece", errFrame)
		}
	}
	return nil
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
	n := 0
	for _, p := range body {
		n += len(p)
	}
	b = appendHead(b, k, numbers, n)
	for _, p := range body {
		b = append(b, p...)
	}
	return b
}

// appendHead appends what comes before a frame's body of n bytes.
func appendHead(b []byte, k kind, numbers []uint64, n int) []byte {
	size := 1 + n
	for _, n := range numbers {
		size += uvarintLen(n)
	}
	b = binary.AppendUvarint(b, uint64(size))
	b = append(b, byte(k))
	for _, n := range numbers {
		b = binary.AppendUvarint(b, n)
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
