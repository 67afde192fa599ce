package peers_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// load is what many calls at once send, more than a connection takes by itself.
type load struct {
	name        string
	calls, size int
	streaming   bool
}

var loads = []load{
	{"unary", 120, 1 << 20, false},
	{"streaming", 120, 250 << 10, true},
	{"small", 400, 1, false}, // more streams than a peer need accept
}

// loaded is a client whose calls go over a link.
type loaded struct {
	conn   network.Conn
	link   *rig.Link
	client *rpc.Client
	to     peer.ID
	ends   chan error
}

func newLoaded(t *testing.T, addr string, tr rig.Transport, silence time.Duration) *loaded {
	unlimited := libp2p.ResourceManager(&network.NullResourceManager{})
	a, b := rig.NewHostOn(t, addr, unlimited), rig.NewHostOn(t, addr, unlimited)
	l := &loaded{link: rig.NewLink(t, b), to: b.ID(), ends: make(chan error, 400)}
	if err := a.Connect(rig.Context(t), peer.AddrInfo{ID: b.ID(), Addrs: []multiaddr.Multiaddr{l.link.Addr}}); err != nil {
		t.Fatal(err)
	}
	l.conn = a.Network().ConnsToPeer(b.ID())[0]
	s := rig.NewServer(t, b)
	if err := sizes.Handle(s, func(_ context.Context, b []byte) (int, error) { return len(b), nil }); err != nil {
		t.Fatal(err)
	}
	if err := total.Handle(s, func(ctx context.Context, in *rpc.Receiver[[]byte]) (n int, err error) {
		for b, err := range in.All(ctx) {
			if err != nil {
				return 0, err
			}
			n += len(b)
		}
		return n, nil
	}); err != nil {
		t.Fatal(err)
	}
	l.client = tr.Client(t, a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
	if _, err := sizes.Call(rig.Context(t), l.client, l.to, []byte{1}); err != nil { // opens a session
		t.Fatal(err)
	}
	return l
}

var (
	sizes = rpc.NewMethod[[]byte, int]("Svc", "Size")
	total = rpc.NewClientStream[[]byte, int]("Svc", "Total")
)

// begin makes the calls, which end in l.ends.
func (l *loaded) begin(ctx context.Context, of load) {
	value := make([]byte, of.size)
	for range of.calls {
		go func() { l.ends <- l.call(ctx, value, of.streaming) }()
	}
}

func (l *loaded) call(ctx context.Context, value []byte, streaming bool) error {
	if !streaming {
		_, err := sizes.Call(ctx, l.client, l.to, value)
		return err
	}
	call := total.Open(ctx, l.client, l.to)
	for call.Send(ctx, value) == nil {
	}
	_, err := call.Finish(ctx)
	return err
}

// overPipes has f for each carrier, over connections on which all streams share one pipe.
func overPipes(t *testing.T, f func(t *testing.T, addr string, tr rig.Transport)) {
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		for _, c := range connections[:2] {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				f(t, c.addr, tr)
			})
		}
	})
}

// TestCallsOfAFullPipeEnd has so many calls to a frozen peer that not even a ping can be
// sent, or no stream be opened for it. Each ends within 1.25 times SilenceTimeout.
func TestCallsOfAFullPipeEnd(t *testing.T) {
	t.Parallel()
	overPipes(t, func(t *testing.T, addr string, tr rig.Transport) {
		for _, of := range loads {
			t.Run(of.name, func(t *testing.T) {
				t.Parallel()
				rig.Measured(t, func() error { return fullAndFrozen(t, addr, tr, of) })
			})
		}
	})
}

func fullAndFrozen(t *testing.T, addr string, tr rig.Transport, of load) (late error) {
	silence := rig.Slower(2 * time.Second)
	l := newLoaded(t, addr, tr, silence)
	l.link.Freeze()
	start := time.Now()
	l.begin(rig.Context(t), of)
	for range of.calls {
		err := rig.Take(t, "a call ends", l.ends)
		if rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("a call ends with %v", err)
		}
		if took := time.Since(start); took > silence*5/4+rig.Late/2 {
			late = fmt.Errorf("a call ends after %v: %w", took, err)
		}
	}
	return late
}

// TestASlowFullPipeIsNotSilent has a slow link that is kept full for three times
// SilenceTimeout, so that pings wait: the peer lives, for something is taken.
func TestASlowFullPipeIsNotSilent(t *testing.T) {
	t.Parallel()
	overPipes(t, fullAndSlow)
}

func fullAndSlow(t *testing.T, addr string, tr rig.Transport) {
	silence := rig.Slower(2 * time.Second)
	l := newLoaded(t, addr, tr, silence)
	l.link.Slow(10 * time.Millisecond) // some 3 MiB/s
	ctx, cancel := context.WithTimeout(rig.Context(t), 3*silence)
	defer cancel()
	calls := 0
	for _, of := range loads[:2] {
		l.begin(ctx, of)
		calls += of.calls
	}
	if tr.Name == rig.Wire.Name {
		rig.Eventually(t, "no stream can be opened", func() bool {
			short, cancel := context.WithTimeout(ctx, silence/10)
			defer cancel()
			st, err := l.conn.NewStream(short)
			if err == nil {
				_ = st.Reset()
			}
			return err != nil && ctx.Err() == nil
		})
	}
	for range calls {
		if err := rig.Take(t, "a call ends", l.ends); err != nil && rpc.CodeOf(err) != codes.DeadlineExceeded {
			t.Fatalf("a call ends with %v", err)
		}
	}
	if l.conn.IsClosed() {
		t.Error("the connection is closed")
	}
}
