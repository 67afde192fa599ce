package wire

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Headers recognizes headers that came before, byte by byte: whoever sends many
// requests mostly calls few methods. It is safe for concurrent use.
type Headers struct {
	seen [8]atomic.Pointer[seenHeader]
	next atomic.Uint32
}

// seenHeader is a header up to its timeout, which is last and of every request's
// own.
type seenHeader struct {
	prefix  []byte
	header  Header // without the timeout
	timeout bool
}

// Find returns the header that b begins with, and its length, if it is one that
// was kept.
func (s *Headers) Find(b []byte) (h Header, n int, ok bool) {
	for i := range s.seen {
		k := s.seen[i].Load()
		if k == nil {
			break
		}
		if !bytes.HasPrefix(b, k.prefix) {
			continue
		}
		h, n = k.header, len(k.prefix)
		if k.timeout {
			t, rest, err := msgpack.ReadUint(b[n:])
			if err != nil {
				break
			}
			h.Timeout, n = time.Duration(min(t, 1<<63-1)), len(b)-len(rest)
		}
		return h, n, true
	}
	return Header{}, 0, false
}

// Keep has Find know h, of which b is the encoding. Those with metadata, or
// written otherwise than by AppendHeader, are not worth it.
func (s *Headers) Keep(b []byte, h *Header) {
	if len(h.Metadata) > 0 || !bytes.Equal(b, AppendHeader(nil, h)) {
		return
	}
	k := &seenHeader{prefix: bytes.Clone(b), header: *h}
	if h.Timeout > 0 {
		k.prefix = k.prefix[:len(b)-len(msgpack.AppendUint(nil, uint64(h.Timeout)))]
		k.timeout, k.header.Timeout = true, 0
	}
	s.seen[(s.next.Add(1)-1)%uint32(len(s.seen))].Store(k)
}
