package tally

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Side counts the calls of a server or of a client with other peers. Its methods are safe
// for concurrent use.
type Side struct {
	Methods Methods
	Peers   Peers

	// Of a client.
	Retries, Redials, Resent atomic.Uint64
	Draining                 atomic.Int64

	began   time.Time
	mu      sync.Mutex
	refused map[string]uint64
}

// Init begins to count.
func (s *Side) Init() { s.began, s.refused = time.Now(), make(map[string]uint64) }

// Call is what is counted of one call, from Begin to End.
type Call struct {
	began  time.Duration
	counts *Counts
	peer   *Peer // nil: who it is is looked up at the end

	in, out        atomic.Int64              // bytes of a unary call
	conn           atomic.Pointer[wire.Conn] // of any other
	phase, attempt atomic.Uint32
}

// Begin begins a call of a method.
func (s *Side) Begin(c *Call, of *Counts) { c.began, c.counts = time.Since(s.began), of }

// With says whose counts the call's are, which has come on a carrier of that peer.
func (c *Call) With(p *Peer) { c.peer = p }

// On says what the call runs on, alone.
func (c *Call) On(conn *wire.Conn) { c.conn.Store(conn) }

// Takes and Sends say how many bytes the call has received and sent.
func (c *Call) Takes(n int) { c.in.Store(int64(n)) }

// Sends is that.
func (c *Call) Sends(n int) { c.out.Store(int64(n)) }

// Alone reports whether the call has had a stream of its own.
func (c *Call) Alone() bool { return c.conn.Load() != nil }

// Copy returns the call as it is now, for [Live].
func (c *Call) Copy() *Call {
	k := &Call{began: c.began, counts: c.counts}
	k.in.Store(c.in.Load())
	k.out.Store(c.out.Load())
	k.conn.Store(c.conn.Load())
	k.phase.Store(c.phase.Load())
	k.attempt.Store(c.attempt.Load())
	return k
}

// The phases of a call.
const (
	Carried uint32 = iota
	Connecting
	Pausing
)

var phases = [...]string{Connecting: state.Connecting, Pausing: state.Pausing}

// Enters says which phase the call is in now.
func (c *Call) Enters(phase uint32) { c.phase.Store(phase) }

// Tries says which attempt is made, from 0.
func (c *Call) Tries(attempt int) { c.attempt.Store(uint32(attempt)) }

// End ends the call with a peer.
func (s *Side) End(c *Call, id peer.ID, code codes.Code) {
	d := time.Since(s.began) - c.began
	c.counts.Count(d, code)
	if c.peer != nil {
		c.peer.Count(d, code)
		return
	}
	p := s.Peers.Get(id)
	p.Count(d, code)
	s.Peers.Put(p)
}

// EndLocal ends a call that is of no peer.
func (s *Side) EndLocal(c *Call, code codes.Code) {
	c.counts.Count(time.Since(s.began)-c.began, code)
}

// Refuse counts a refusal: of a peer whose counts are p, or id's.
func (s *Side) Refuse(p *Peer, id peer.ID, reason string) {
	if p == nil {
		p = s.Peers.Get(id)
		defer s.Peers.Put(p)
	}
	if reason == state.Denied {
		p.denied.Add(1)
	} else {
		p.refused.Add(1)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused[reason]++
}

// Peer is whose counts the call's are, or nil.
func (c *Call) Peer() *Peer { return c.peer }

// Live is a call that is under way.
type Live struct {
	*Call
	Peer      peer.ID
	ID        ID
	Streaming bool
}

// State returns what was counted, beside the calls that are under way.
func (s *Side) State(live []Live) state.Side {
	now := time.Now()
	st := state.Side{At: now, Since: s.began, UnderWay: len(live)}
	methods, peers := s.Methods.all(), s.Peers.all()
	ofMethod, ofPeer := make(map[*Counts]int), make(map[peer.ID]int)
	for _, c := range live {
		ofMethod[c.counts]++
		p := c.Peer
		if peers[p] == nil {
			p = ""
		}
		ofPeer[p]++
	}
	method := func(id ID, c *Counts) {
		m := state.Method{Service: id.Name, Method: id.Method, UnderWay: ofMethod[c], Totals: c.State()}
		if id.Method != "" || m.Calls > 0 || m.UnderWay > 0 {
			st.Methods = append(st.Methods, m)
			st.Total = plus(st.Total, m.Totals)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(methods), compareIDs) {
		method(id, methods[id])
	}
	method(ID{Name: state.Other}, &s.Methods.other)
	for _, id := range slices.Sorted(maps.Keys(peers)) {
		st.Peers = append(st.Peers, peers[id].state(id.String(), ofPeer[id]))
	}
	if other := s.Peers.other.state(state.Other, ofPeer[""]); other.Calls+other.Denied+other.Refused > 0 || other.UnderWay > 0 {
		st.Peers = append(st.Peers, other)
	}
	s.mu.Lock()
	st.Refused = sorted(s.refused)
	s.mu.Unlock()
	slices.SortFunc(live, func(a, b Live) int { return cmp.Compare(a.began, b.began) })
	for _, c := range live[:min(len(live), state.MostCalls)] {
		st.Calls = append(st.Calls, s.call(c, now, c.counts == &s.Methods.other))
	}
	return st
}

func compareIDs(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Method, b.Method))
}

func (p *Peer) state(id string, underWay int) state.Peer {
	return state.Peer{ID: id, UnderWay: underWay, Denied: p.denied.Load(), Refused: p.refused.Load(), Totals: p.Counts.State()}
}

// call is a call as it is shown, its names only if the program knows them.
func (s *Side) call(c Live, now time.Time, strange bool) state.Call {
	if strange {
		c.ID = ID{Name: state.Other}
	}
	k := state.Call{
		Peer: c.Peer.String(), Service: c.ID.Name, Method: c.ID.Method, Streaming: c.Streaming,
		Age: max(now.Sub(s.began)-c.began, 0), Attempt: int(c.attempt.Load()), Phase: phases[c.phase.Load()],
	}
	in, out := c.in.Load(), c.out.Load()
	if conn := c.conn.Load(); conn != nil {
		in, out = conn.Moved()
	}
	k.In, k.Out = uint64(in), uint64(out)
	return k
}

// plus returns the sum of both.
func plus(a, b state.Totals) state.Totals {
	a.Calls += b.Calls
	a.Latency = a.Latency.Plus(b.Latency)
	failed := make(map[string]uint64)
	for _, c := range slices.Concat(a.Failed, b.Failed) {
		failed[c.Name] += c.N
	}
	a.Failed = sorted(failed)
	return a
}

// sorted has the most frequent first.
func sorted(counts map[string]uint64) (all []state.Count) {
	for name, n := range counts {
		all = append(all, state.Count{Name: name, N: n})
	}
	slices.SortFunc(all, func(a, b state.Count) int {
		return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.Name, b.Name))
	})
	return all
}
