package wire

import (
	"bytes"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// source takes the items of a streaming call off the stream: arguments on the
// server, replies on the client.
type source struct {
	r        *wire.Reader
	limits   *call.Limits
	observer flow.Observer // nil: nobody
	origin   call.Origin   // of a fault here
	item     string        // what the items are, for faults
	count    int

	marked      bool       // the last item is followed by a mark
	call        *call.Call // of a client: each item has a header
	headed      bool       // the method's header has come
	ending      bool       // its trailer has, too
	lastOK      []byte
	charge      account.Charge   // of the item that was returned last
	fresh       func() flow.Item // makes what an item is decoded into
	undecodable func(b []byte, err error) *call.Fault
	stop        func()
}

func (s *source) Halt() { s.stop() }

// Next is that of [flow.Source].
func (s *source) Next(wait bool) (it flow.Item, st flow.State, err error) {
	s.charge.Free()
	if s.marked {
		if !wait && s.r.EndBuffered() {
			return it, flow.AtEnd, nil
		}
		if wait {
			if end, err := s.r.AtEnd(); end || err != nil {
				return it, flow.AtEnd, call.Masked(err)
			}
		}
	}
	pace := wire.PaceValue
	if s.call != nil {
		alone, st, err := s.response(wait)
		switch {
		case st != flow.HasItem || err != nil:
			return it, st, err
		case alone:
			return s.Next(wait)
		}
		wait, pace = true, wire.PaceAll // its value is part of it
	}
	b, st, err := s.take(s.limits.Message(), wait, pace)
	if err == nil && st == flow.AtEnd && s.call != nil {
		err = io.ErrUnexpectedEOF // a header, and nothing after it
	}
	if st != flow.HasItem || err != nil {
		return it, st, err
	}
	if s.count++; s.count == 1 && s.call != nil {
		s.call.Back.PutHeader(nil) // or it has come
	}
	it = s.fresh()
	took, err := codec.Decode(codec.Message{B: b, Form: formOf(s.marked), Limits: s.limits.Message()}, it.Ptr, s.limits.MostDecoded(), s.charge.Of)
	if err != nil {
		return it, flow.AtEnd, s.undecodable(b, err).With(fmt.Sprintf("%s %d of the stream", s.item, s.count))
	}
	if took > account.Unaccounted {
		s.charge.N, it.Holds = took, &s.charge
	}
	if it.Sized(len(b)); took > smallItem {
		it.Sized(int(took))
	}
	if s.observer != nil {
		s.observer.In(it.Reflected(), b)
	}
	s.r.Done()
	return it, flow.HasItem, nil
}

// smallItem is how large items may be that pipes take for as large as their
// bytes.
const smallItem = flow.PipeBytes / flow.PipeItems

// take returns the next value.
func (s *source) take(l msgpack.Limits, wait bool, pace wire.Pace) (b []byte, st flow.State, err error) {
	if !wait {
		b, ok, err := s.r.Buffered(l)
		if err == nil && !ok {
			return nil, flow.Idle, nil
		}
		return b, flow.HasItem, s.failed(err)
	}
	b, err = s.r.Next(l, pace)
	if err == io.EOF {
		return nil, flow.AtEnd, nil
	}
	return b, flow.HasItem, s.failed(err)
}

func (s *source) failed(err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s %d of the stream", s.item, s.count+1)
	if err == io.ErrUnexpectedEOF && s.origin == call.OfServer {
		return call.Fail(call.OfServer, codes.InvalidArgument, "%s ends too early: %w", what, err)
	}
	return s.limits.Fault(err, s.origin, what)
}

// response reads an item's header, or one that has metadata and stands alone. An
// error in it is the call's.
func (s *source) response(wait bool) (alone bool, st flow.State, err error) {
	if len(s.lastOK) > 0 && s.r.Skip(s.lastOK) {
		return false, flow.HasItem, s.inOrder(false, false)
	}
	b, st, err := s.take(s.limits.Response(), wait, wire.PaceValue)
	switch {
	case st != flow.HasItem || err != nil:
		return false, st, err
	case len(s.lastOK) > 0 && bytes.Equal(b, s.lastOK):
		return false, flow.HasItem, s.inOrder(false, false)
	}
	refusal, header, trailer, err := s.call.ReadResponse(b, s.limits)
	if err == nil {
		err = refusal
	}
	if err == nil {
		err = s.inOrder(header, trailer)
	}
	switch {
	case err != nil:
		return false, flow.AtEnd, err
	case (header || trailer) && s.marked:
		return true, flow.HasItem, nil
	}
	s.lastOK = append(s.lastOK[:0], b...) // the next is most likely the same
	return false, flow.HasItem, nil
}

// inOrder checks that a header comes before the items, and nothing after a trailer.
func (s *source) inOrder(header, trailer bool) error {
	if s.ending || header && (s.headed || s.count > 0) {
		return call.Fail(call.OfClient, codes.Internal, "bad response: the method's metadata is out of order")
	}
	s.headed, s.ending = s.headed || header, trailer
	return nil
}

// sink puts the items of a streaming call on the stream.
type sink struct {
	w        *wire.Writer
	form     codec.Form
	prefix   []byte // the header before each item
	limits   *call.Limits
	observer flow.Observer // nil: nobody
	origin   call.Origin
	item     string
	count    int
	close    func() error // after the last item
	canceled *atomic.Bool // of a server: nothing more is sent
}

// Put is that of [flow.Sink].
func (s *sink) Put(it flow.Item) error {
	if s.canceled != nil && s.canceled.Load() {
		return flow.ErrStopped
	}
	s.count++
	start := len(s.w.B)
	b := append(s.w.B, s.prefix...)
	head := len(b)
	data, users := codec.Raw(it.Encodable())
	if users = users && len(data) >= wire.FlushSize && s.observer == nil; users {
		b = codec.AppendRawHead(b, len(data), s.form) // and they need not be copied
	} else {
		var err error
		if b, err = codec.Append(b, it.Encodable(), s.form); err != nil {
			s.w.B = b[:start]
			return call.Fail(s.origin, codes.InvalidArgument, "%s %d of the stream: %w", s.item, s.count, err)
		}
	}
	n := len(b) - head
	if users {
		n += len(data)
	}
	if most, option := s.limits.MostBytes(); n > most {
		s.w.B = b[:start]
		return call.Fail(s.origin, codes.ResourceExhausted, "%s %d of the stream is %d bytes long, and %d may be",
			s.item, s.count, n, most).Limited(option)
	}
	s.w.B = b
	it.Sized(n)
	if s.observer != nil {
		s.observer.Out(it.Reflected(), b[head:])
	}
	switch {
	case users:
		return s.failed(s.w.FlushWith(data, s.origin == call.OfClient))
	case len(b) >= wire.FlushSize:
		return s.Flush()
	}
	return nil
}

func (s *sink) Flush() error { return s.failed(s.w.Flush()) }

func (s *sink) failed(err error) error {
	if err == nil {
		return nil
	}
	return s.limits.Fault(err, s.origin, "the stream")
}

func (s *sink) End() error {
	if err := s.Flush(); err != nil || s.close == nil {
		return err
	}
	return s.close()
}
