package stream

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Sink writes the items of a streaming call. The exported fields are set before it is
// used.
type Sink struct {
	W        *wire.Writer
	Form     codec.Form
	Prefix   []byte // the header before each item
	Limits   *call.Limits
	Observer flow.Observer // nil: nobody
	Origin   call.Origin
	Item     string
	Marked   bool         // a mark follows the last item
	Close    func() error // after the last item, without a mark; nil: nothing is done
	Canceled *atomic.Bool // of a server: nothing more is sent
	Collects bool         // Put writes nothing: whoever has the sink does

	count int
}

// Put is that of [flow.Sink].
func (s *Sink) Put(it flow.Item) error {
	if s.Canceled != nil && s.Canceled.Load() {
		return flow.ErrStopped
	}
	s.count++
	s.W.Start()
	start := len(s.W.B)
	b := append(s.W.B, s.Prefix...)
	head := len(b)
	data, users := codec.Raw(it.Encodable())
	if users = users && len(data) >= wire.FlushSize && s.Observer == nil && !s.Collects; users {
		b = codec.AppendRawHead(b, len(data), s.Form) // and they need not be copied
	} else {
		var err error
		if b, err = codec.Append(b, it.Encodable(), s.Form); err != nil {
			s.W.B = b[:start]
			return call.Fail(s.Origin, codes.InvalidArgument, "%s %d of the stream: %w", s.Item, s.count, err)
		}
	}
	n := len(b) - head
	if users {
		n += len(data)
	}
	if most, option := s.Limits.MostBytes(); n > most {
		s.W.B = b[:start]
		return call.Fail(s.Origin, codes.ResourceExhausted, "%s %d of the stream is %d bytes long, and %d may be",
			s.Item, s.count, n, most).Limited(option)
	}
	s.W.B = b
	it.Sized(n)
	if s.Observer != nil {
		s.Observer.Out(it.Reflected(), b[head:])
	}
	switch {
	case users:
		return s.failed(s.W.FlushWith(data, s.Origin == call.OfClient))
	case len(b) >= wire.FlushSize && !s.Collects:
		return s.Flush()
	}
	return nil
}

// Flush is that of [flow.Sink].
func (s *Sink) Flush() error { return s.failed(s.W.Flush()) }

func (s *Sink) failed(err error) error {
	if err == nil {
		return nil
	}
	return s.Limits.Fault(err, s.Origin, "the stream")
}

// End is that of [flow.Sink].
func (s *Sink) End() error {
	if s.Marked {
		s.W.Start()
		s.W.B = append(s.W.B, wire.StreamEnd)
	}
	if err := s.Flush(); err != nil || s.Close == nil {
		return err
	}
	return s.Close()
}
