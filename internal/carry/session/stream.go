package session

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/mux"
	"github.com/libp2p/go-libp2p-gorpc/internal/stream"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// clientStream is a client's side of a streaming call. The call is begun with the first
// bytes that are sent. If the peer has not looked at it when its session ends, it moves
// to another session with all that was sent; who sends notices nothing.
type clientStream struct {
	wire.Conn
	x    stream.Client
	pool *Pool
	ctx  context.Context
	head int // bytes of the request's header

	moved atomic.Int64 // bytes, both ways
	since atomic.Int64 // when that was 0, in nanoseconds

	mu      sync.Mutex
	changed sync.Cond
	session *Session
	begun   bool
	flow    *mux.ClientFlow // nil until the call is begun, and between two sessions
	failed  error           // why it could not be begun
	unsent  []byte          // what is to be sent first on the next session
	late    []byte          // and after what the flow has
	own     bool            // who sends is who moves the call, and cannot wait for that
	over    bool
	stop    func() bool // of the watch for the end of ctx
}

// stream makes one attempt of a streaming call.
func (s *Session) stream(ctx context.Context, k *call.Call, last bool) (Next, error) {
	c, moved := k.Carried.(*clientStream)
	if !moved {
		c = newClientStream(ctx, k, s)
		k.Carried = c
	}
	err := c.enter(s, moved)
	if err == nil {
		c.sendsItself(true)
		if c.x.Begin(true) {
			k.Begun = true
		}
		c.sendsItself(false)
		err = c.receive()
	}
	var ended *mux.EndedError
	if errors.As(err, &ended) && !ended.Sent && ctx.Err() == nil {
		if next, err := s.lost(k, ended, last); next != Over {
			if !k.Begun {
				_, _ = c.x.End(nil)
				c.end()
				k.Carried = nil
			} else {
				c.leave()
			}
			return next, err
		}
	}
	_, err = c.x.End(err)
	c.end()
	k.Carried = nil
	if err == nil {
		return Over, nil
	}
	return Over, c.explain(err)
}

func (c *clientStream) sendsItself(own bool) {
	c.mu.Lock()
	c.own = own
	c.mu.Unlock()
}

// receive receives the replies. If their receiver ends its goroutine the call is over.
func (c *clientStream) receive() error {
	returned := false
	defer func() {
		if !returned {
			c.end()
			c.x.Call.Carried = nil
		}
	}()
	err := c.x.Receive()
	returned = true
	return err
}

// firstBytes is room for a header, and for the argument of most calls that have one.
const firstBytes = 512

func newClientStream(ctx context.Context, k *call.Call, s *Session) *clientStream {
	c := &clientStream{ctx: ctx, pool: s.pool}
	c.since.Store(time.Now().UnixNano())
	c.changed.L = &c.mu
	l := s.pool.Limits
	c.InitFlow(c, s.scope, l.ProgressTimeout)
	k.Live.On(&c.Conn)
	c.Share(s.share)
	c.x.Init(k, c, &c.Conn, l, s.pool.Decoded, true)
	c.x.From.Bare = true
	h := k.Header(ctx)
	c.W.B = wire.AppendHeader(account.NewBuffer(firstBytes)[:0], &h) // which is kept until the peer has looked at it
	c.head = len(c.W.B)
	if ctx.Done() != nil {
		c.stop = context.AfterFunc(ctx, func() {
			c.Abort()
			k.In.Halt()
		})
	}
	return c
}

// enter begins the call on a session. Before the first arguments are taken the session
// must be one: the peer may turn it down, and then the call is made otherwise.
func (c *clientStream) enter(s *Session, moved bool) error {
	c.mu.Lock()
	c.session = s
	if c.over { // while there was no session to tell
		c.mu.Unlock()
		return flow.ErrStopped
	}
	if moved {
		c.Move(s.scope, s.share)
	}
	if !moved && s.mux.Greeted() { // and the first bytes that are sent begin the call
		c.mu.Unlock()
		return nil
	}
	b := c.unsent
	if !moved {
		b, c.W.B = c.W.B, nil
	}
	err := c.begin(b)
	f := c.flow
	c.mu.Unlock()
	if err == nil && !moved {
		f.Entered()
	}
	return err
}

// begin begins the call with b. The mutex is held.
func (c *clientStream) begin(b []byte) error {
	f, err := c.session.mux.Open(b, c.head, deadline(c.ctx))
	c.begun, c.flow, c.failed, c.unsent = true, f, err, nil
	var ended *mux.EndedError
	if errors.As(err, &ended) {
		c.unsent = b // and not freed
	}
	c.changed.Broadcast()
	return err
}

// leave takes what the peer has not looked at from a session that has ended.
func (c *clientStream) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = nil
	if f := c.flow; f != nil {
		c.unsent = f.Unsent()
		f.Close()
		c.flow = nil
	}
	c.unsent, c.late = append(c.unsent, c.late...), nil
}

// current returns the call's flow, and waits for it to be begun.
func (c *clientStream) current() (*mux.ClientFlow, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.flow == nil && c.failed == nil && !c.over {
		c.changed.Wait()
	}
	switch {
	case c.over && c.flow == nil:
		return nil, flow.ErrStopped
	case c.flow == nil:
		return nil, c.failed
	}
	return c.flow, nil
}

