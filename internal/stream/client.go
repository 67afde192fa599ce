package stream

import (
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Client is a client's side of one streaming call.
type Client struct {
	Call  *call.Call
	From  Source // the replies
	To    Sink   // and the arguments
	of    Carrier
	holds account.Holding // of what the replies take, decoded

	begun bool       // the sending has
	sent  chan error // what it has ended with, if it has a goroutine
	serr  error      // and if not
}

// Carrier is what carries a call.
type Carrier interface {
	// Abort ends every wait of the call.
	Abort()
	// Whole returns why the replies, which have ended, are not all; nil: they are.
	Whole() error
}

// Init makes x the client's side of k, which reads and writes c for a carrier. With
// marked its streams end with a mark.
func (x *Client) Init(k *call.Call, of Carrier, c *wire.Conn, l *call.Limits, d *account.Decoded, marked bool) {
	x.Call, x.of, x.holds = k, of, d.Of(string(k.Peer))
	x.From = Source{
		R: &c.R, Limits: l, Marked: marked, Observer: k.Observer, Origin: call.OfClient, Item: "reply", Call: k, Fresh: k.Fresh,
		Charge: account.Charge{Of: &x.holds},
	}
	x.To = Sink{W: &c.W, Form: FormOf(marked), Limits: l, Observer: k.Observer, Origin: call.OfClient, Item: "argument", Marked: marked}
}

// Run sends the arguments and receives the replies at once. Both have ended when it
// returns. left says that the arguments had not ended when the call did.
func (x *Client) Run() (left bool, err error) {
	x.Begin(false)
	return x.End(x.Receive())
}

// Begin begins to send the arguments, if that has not begun, and reports whether it
// has not; End follows. With atOnce it sends those that are there without a goroutine.
func (x *Client) Begin(atOnce bool) bool {
	if x.begun {
		return false
	}
	x.begun = true
	if r, ok := x.Call.In.(flow.Ready); atOnce && ok && r.Ready() {
		x.serr = x.sending(x.pump())
		return true
	}
	x.sent = make(chan error, 1)
	go call.Outcome(call.OfClient, x.pump, func(err error) { x.sent <- x.sending(err) })
	return true
}

func (x *Client) pump() error { return flow.Pump(x.Call.In, &x.To) }

// sending is called with what the sending has ended with.
func (x *Client) sending(err error) error {
	if call.IsFault(err) {
		x.of.Abort() // the reader must not wait for what will not come
	}
	return err
}

// Receive receives the replies. If their receiver ends its goroutine, the call ends.
func (x *Client) Receive() error {
	returned := false
	defer func() {
		if !returned {
			x.of.Abort()
			_, _ = x.End(flow.ErrStopped)
		}
	}()
	err := flow.Pump(&x.From, x.Call.Out)
	returned = true
	if err == nil {
		err = x.of.Whole()
	}
	return err
}

// End ends the call, whose replies have ended with err.
func (x *Client) End(err error) (left bool, _ error) {
	defer x.holds.Release() // what has not been received is the caller's
	if !x.begun {
		return false, err
	}
	x.Call.In.Halt()
	serr := x.serr
	if x.sent != nil {
		select {
		case serr = <-x.sent:
		default:
			x.of.Abort() // the call ended before its arguments did
			serr = <-x.sent
			if err == nil {
				return true, nil // and well: what the sender met then is the abort
			}
		}
	}
	if call.IsFault(serr) && !call.IsFault(err) {
		return false, serr
	}
	return false, err
}
