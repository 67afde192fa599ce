package stream

import (
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Client is a client's side of one streaming call.
type Client struct {
	Call  *call.Call
	From  *Source         // the replies
	To    *Sink           // and the arguments
	Abort func()          // ends every wait of the call
	Whole func() error    // after the last reply: whether it was; nil: it is
	holds account.Holding // of what the replies take, decoded
	sent  chan error      // what the sending has ended with; nil: it has not begun
}

// NewClient returns the client's side of k, which reads and writes c. With marked its
// streams end with a mark.
func NewClient(k *call.Call, c *wire.Conn, l *call.Limits, d *account.Decoded, marked bool) *Client {
	x := &Client{Call: k, holds: d.Of(string(k.Peer))}
	into := reflect.PointerTo(k.Item)
	x.From = &Source{
		R: &c.R, Limits: l, Marked: marked, Observer: k.Observer, Origin: call.OfClient, Item: "reply", Call: k, Fresh: k.Fresh,
		Charge:      account.Charge{Of: &x.holds},
		Undecodable: func(b []byte, err error) *call.Fault { return l.Undecodable(b, into, err) },
	}
	x.To = &Sink{W: &c.W, Form: FormOf(marked), Limits: l, Observer: k.Observer, Origin: call.OfClient, Item: "argument"}
	if marked {
		x.To.Close = func() error {
			c.W.B = append(c.W.B, wire.StreamEnd)
			return c.W.Flush()
		}
	}
	return x
}

// Run sends the arguments and receives the replies at once. Both have ended when it
// returns. left says that the arguments had not ended when the call did.
func (x *Client) Run() (left bool, err error) {
	x.Send()
	return x.End(x.Receive())
}

// Begin is Send the first time it is called, and reports whether it is.
func (x *Client) Begin() bool {
	if x.sent != nil {
		return false
	}
	x.Send()
	return true
}

// Send begins to send the arguments. End follows.
func (x *Client) Send() {
	x.sent = make(chan error, 1)
	go func() {
		err := flow.Pump(x.Call.In, x.To)
		if call.IsFault(err) {
			x.Abort() // the reader must not wait for what will not come
		}
		x.sent <- err
	}()
}

// Receive receives the replies.
func (x *Client) Receive() error {
	err := flow.Pump(x.From, x.Call.Out)
	if err == nil && x.Whole != nil {
		err = x.Whole()
	}
	return err
}

// End ends the call, whose replies have ended with err.
func (x *Client) End(err error) (left bool, _ error) {
	defer x.holds.Release() // what has not been received is the caller's
	if x.sent == nil {
		return false, err
	}
	x.Call.In.Halt()
	var serr error
	select {
	case serr = <-x.sent:
	default:
		x.Abort() // the call ended before its arguments did
		serr = <-x.sent
		if err == nil {
			return true, nil // and well: what the sender met then is the abort
		}
	}
	if call.IsFault(serr) && !call.IsFault(err) {
		return false, serr
	}
	return false, err
}
