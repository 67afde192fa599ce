package rpc

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// MethodConfig says how a server runs a method; see [WithMethodConfig]. A field that
// is zero says nothing: a farther MethodConfig counts, or the server's [Limits]. A
// negative number lifts what a farther MethodConfig says. Local calls have Timeout and
// HeedsContext only. What exceeds a limit gets an error that names the field.
type MethodConfig struct {
	// Timeout is how long the method may run: its context ends then, if the caller's
	// deadline has not come before. A call that has taken longer when the method
	// returns, without an error of its own, ends with [codes.DeadlineExceeded] and a
	// [LimitError].
	Timeout time.Duration
	// MessageSize is the most bytes of one argument or reply, as encoded. It can only
	// narrow that of Limits.
	MessageSize int
	// Calls is how many calls there may be at once, and CallsPerPeer how many of one
	// peer, beside what Limits says. Set for a service or a server, they count
	// together the calls of all methods without a nearer one.
	Calls, CallsPerPeer int
	// Rate is how many calls a second each peer may make, and Burst how many at once
	// after a pause (default: Rate, rounded up). They count together the calls of the
	// same methods as Calls does. [Error.RetryAfter] tells a peer that is refused how
	// long to wait. Burst belongs to the Rate beside it.
	Rate  float64
	Burst int
	// HeedsContext declares that the method returns soon after its context has ended.
	// A local call of it with a context that can end then runs in its caller's
	// goroutine, with the server's interceptors, in a fifth of the time. The caller
	// waits until the method has returned; a method that ends its goroutine
	// (runtime.Goexit) ends its caller's. Default false: the method has a goroutine,
	// and the caller returns at once when its context ends. A nearer false does not
	// take it back.
	HeedsContext bool
	// Doc is a line that says what the method does, or with an empty Method the
	// service, for those who ask for descriptions. It is not inherited.
	Doc string
}

// WithMethodConfig configures the method that id names, receiver's or typed; with an
// empty Method, all methods of the service; with the zero ServiceID, all of the
// server. What is nearest to a method counts, field by field. Of two options with one
// id the last counts. It panics if id has a Method and no Name.
func WithMethodConfig(id ServiceID, c MethodConfig) ServerOption {
	if id.Name == "" && id.Method != "" {
		panic(fmt.Sprintf("rpc: WithMethodConfig: method %q has no service", id.Method))
	}
	return func(s *Server) { s.configs.Set(call.ID(id), admit.Config(c)) }
}

// inTime is the error of a call whose method has a Timeout and has returned err, maybe
// too late.
func (c *servedCall) inTime(ctx context.Context, err error) error {
	late := c.method.rules.Late
	if ctx.Err() == nil || context.Cause(ctx) != error(late) {
		return err
	}
	switch code := CodeOf(err); {
	case code == codes.Canceled || code == codes.DeadlineExceeded:
		late = late.With(err.Error())
		late.Cause = call.Masked(err)
	case err != nil:
		return err
	}
	return rendered(c.ID(), late)
}