// Give is that of [wire.Flow].
func (c *clientStream) Give(b []byte, pool, last bool) error {
	c.count(len(b))
	for {
		f, err := c.flowFor(b, pool)
		if f == nil {
			return err
		}
		err = f.Give(b, pool, last)
		var ended *mux.EndedError
		if errors.As(err, &ended) && !ended.Sent {
			if c.keeps(b, pool) {
				return nil
			}
			if c.moves(f) {
				continue
			}
			if pool {
				account.FreeBuffer(b)
			}
		}
		return sendFault(err)
	}
}

// flowFor returns the flow that is to send b, or nil when b has begun the call, or is
// kept for its next session. It waits while the call is between two.
func (c *clientStream) flowFor(b []byte, pool bool) (*mux.ClientFlow, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.begun && c.flow == nil && !c.over {
		if c.own {
			c.keep(b, pool)
			return nil, nil
		}
		c.changed.Wait()
	}
	switch {
	case c.over:
		return nil, flow.ErrStopped
	case c.flow != nil:
		return c.flow, nil
	}
	_ = c.begin(b) // who receives is told, and moves the call
	return nil, nil
}

// keeps keeps b for the call's next session, if who sends is who moves it there.
func (c *clientStream) keeps(b []byte, pool bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.own {
		c.keep(b, pool)
	}
	return c.own
}

func (c *clientStream) keep(b []byte, pool bool) {
	c.late = append(c.late, b...)
	if pool {
		account.FreeBuffer(b)
	}
}

// moves waits until the call has moved from f, and reports whether it has.
func (c *clientStream) moves(f *mux.ClientFlow) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for !c.over && (c.flow == f || c.flow == nil) {
		c.changed.Wait()
	}
	return !c.over
}

// sendFault is the error of a flow that could not send, as a [wire.Writer] has it.
func sendFault(err error) error {
	if errors.Is(err, mux.ErrStalled) {
		return wire.ErrStalled
	}
	return err
}

// Await is that of [wire.Flow].
func (c *clientStream) Await(idle interface{ Idle() }) {
	if f, err := c.current(); err == nil {
		f.Await(idle)
	}
}

func (c *clientStream) Read(b []byte) (int, error) {
	f, err := c.current()
	if err != nil {
		return 0, err
	}
	n, err := f.Read(b)
	c.count(n)
	return n, err
}

// count counts bytes, and says when they are many in a short time.
func (c *clientStream) count(n int) {
	if c.moved.Add(int64(n)) < call.LongTransfer {
		return
	}
	c.moved.Store(0)
	now := time.Now().UnixNano()
	if took := time.Duration(now - c.since.Swap(now)); took <= call.LongTransferTime {
		c.pool.Long(c.x.Call)
	}
}

// Whole is that of [stream.Carrier]: there is a mark.
func (*clientStream) Whole() error { return nil }

// Abort is that of [stream.Carrier].
func (c *clientStream) Abort() {
	c.mu.Lock()
	c.over = true
	f := c.flow
	c.changed.Broadcast()
	c.mu.Unlock()
	c.StopWaiting()
	if f != nil {
		c.cancel(f)
	}
}

// cancel gives the call up, unless it is over, and says why. Who receives may see the end
// of the context before the watch for it does.
func (c *clientStream) cancel(f *mux.ClientFlow) {
	code := codes.Canceled
	if call.CodeOfContext(c.ctx.Err()) == codes.DeadlineExceeded {
		code = codes.DeadlineExceeded
	}
	f.Cancel(uint64(code))
}

// end gives back what the call holds. Nobody sends or receives any more.
func (c *clientStream) end() {
	if c.stop != nil {
		c.stop()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.flow != nil {
		c.cancel(c.flow)
		c.flow.Close()
	}
	account.FreeBuffer(c.unsent)
	c.unsent = nil
	c.Close()
}

// Strand is that of [call.Carried].
func (c *clientStream) Strand(err error) {
	c.Abort()
	_, _ = c.x.End(err)
	c.end()
}

// explain turns what the flow says into the error of the call.
func (c *clientStream) explain(err error) error {
	var ended *mux.EndedError
	s := c.session
	switch {
	case call.IsFault(err):
		return err
	case call.HasEnded(c.ctx):
		return call.Ended(c.ctx).NotSent(c.flow != nil && c.flow.Unbegun())
	case errors.As(err, &ended):
		return s.ended(ended)
	case errors.Is(err, flow.ErrClosed), errors.Is(err, flow.ErrStopped), errors.Is(err, mux.ErrStopped):
		return call.Fail(call.OfClient, codes.FailedPrecondition, "%w", err)
	case err == io.EOF, errors.Is(err, io.ErrUnexpectedEOF):
		return call.Broken(s.st.Conn(), "peer %v ended the stream before the reply: %w", s.peer, io.ErrUnexpectedEOF).Named()
	}
	return s.explain(c.ctx, c.x.Call, err)
}

// SetReadDeadline is that of [wire.Stream].
func (c *clientStream) SetReadDeadline(t time.Time) error {
	if f, err := c.current(); err == nil {
		return f.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline is that of [wire.Stream].
func (*clientStream) SetWriteDeadline(time.Time) error { return nil }

// Write is that of [wire.Stream]; a flow gets buffers instead.
func (c *clientStream) Write(b []byte) (int, error) {
	return len(b), c.Give(append([]byte(nil), b...), false, false)
}
