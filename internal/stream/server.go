package stream

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// NewServer returns the server's side of a streaming call, which reads and writes c:
// where the arguments come from, until stop is told, and where the replies go to,
// until canceled is set. With marked its streams end with a mark.
func NewServer(c *wire.Conn, i *call.Items, marked bool, stop interface{ StopReading() }, canceled *atomic.Bool) (Source, Sink) {
	return Source{
			R: &c.R, Charge: account.Charge{Of: i.Holds}, Limits: i.Limits, Marked: marked, Observer: i.Observer,
			Item: "argument", Origin: call.OfServer, Stop: stop, Fresh: i.Fresh, Undecodable: i.Undecodable,
		}, Sink{
			W: &c.W, Form: FormOf(marked), Prefix: i.OK, Limits: i.Limits, Observer: i.Observer, Item: "reply", Origin: call.OfServer, Canceled: canceled,
		}
}
