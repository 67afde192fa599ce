package local

import (
	"context"

	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
)

// Stream is the [call.Stream] of a local call: the method's ends meet the caller's,
// and the context tells of the caller's going, so that there is nothing to watch.
type Stream struct {
	In  flow.Source // the caller's arguments
	Out flow.Sink   // and its replies
}

// Expect and Begin have nobody to tell.
func (*Stream) Expect() {}

// Begin is that of [call.Stream].
func (*Stream) Begin() {}

// Ends is that of [call.Stream].
func (s *Stream) Ends(*call.Items) (flow.Source, flow.Sink) { return s.In, s.Out }

// Patient is that of [call.Stream].
func (*Stream) Patient(to flow.LateSink) flow.Sink { return to }

// Await is that of [call.Stream].
func (*Stream) Await(ctx context.Context, a, b <-chan struct{}) {
	select {
	case <-a:
	case <-b:
	case <-ctx.Done():
	}
}

// Gone is that of [call.Stream].
func (*Stream) Gone(<-chan struct{}) error { return nil }

// StopWriting is that of [call.Stream].
func (*Stream) StopWriting() {}

// AwaitDeadline is that of [call.Stream].
func (*Stream) AwaitDeadline(context.Context, error) {}

// Header is that of [call.Stream]: the caller has the method's header itself.
func (*Stream) Header([]byte, bool) error { return nil }

// Finish is that of [call.Stream].
func (*Stream) Finish([]byte) error { return nil }
