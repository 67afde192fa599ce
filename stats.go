package rpc

import (
	"context"

	"github.com/libp2p/go-libp2p-gorpc/internal/record"
	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// WithServerStatsHandler makes a server tell h of every call that names a
// method, local or remote, whether it is allowed, found, and served or not. A
// panic of h is logged, and changes nothing of the call. The option may be given
// several times.
func WithServerStatsHandler(h stats.Handler) ServerOption {
	return func(s *Server) { s.stats = record.Join(s.stats, h) }
}

// WithClientStatsHandler makes a client tell h of every call it makes. A panic of
// h is logged ([slog.Default]), and changes nothing of the call. The option may be
// given several times.
func WithClientStatsHandler(h stats.Handler) ClientOption {
	return func(c *Client) { c.stats = record.Join(c.stats, h) }
}

// observed returns the interceptor that tells h of calls, and log of its panics.
func observed(h stats.Handler, log func(msg string, args ...any)) Interceptor {
	return func(next Handler) Handler {
		if h == nil {
			return next
		}
		payloads := record.WantsPayloads(h)
		return func(ctx context.Context, call *CallInfo) (err error) {
			rec := &observation{record.New(h, call.Client, log), infoContext{ctx, *call}}
			returned := false
			defer func() {
				if !returned {
					err = exited(call)
				}
				rec.End(err)
			}()
			ctx = rec.Tag(&rec.context, "/"+call.Service+"."+call.Method)
			switch {
			case !payloads:
			case call.Client:
				call.client.stats = &rec.Recorder
			default:
				call.served.stats = &rec.Recorder
			}
			rec.Begin(call.Kind == Streaming)
			err = next(ctx, call)
			if call.Client {
				err = plainContextError(err) // as the caller gets it
			}
			returned = true
			return err
		}
	}
}

type recorder = record.Recorder

// observation is a call that a stats handler is told of.
type observation struct {
	record.Recorder
	context infoContext
}

// infoContext is the context in which a stats handler finds its call.
type infoContext struct {
	context.Context
	info CallInfo // as the call begins
}

func (c *infoContext) Value(key any) any {
	if key == (callInfoKey{}) {
		return &c.info
	}
	return c.Context.Value(key)
}
