package mux

import (
	"context"
	"errors"
	"io"
	"os"
	"testing"
	"time"
)

// negotiating is a stream as libp2p returns it before the protocol has been
// negotiated: its first Write takes the negotiation along, and if that is ended
// by a deadline, so are all others.
type negotiating struct {
	writing chan struct{} // closed when the first Write begins
	release chan struct{} // lets it go on
	past    chan struct{} // closed when a deadline has passed
	closed  chan struct{}
}

func (s *negotiating) Write(b []byte) (int, error) {
	select {
	case <-s.writing:
	default:
		close(s.writing)
	}
	select {
	case <-s.release:
		return len(b), nil
	case <-s.past:
		return 0, os.ErrDeadlineExceeded
	}
}

func (s *negotiating) SetWriteDeadline(t time.Time) error {
	if !t.IsZero() {
		close(s.past)
	}
	return nil
}

func (s *negotiating) Read([]byte) (int, error) {
	<-s.closed
	return 0, io.EOF
}

func (s *negotiating) Close() error { return s.Reset() }

func (s *negotiating) Reset() error {
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	return nil
}

func (*negotiating) ReserveMemory(int, uint8) error { return nil }
func (*negotiating) ReleaseMemory(int)              {}

func TestTheFirstWriteIsNotEndedByADeadline(t *testing.T) {
	t.Parallel()
	st := &negotiating{make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	c := NewClient(st, st, Limits{Calls: 1, Message: 1 << 20}, func(error) { close(ended) })
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		_, err := c.Call(ctx, []byte("head"), []byte("body"), 0, func() uint64 { return 1 })
		result <- err
	}()
	<-st.writing
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) { // while the stream still writes
		t.Errorf("the call ends with %v", err)
	}
	select {
	case <-st.past:
		t.Error("the first write is ended by a deadline")
	default:
	}
	close(st.release)
	_ = st.Reset()
	<-ended
}
