package rpc

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// wireSource takes the items of a streaming call off the stream: arguments on
// the server, replies on the client.
type wireSource struct {
	r      *wire.Reader
	limits *Limits
	id     ServiceID
	stats  *recorder
	kind   ErrorType // of an error here
	item   string    // what the items are, for errors
	count  int

	marked      bool // the last item is followed by a mark
	responses   bool // each item has a header
	lastOK      []byte
	charge      charge // of the item that was returned last
	decodeError func(b []byte, err error) *Error
	stop        func()
}

func (s *wireSource) halt() { s.stop() }

func (s *wireSource) next(wait bool, into sink) (it item, st state, err error) {
	s.charge.free()
	if s.marked {
		if !wait && s.r.EndBuffered() {
			return it, stateEnd, nil
		}
		if wait {
			if end, err := s.r.AtEnd(); end || err != nil {
				return it, stateEnd, err
			}
		}
	}
	pace := wire.PaceValue
	if s.responses {
		if st, err := s.response(wait); st != stateItem || err != nil {
			return it, st, err
		}
		wait, pace = true, wire.PaceAll // its value is part of it
	}
	b, st, err := s.take(s.limits.message(), wait, pace)
	if err == nil && st == stateEnd && s.responses {
		err = io.ErrUnexpectedEOF // a header, and nothing after it
	}
	if st != stateItem || err != nil {
		return it, st, err
	}
	s.count++
	it = into.fresh()
	took, err := decode(message{b: b, values: s.r.Values()}, it.ptr, s.limits, s.charge.of)
	if err != nil {
		e := *s.decodeError(b, err)
		e.Message += fmt.Sprintf(" (%s %d of the stream)", s.item, s.count)
		return it, stateEnd, &e
	}
	if took > unaccounted {
		s.charge.n, it.holds = took, &s.charge
	}
	if it.sized(len(b)); took > smallItem {
		it.sized(int(took))
	}
	if s.stats != nil {
		s.stats.in(it.reflected(), b)
	}
	s.r.Done()
	return it, stateItem, nil
}

// smallItem is how large items may be that pipes take for as large as their
// bytes.
const smallItem = pipeBytes / pipeItems

// take returns the next value.
func (s *wireSource) take(l msgpack.Limits, wait bool, pace wire.Pace) (b []byte, st state, err error) {
	if !wait {
		b, ok, err := s.r.Buffered(l)
		if err == nil && !ok {
			return nil, stateIdle, nil
		}
		return b, stateItem, s.failed(err)
	}
	b, err = s.r.Next(l, pace)
	if err == io.EOF {
		return nil, stateEnd, nil
	}
	return b, stateItem, s.failed(err)
}

func (s *wireSource) failed(err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s %d of the stream", s.item, s.count+1)
	if err == io.ErrUnexpectedEOF && s.kind == ServerErr {
		return serverError(CodeInvalidArgument, s.id, "%s ends too early: %w", what, err)
	}
	return limitError(err, s.id, s.kind, what, s.limits)
}

// response reads an item's header. An error in it is the call's.
func (s *wireSource) response(wait bool) (state, error) {
	if len(s.lastOK) > 0 && s.r.Skip(s.lastOK) {
		return stateItem, nil
	}
	b, st, err := s.take(responseLimits, wait, wire.PaceValue)
	if st != stateItem || err != nil || len(s.lastOK) > 0 && bytes.Equal(b, s.lastOK) {
		return st, err
	}
	failure, err := readFailure(s.id, b)
	if err == nil {
		err = failure
	}
	if err != nil {
		return stateEnd, err
	}
	s.lastOK = append(s.lastOK[:0], b...) // the next is most likely the same
	return stateItem, nil
}

// wireSink puts the items of a streaming call on the stream.
type wireSink struct {
	w      *wire.Writer
	prefix []byte // the header before each item
	limits *Limits
	id     ServiceID
	stats  *recorder
	kind   ErrorType
	item   string
	count  int
	close  func() error // after the last item
}

// fresh is never called: what is put here is encoded, not decoded.
func (s *wireSink) fresh() item { panic("rpc: a stream is no place to decode into") }

func (s *wireSink) put(it item) error {
	s.count++
	start := len(s.w.B)
	b := append(s.w.B, s.prefix...)
	head := len(b)
	data, users := rawBytes(it.encodable())
	if users = users && len(data) >= wire.FlushSize && s.stats == nil; users {
		b = msgpack.AppendStringHead(b, len(data)) // and they need not be copied
	} else {
		var err error
		if b, err = appendEncoded(b, it.encodable()); err != nil {
			s.w.B = b[:start]
			return newError(s.kind, CodeInvalidArgument, s.id, "%s %d of the stream: %w", []any{s.item, s.count, err})
		}
	}
	n := len(b) - head
	if users {
		n += len(data)
	}
	if n > s.limits.MessageSize {
		s.w.B = b[:start]
		return newError(s.kind, CodeResourceExhausted, s.id,
			"%s %d of the stream is %d bytes long, and %d may be; Limits.MessageSize sets it", []any{s.item, s.count, n, s.limits.MessageSize}).over("Limits.MessageSize")
	}
	s.w.B = b
	it.sized(n)
	if s.stats != nil {
		s.stats.out(it.reflected(), b[head:])
	}
	switch {
	case users:
		return s.failed(s.w.FlushWith(data, s.kind == ClientErr))
	case len(b) >= wire.FlushSize:
		return s.flush()
	}
	return nil
}

func (s *wireSink) flush() error { return s.failed(s.w.Flush()) }

func (s *wireSink) failed(err error) error {
	if err == nil {
		return nil
	}
	return limitError(err, s.id, s.kind, "the stream", s.limits)
}

func (s *wireSink) end() error {
	if err := s.flush(); err != nil || s.close == nil {
		return err
	}
	return s.close()
}

// isCallError reports whether err is one to tell, rather than that of a
// stream or a channel that was stopped.
func isCallError(err error) bool {
	if err == nil {
		return false
	}
	var e *Error
	return errors.As(err, &e)
}
