// Package stream makes the items of a streaming call of bytes, and bytes of items,
// whatever carries these: a libp2p stream, or a session.
package stream

import (
	"bytes"
	"fmt"
	"io"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Source takes the items of a streaming call from what was read: arguments on the
// server, replies on the client. The exported fields are set before it is used.
type Source struct {
	R           *wire.Reader
	Limits      *call.Limits
	Observer    flow.Observer                         // nil: nobody
	Origin      call.Origin                           // of a fault here
	Item        string                                // what the items are, for faults
	Marked      bool                                  // the last item is followed by a mark
	Call        *call.Call                            // of a client: each item has a header
	Charge      account.Charge                        // of the item that was returned last
	Fresh       func() flow.Item                      // makes what an item is decoded into
	Undecodable func(b []byte, err error) *call.Fault // of a server
	Stop        interface{ StopReading() }            // of a server

	Bare bool // a reply without a header of its own has nil for it

	count  int
	begun  bool // the method's beginning has been told
	headed bool // its header has come
	ending bool // its trailer has, too
	lastOK []byte
}

// Halt is that of [flow.Source].
func (s *Source) Halt() { s.Stop.StopReading() }

// Next is that of [flow.Source].
func (s *Source) Next(wait bool) (it flow.Item, st flow.State, err error) {
	s.Charge.Free()
	if s.Marked {
		if !wait && s.R.EndBuffered() {
			return it, flow.AtEnd, nil
		}
		if wait {
			end, err := s.R.AtEnd()
			if err == io.EOF { // without the mark the stream was cut short
				err = io.ErrUnexpectedEOF
			}
			if end || err != nil {
				return it, flow.AtEnd, call.Masked(err)
			}
		}
	}
	pace := wire.PaceValue
	if s.Call != nil {
		alone, st, err := s.response(wait)
		switch {
		case st != flow.HasItem || err != nil:
			return it, st, err
		case alone: // each of its kinds comes once
			return s.Next(wait)
		}
		wait, pace = true, wire.PaceAll // its value is part of it
	}
	b, st, err := s.take(s.Limits.Message(), wait, pace)
	if err == nil && st == flow.AtEnd && s.Call != nil {
		err = io.ErrUnexpectedEOF // a header, and nothing after it
	}
	if st != flow.HasItem || err != nil {
		return it, st, err
	}
	if s.count++; s.count == 1 && s.Call != nil {
		s.Call.Back.PutHeader(nil) // or it has come
	}
	it = s.Fresh()
	took, err := codec.Decode(codec.Message{B: b, Form: FormOf(s.Marked), Limits: s.Limits.Message()}, it.Ptr, s.Limits.MostDecoded(), s.Charge.Of)
	if err != nil {
		return it, flow.AtEnd, s.undecodable(b, err).With(fmt.Sprintf("%s %d of the stream", s.Item, s.count))
	}
	if took > account.Unaccounted {
		s.Charge.N, it.Holds = took, &s.Charge
	}
	if it.Sized(len(b)); took > smallItem {
		it.Sized(int(took))
	}
	if s.Observer != nil {
		s.Observer.In(it.Reflected(), b)
	}
	s.R.Done()
	return it, flow.HasItem, nil
}

func (s *Source) undecodable(b []byte, err error) *call.Fault {
	if s.Call != nil {
		return s.Limits.Undecodable(b, reflect.PointerTo(s.Call.Item), err)
	}
	return s.Undecodable(b, err)
}

// smallItem is how large items may be that pipes take for as large as their
// bytes.
const smallItem = flow.PipeBytes / flow.PipeItems

// take returns the next value.
func (s *Source) take(l msgpack.Limits, wait bool, pace wire.Pace) (b []byte, st flow.State, err error) {
	if !wait {
		b, ok, err := s.R.Buffered(l)
		if err == nil && !ok {
			return nil, flow.Idle, nil
		}
		return b, flow.HasItem, s.failed(err)
	}
	b, err = s.R.Next(l, pace)
	if err == io.EOF {
		return nil, flow.AtEnd, nil
	}
	return b, flow.HasItem, s.failed(err)
}

func (s *Source) failed(err error) error {
	if err == nil {
		return nil
	}
	what := fmt.Sprintf("%s %d of the stream", s.Item, s.count+1)
	if err == io.ErrUnexpectedEOF && s.Origin == call.OfServer {
		return call.Fail(call.OfServer, codes.InvalidArgument, "%s ends too early: %w", what, err)
	}
	return s.Limits.Fault(err, s.Origin, what)
}

// response reads an item's header, or one that has metadata and stands alone. An
// error in it is the call's.
func (s *Source) response(wait bool) (alone bool, st flow.State, err error) {
	if s.Bare && s.R.Skip(Bare) {
		return false, flow.HasItem, s.inOrder(false, false, false)
	}
	if len(s.lastOK) > 0 && s.R.Skip(s.lastOK) {
		return false, flow.HasItem, s.inOrder(false, false, false)
	}
	b, st, err := s.take(s.Limits.Response(), wait, wire.PaceValue)
	switch {
	case st != flow.HasItem || err != nil:
		return false, st, err
	case len(s.lastOK) > 0 && bytes.Equal(b, s.lastOK), s.Bare && msgpack.IsNil(b):
		return false, flow.HasItem, s.inOrder(false, false, false)
	}
	resp, refusal, err := s.Call.ReadResponse(b, s.Limits)
	if err == nil {
		err = refusal
	}
	header, trailer := resp.Header != nil, resp.Trailer != nil
	begun := resp.Begun && s.Marked && !header && !trailer
	if err == nil {
		err = s.inOrder(begun, header, trailer)
	}
	switch {
	case err != nil:
		return false, flow.AtEnd, err
	case begun:
		s.Call.Back.Begin()
		return true, flow.HasItem, nil
	case (header || trailer) && s.Marked:
		return true, flow.HasItem, nil
	}
	s.lastOK = append(s.lastOK[:0], b...) // the next is most likely the same
	return false, flow.HasItem, nil
}

// inOrder checks that a method begins once, then has one header, then items, and nothing
// after a trailer.
func (s *Source) inOrder(begun, header, trailer bool) error {
	switch late := s.headed || s.count > 0; {
	case s.ending || header && late:
		return call.Fail(call.OfClient, codes.Internal, "bad response: the method's metadata is out of order")
	case begun && (late || s.begun):
		return call.Fail(call.OfClient, codes.Internal, "bad response: the method begins again, or too late")
	}
	s.begun, s.headed, s.ending = s.begun || begun, s.headed || header, trailer
	return nil
}

// Bare stands for a reply's header on a session, where there is none.
var Bare = []byte{msgpack.Nil}

// FormOf is how values are written on a stream whose arguments and replies end with
// a mark, or on v0.6's.
func FormOf(marked bool) codec.Form {
	if marked {
		return codec.Modern
	}
	return codec.Plain
}
