// Package record tells a stats handler of one call: of its begin first, of its end
// last, and of nothing after that.
package record

import (
	"context"
	"reflect"
	"runtime/debug"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// Recorder tells a handler of one call. A nil one tells nobody of items.
type Recorder struct {
	ctx     context.Context // that of the handler, once it has tagged the call
	handler stats.Handler
	client  bool
	log     func(msg string, args ...any)
	begun   time.Time

	// A call that was given up ends while its streams are still winding up:
	// nothing is told after its end.
	mu       sync.Mutex
	underWay bool
}

// New returns a Recorder that tells h of a call, and log of its panics.
func New(h stats.Handler, client bool, log func(msg string, args ...any)) Recorder {
	return Recorder{handler: h, client: client, log: log}
}

// Tag gets the context of the call, made from ctx, which is the handler's to look at.
func (r *Recorder) Tag(ctx context.Context, method string) context.Context {
	r.ctx = ctx
	r.tag(method)
	return r.ctx
}

// Begin tells of the begin.
func (r *Recorder) Begin(streaming bool) {
	r.mu.Lock()
	r.underWay = true
	r.mu.Unlock()
	r.begun = time.Now()
	r.tell(&stats.Begin{
		Client: r.client, BeginTime: r.begun, IsClientStream: streaming, IsServerStream: streaming,
	})
}

// tag goes on with the call's own context where the handler panics.
func (r *Recorder) tag(method string) {
	defer r.recovered()
	r.ctx = r.handler.TagRPC(r.ctx, &stats.RPCTagInfo{FullMethodName: method})
}

// End tells of the end, once, and nothing after it.
func (r *Recorder) End(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay {
		r.underWay = false
		r.handle(&stats.End{Client: r.client, BeginTime: r.begun, EndTime: time.Now(), Error: err})
	}
}

// tell passes an event on, while the call is under way.
func (r *Recorder) tell(event stats.RPCStats) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.underWay {
		r.handle(event)
	}
}

func (r *Recorder) handle(event stats.RPCStats) {
	defer r.recovered()
	r.handler.HandleRPC(r.ctx, event)
}

// recovered keeps a panic of the handler's from ending the call, or the process:
// payloads are told of where no method's panic is expected.
func (r *Recorder) recovered() {
	if v := recover(); v != nil {
		r.log("rpc: a stats handler panicked", "panic", v, "stack", string(debug.Stack()))
	}
}

// In tells of an item that came in; data is its encoding, if there is one.
func (r *Recorder) In(item reflect.Value, data []byte) {
	if r != nil {
		r.tell(&stats.InPayload{
			Client: r.client, Payload: item.Interface(), Data: data, Length: len(data), WireLength: len(data), RecvTime: time.Now(),
		})
	}
}

// Out tells of an item that goes out.
func (r *Recorder) Out(item reflect.Value, data []byte) {
	if r != nil {
		r.tell(&stats.OutPayload{
			Client: r.client, Payload: item.Interface(), Data: data, Length: len(data), WireLength: len(data), SentTime: time.Now(),
		})
	}
}
