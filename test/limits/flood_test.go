package limits_test

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Floods of streams on which half a header is sent, and then nothing. Not
// parallel: an honest peer's calls are timed.

func TestOnePeerFloodsWithHalfHeaders(t *testing.T) {
	each := 10_000
	if testing.Short() {
		each = 2_000
	}
	halfHeaders(t, 1, each)
}

func TestManyPeersFloodWithHalfHeaders(t *testing.T) {
	peers := 40
	if testing.Short() {
		peers = 8
	}
	halfHeaders(t, peers, 250)
}

// halfHeaders has so many peers open so many streams each, and expects that an
// honest one is served throughout and that all of it is gone in time. libp2p
// refuses nothing: what holds is the library's.
func halfHeaders(t *testing.T, peers, each int) {
	// An attack is as large as it gets in that time: CI's machines are slow.
	const attackTime = 8 * time.Second
	b := rig.LimitedHost(t, rcmgr.PartialLimitConfig{})
	rig.Serve(t, b, rig.Arith{}, rpc.WithServerLimits(rpc.Limits{HeaderTimeout: time.Second}))
	hostile := make([]host.Host, peers)
	for i := range hostile {
		hostile[i] = rig.LimitedHost(t, rcmgr.PartialLimitConfig{})
		rig.Connect(t, hostile[i], b)
	}
	honest := newHonest(t, b)

	var most, gone atomic.Int64 // streams at the server; when there were none
	watched := make(chan struct{})
	attacked := make(chan struct{})
	go func() {
		defer close(watched)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for over := false; ; {
			n := int64(rig.Streams(b))
			most.Store(max(most.Load(), n))
			select {
			case <-attacked:
				over = true
			default:
			}
			if over && n <= int64(len(honest.clients)) { // theirs
				gone.Store(time.Now().UnixNano())
				return
			}
			select {
			case <-tick.C:
			case <-t.Context().Done():
				return
			}
		}
	}()

	begin := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), attackTime)
	defer cancel()
	half := rig.Header("Svc", "Multiply")[:12]
	var opened atomic.Int64
	var wg sync.WaitGroup
	for _, h := range hostile {
		wg.Go(func() {
			for range each {
				st, err := h.NewStream(ctx, b.ID(), rig.Protocol)
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					continue
				}
				opened.Add(1) // neither read, nor closed
				_ = st.SetWriteDeadline(time.Now().Add(attackTime))
				_, _ = st.Write(half)
			}
		})
	}
	wg.Wait()
	end := time.Now()
	close(attacked)
	rig.Take(t, "the streams are gone", watched)
	calls, p50, p99, worst := honest.stop(t)

	// A refusal can be read for 5 s more.
	t.Logf("%d of %d streams in %v, at most %d at once, gone %v after the last",
		opened.Load(), peers*each, end.Sub(begin).Round(time.Millisecond), most.Load(), time.Unix(0, gone.Load()).Sub(end).Round(time.Millisecond))
	t.Logf("%d honest calls: p50 %v, p99 %v, worst %v", calls, p50, p99, worst)
	if n := opened.Load(); n < int64(peers*each/20) {
		t.Errorf("no flood: %d streams", n)
	}
	if p99 > time.Second {
		t.Errorf("p99 of honest calls is %v", p99)
	}
	rig.Released(t, b)
}

// honest is a peer that calls all the time, over each transport.
type honestPeer struct {
	clients []*rpc.Client
	over    chan struct{}
	wg      sync.WaitGroup
	mu      sync.Mutex
	took    []time.Duration
}

func newHonest(t *testing.T, b host.Host) *honestPeer {
	p := &honestPeer{over: make(chan struct{})}
	a := rig.NewHost(t)
	rig.Connect(t, a, b)
	for _, tr := range rig.Transports {
		if tr.Local {
			continue
		}
		c := tr.Client(t, a)
		p.clients = append(p.clients, c)
		rig.Multiplies(t, c, b.ID())
		p.wg.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for n := 0; ; n++ {
				select {
				case <-tick.C:
				case <-p.over:
					return
				}
				var got int
				begin := time.Now()
				err := c.CallContext(t.Context(), b.ID(), "Svc", "Multiply", rig.Args{A: n, B: 3}, &got)
				took := time.Since(begin)
				if err != nil || got != 3*n {
					t.Errorf("an honest call over %s: %d, %v", tr.Name, got, err)
					return
				}
				p.mu.Lock()
				p.took = append(p.took, took)
				p.mu.Unlock()
			}
		})
	}
	return p
}

func (p *honestPeer) stop(t *testing.T) (calls int, p50, p99, worst time.Duration) {
	t.Helper()
	close(p.over)
	p.wg.Wait()
	for _, c := range p.clients {
		_ = c.Close()
	}
	n := len(p.took)
	if n == 0 {
		t.Fatal("no honest call")
	}
	slices.Sort(p.took)
	return n, p.took[n/2], p.took[n*99/100], p.took[n-1]
}
