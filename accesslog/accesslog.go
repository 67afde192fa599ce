// Package accesslog writes a line for calls to a [slog.Logger]: for those that are
// made or served by an interceptor, and for those that a server turns away by a function
// for [rpc.WithRefusedFunc]:
//
//	server := rpc.NewServer(h, "/store/1.0",
//		rpc.WithServerInterceptors(accesslog.Interceptor(logger, accesslog.Sample(100))),
//		rpc.WithRefusedFunc(accesslog.Refused(logger)))
package accesslog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Option configures [Interceptor] and [Refused].
type Option func(*config)

type config struct {
	sample int
	slow   time.Duration
	local  bool
	lines  float64
}

func newConfig(opts []Option) config {
	c := config{sample: 1, lines: 10}
	for _, opt := range opts {
		opt(&c)
	}
	return c
}

// Sample writes a line for the first and then every n-th call of each method that
// succeeds and is not slow, with the attribute sample=n. Others have their line in any
// case. Default 1: every call.
func Sample(n int) Option { return func(c *config) { c.sample = max(n, 1) } }

// Slow has calls that take d or longer their line in any case, at level Warn. Default
// 0: no call is slow.
func Slow(d time.Duration) Option { return func(c *config) { c.slow = d } }

// Local has local calls their lines, too. Default false.
func Local(on bool) Option { return func(c *config) { c.local = on } }

// RefusedLines bounds the lines for calls that are turned away, which strangers can
// cause: so many a second. The next line says how many were left out (left_out).
// Default 10; 0 or less: no bound.
func RefusedLines(perSecond float64) Option { return func(c *config) { c.lines = perSecond } }

// Interceptor returns an interceptor that writes a line when a call has ended, with
// side, method, peer, kind, duration and code, and where there is one, error, transport
// and attempts. Levels are Info for success and Warn for an error. In a client it is
// for [rpc.WithCallInterceptors], or [rpc.WithClientInterceptors] for a line an
// attempt.
func Interceptor(l *slog.Logger, opts ...Option) rpc.Interceptor {
	c := newConfig(opts)
	return func(next rpc.Handler) rpc.Handler {
		s := sampler{most: c.sample}
		return func(ctx context.Context, call *rpc.CallInfo) (err error) {
			if call.Local && !c.local {
				return next(ctx, call)
			}
			begun := time.Now()
			err = errExited
			defer func() { c.ended(ctx, l, &s, call, time.Since(begun), err) }()
			err = next(ctx, call)
			return err
		}
	}
}

// errExited is the error of a call whose goroutine has ended, or panics.
var errExited = rpc.Errorf(codes.Internal, "the call ended its goroutine, or panicked")

// sampler counts the calls of methods that succeed.
type sampler struct {
	most int
	of   sync.Map // ServiceID -> *atomic.Int64
}

func (s *sampler) takes(id rpc.ServiceID) bool {
	if s.most == 1 {
		return true
	}
	n, ok := s.of.Load(id)
	if !ok {
		n, _ = s.of.LoadOrStore(id, new(atomic.Int64))
	}
	return (n.(*atomic.Int64).Add(1)-1)%int64(s.most) == 0
}

// ended writes the line of a call.
func (c *config) ended(ctx context.Context, l *slog.Logger, s *sampler, call *rpc.CallInfo, took time.Duration, err error) {
	slow := c.slow > 0 && took >= c.slow
	level := slog.LevelInfo
	if err != nil || slow {
		level = slog.LevelWarn
	} else if !s.takes(call.ID()) {
		return
	}
	if !l.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12), common(call, err)...)
	attrs = append(attrs, slog.Duration("duration", took))
	if n := call.Attempts(); n > 1 {
		attrs = append(attrs, slog.Int("attempts", n))
	}
	if slow {
		attrs = append(attrs, slog.Bool("slow", true))
	} else if err == nil && c.sample > 1 {
		attrs = append(attrs, slog.Int("sample", c.sample))
	}
	l.LogAttrs(ctx, level, "rpc", attrs...)
}

// common is what the lines of all calls have.
func common(call *rpc.CallInfo, err error) []slog.Attr {
	side := "server"
	if call.Client {
		side = "client"
	}
	attrs := []slog.Attr{
		slog.String("side", side), slog.String("method", call.ID().String()), slog.String("peer", call.Peer.String()),
		slog.String("kind", call.Kind.String()), slog.String("code", rpc.CodeOf(err).String()),
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", err.Error()))
	}
	if call.Local {
		attrs = append(attrs, slog.Bool("local", true))
	} else if conn := call.Conn(); conn != nil {
		attrs = append(attrs, slog.String("transport", conn.ConnState().Transport))
	}
	return attrs
}

// Refused returns a function for [rpc.WithRefusedFunc] that writes a line, at level
// Warn, for each call that is turned away: with caller, names, and reason ([Reason]).
func Refused(l *slog.Logger, opts ...Option) func(ctx context.Context, call *rpc.CallInfo, err error) {
	c := newConfig(opts)
	limit := rate.NewLimiter(rate.Limit(c.lines), max(1, int(c.lines)))
	if c.lines <= 0 {
		limit.SetLimit(rate.Inf)
	}
	var left atomic.Int64
	return func(ctx context.Context, call *rpc.CallInfo, err error) {
		switch {
		case call.Local && !c.local, !l.Enabled(ctx, slog.LevelWarn):
			return
		case !limit.Allow():
			left.Add(1)
			return
		}
		attrs := append(common(call, err), slog.String("reason", Reason(err)))
		if n := left.Swap(0); n > 0 {
			attrs = append(attrs, slog.Int64("left_out", n))
		}
		l.LogAttrs(ctx, slog.LevelWarn, "rpc refused", attrs...)
	}
}
