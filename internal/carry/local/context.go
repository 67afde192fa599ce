package local

import (
	"context"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Context is a method's, in a local call: the caller's, which ends with the call.
// No two calls share one, for a method may keep it.
type Context struct {
	context.Context // the caller's

	// What ends with the call is made when somebody asks, which most methods
	// never do. It is set once, but for callOver.
	own atomic.Pointer[endingContext]
}

// endingContext is a context, what ends it, and what else few methods ask for.
type endingContext struct {
	context.Context
	cancel  context.CancelFunc
	setting call.Setting
}

// callOver stands for the own context of a call that has ended before anybody
// asked.
var callOver endingContext

// ending returns the context that ends with the call.
func (c *Context) ending() *endingContext {
	for {
		own := c.own.Load()
		if own != nil && own != &callOver {
			return own
		}
		var made endingContext
		made.Context, made.cancel = context.WithCancel(c.Context)
		if own == &callOver {
			made.end(nil)
		}
		if c.own.CompareAndSwap(own, &made) {
			return &made
		}
		made.cancel()
	}
}

// End is called once, when the call is over. back gets the metadata that the method
// sends back.
func (c *Context) End(back *call.Back) {
	if !c.own.CompareAndSwap(nil, &callOver) {
		c.own.Load().end(back)
	}
}

func (e *endingContext) end(back *call.Back) {
	e.cancel()
	back.Take(&e.setting)
}

// Setting is the metadata that the method sends back.
func (c *Context) Setting() *call.Setting { return &c.ending().setting }

// Done is that of [context.Context].
func (c *Context) Done() <-chan struct{} { return c.ending().Done() }

// Err makes nothing during the call, which has the caller's error until it ends.
func (c *Context) Err() error {
	// The caller's comes first: it is there before the own context has heard of it.
	if err := c.Context.Err(); err != nil || c.own.Load() == nil {
		return err
	}
	return c.ending().Err()
}

// Value finds the own context, too, from which others are derived.
func (c *Context) Value(key any) any {
	if c.own.Load() == nil {
		return c.Context.Value(key)
	}
	return c.ending().Value(key)
}
