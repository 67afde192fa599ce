package rpc

import (
	"context"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// WithServerStatsHandler makes a server tell h of every call that names a
// method, local or remote, whether it is allowed, found, and served or not. A
// panic of h is logged, and changes nothing of the call.
func WithServerStatsHandler(h stats.Handler) ServerOption {
	return func(s *Server) { s.stats = h }
}

// WithClientStatsHandler makes a client tell h of every call it makes. A panic of
// h is logged ([slog.Default]), and changes nothing of the call.
func WithClientStatsHandler(h stats.Handler) ClientOption {
	return func(c *Client) { c.stats = h }
}

// observed returns the interceptor that tells h of calls, and log of its panics.
func observed(h stats.Handler, log func(msg string, args ...any)) Interceptor {
	return func(next Handler) Handler {
		if h == nil {
			return next
		}
		return func(ctx context.Context, call *CallInfo) (err error) {
			rec := &recorder{ctx: ctx, handler: h, client: call.Client, log: log}
			returned := false
			defer func() {
				if !returned {
					err = exited(call)
				}
				rec.end(err)
			}()
			rec.begin(call)
			err = next(rec.ctx, call)
			if call.Client {
				err = plainContextError(err) // as the caller gets it
			}
			returned = true
			return err
		}
	}
}

// recorder tells a handler of one call. A nil one tells nobody.
type recorder struct {
	ctx     context.Context
	handler stats.Handler
	client  bool
	log     func(msg string, args ...any)
	begun   time.Time

	// A call that was given up ends while its streams are still winding up:
	// nothing is told after its end.
	mu       sync.Mutex
	underWay bool
}

func (r *recorder) begin(call *CallInfo) {
	r.tag("/" + call.Service + "." + call.Method)
	r.mu.Lock()
	r.underWay = true
	r.mu.Unlock()
	r.begun = time.Now()
	streaming := call.Kind == Streaming
	if call.Client {
		call.client.stats = r
	} else {
		call.served.stats = r
	}
	r.tell(&stats.Begin{
		Client: r.client, BeginTime: r.begun, IsClientStream: streaming, IsServerStream: streaming,
	})
}

// tag goes on with the call's own context where the handler panics.
func (r *recorder) tag(method string) {
	defer r.recovered()
	r.ctx = r.handler.TagRPC(r.ctx, &stats.RPCTagInfo{FullMethodName: method})
}

// end tells of the end, once, and nothing after it.
func (r *recorder) end(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay {
		r.underWay = false
		r.handle(&stats.End{Client: r.client, BeginTime: r.begun, EndTime: time.Now(), Error: err})
	}
}

// tell passes an event on, while the call is under way.
func (r *recorder) tell(event stats.RPCStats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay {
		r.handle(event)
	}
}

func (r *recorder) handle(event stats.RPCStats) {
	defer r.recovered()
	r.handler.HandleRPC(r.ctx, event)
}

// recovered keeps a panic of the handler's from ending the call, or the process:
// payloads are told of where no method's panic is expected.
func (r *recorder) recovered() {
	if v := recover(); v != nil {
		r.log("rpc: a stats handler panicked", "panic", v, "stack", string(debug.Stack()))
	}
}

// In tells of an item that came in; data is its encoding, if there is one.
func (r *recorder) In(item reflect.Value, data []byte) {
	if r != nil {
		r.tell(&stats.InPayload{
			Client: r.client, Payload: item.Interface(), Data: data, Length: len(data), WireLength: len(data), RecvTime: time.Now(),
		})
	}
}

// Out tells of an item that goes out.
func (r *recorder) Out(item reflect.Value, data []byte) {
	if r != nil {
		r.tell(&stats.OutPayload{
			Client: r.client, Payload: item.Interface(), Data: data, Length: len(data), WireLength: len(data), SentTime: time.Now(),
		})
	}
}
