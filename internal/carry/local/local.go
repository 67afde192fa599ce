// Package local carries calls whose method is of the same process: it is called
// directly.
package local

import (
	"context"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Runner is a local call that is ready to be served.
type Runner interface {
	// Run serves the call and returns its error.
	Run(ctx context.Context) error
	// Exited is the error of a call whose Run has ended its goroutine.
	Exited() error
	// Reflects reports whether Run needs a large stack.
	Reflects() bool
}

// Call is the carrier's part of one local call. The zero Call is ready. It may be
// used again unless Left.
type Call struct {
	Left   bool       // the method may be using the call still
	Exited bool       // the method has ended its goroutine
	ended  chan error // of the method's goroutine
}

// Carry runs r in the caller's goroutine. A context that can end must end the call
// at once, though the method may not: then the method has a goroutine, unless it
// heeds the context: Run returns soon after it has ended. To ask a method's context
// whether it can end is not free.
func (c *Call) Carry(ctx context.Context, r Runner, heeds bool) error {
	if heeds || ctx.Done() == nil {
		c.Left = true // unless it returns: the method may end its goroutine
		err := r.Run(ctx)
		c.Left = false
		return err
	}
	if c.ended == nil {
		c.ended = make(chan error, 1)
	}
	go c.apart(ctx, r)
	select {
	case err := <-c.ended:
		return err
	case <-ctx.Done():
		c.Left = true
		return call.Ended(ctx)
	}
}

// apart runs r in a goroutine of its own.
func (c *Call) apart(ctx context.Context, r Runner) {
	if r.Reflects() {
		call.GrowStack()
	}
	ended := c.ended
	returned := false
	defer func() {
		if !returned {
			c.Exited = true
			ended <- r.Exited()
		}
	}()
	err := r.Run(ctx)
	returned = true
	ended <- err
}
