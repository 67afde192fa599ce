package rpc

import (
	"context"
	"log/slog"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// WithServerStatsHandler makes a server tell h of every call that names a
// method, local or remote, whether it is allowed, found, and served or not.
func WithServerStatsHandler(h stats.Handler) ServerOption {
	return func(s *Server) { s.stats = h }
}

// WithClientStatsHandler makes a client tell h of every call it makes.
func WithClientStatsHandler(h stats.Handler) ClientOption {
	return func(c *Client) { c.stats = h }
}

// observed returns the interceptor that tells h of calls.
func observed(h stats.Handler) Interceptor {
	return func(next Handler) Handler {
		if h == nil {
			return next
		}
		return func(ctx context.Context, call *CallInfo) (err error) {
			ctx = h.TagRPC(ctx, &stats.RPCTagInfo{FullMethodName: "/" + call.Service + "." + call.Method})
			begin, streaming := time.Now(), call.Kind == Streaming
			h.HandleRPC(ctx, &stats.Begin{
				Client: call.Client, BeginTime: begin, IsClientStream: streaming, IsServerStream: streaming,
			})
			rec := &recorder{ctx: ctx, handler: h, client: call.Client}
			call.stats = rec
			err = next(ctx, call)
			rec.end()
			h.HandleRPC(ctx, &stats.End{Client: call.Client, BeginTime: begin, EndTime: time.Now(), Error: err})
			return err
		}
	}
}

// recorder tells a handler of one call's payloads. A nil one tells nobody.
type recorder struct {
	ctx     context.Context
	handler stats.Handler
	client  bool

	// A call that was given up ends while its streams are still winding up:
	// nothing is told after its end.
	mu   sync.Mutex
	over bool
}

func (r *recorder) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.over = true
}

// tell passes an event on, unless the call is over.
func (r *recorder) tell(event stats.RPCStats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.recovered()
	if !r.over {
		r.handler.HandleRPC(r.ctx, event)
	}
}

// recovered keeps a panic of the handler's from ending the process, or a
// stream: payloads are told of where no method's panic is expected.
func (r *recorder) recovered() {
	if v := recover(); v != nil {
		slog.Error("rpc: a stats handler panicked", "panic", v, "stack", string(debug.Stack()))
	}
}

func (r *recorder) in(item reflect.Value, data []byte) {
	if r != nil {
		r.tell(&stats.InPayload{
			Client: r.client, Payload: item.Interface(), Data: data, Length: len(data), WireLength: len(data), RecvTime: time.Now(),
		})
	}
}

func (r *recorder) out(item reflect.Value, data []byte) {
	if r != nil {
		r.tell(&stats.OutPayload{
			Client: r.client, Payload: item.Interface(), Data: data, Length: len(data), WireLength: len(data), SentTime: time.Now(),
		})
	}
}
