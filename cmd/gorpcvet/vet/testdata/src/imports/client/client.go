package client // want package:"serves ; calls Pins.Get, .*"

import (
	rpc "github.com/libp2p/go-libp2p-gorpc"

	"imports/server"
)

// call sees what it imports, and knows nothing of others.
func call(c *rpc.Client) {
	var n int
	_ = c.Call("", "Pins", "Get", "a", &n)
	_ = c.Call("", "Elsewhere", "Get", "a", &n)
	_ = c.Call("", "Clock", "Then", "a", &n)
	_ = c.Call("", "Pins", "Gett", "a", &n) // want `method: service Pins has no method Gett`
	_ = c.Call("", "Pins", "Get", 1, &n)    // want `argument: Pins.Get`
	_ = c.Call("", "Clock", "Now", 1, &n)   // want `argument: Clock.Now`
	_ = server.Now
}
