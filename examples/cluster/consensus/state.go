package consensus

import (
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"sync"

	"github.com/hashicorp/raft"
	"github.com/ipfs/go-cid"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// remembered is how many operations are known to have been done, so that they
// are not done twice.
const remembered = 4096

// state is what is agreed upon: raft's finite state machine. Every peer
// applies the same operations in the same order.
type state struct {
	client *rpc.Client

	mu   sync.Mutex
	pins map[cid.Cid]api.Pin
	done []string // the IDs of operations, the last ones
}

func newState(client *rpc.Client) *state {
	return &state{client: client, pins: make(map[cid.Cid]api.Pin)}
}

// Apply does an operation. The pin tracker knows of it first: when others see
// that a pin is agreed upon, work on it has begun.
func (s *state) Apply(entry *raft.Log) any {
	var op api.Op
	if err := json.Unmarshal(entry.Data, &op); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if slices.Contains(s.done, op.ID) {
		return nil
	}
	if s.done = append(s.done, op.ID); len(s.done) > remembered {
		s.done = slices.Clone(s.done[len(s.done)-remembered:])
	}
	if op.Kind == api.OpMove {
		now, pinned := s.pins[op.Pin.Cid]
		if !pinned || !slices.Equal(now.Allocations, op.From) {
			return nil
		}
	}
	switch op.Kind {
	case api.OpPin, api.OpMove:
		s.track(*op.Pin)
		s.pins[op.Pin.Cid] = *op.Pin
	case api.OpUnpin:
		s.untrack(op.Pin.Cid)
		delete(s.pins, op.Pin.Cid)
	}
	return nil
}

// track and untrack ignore errors: PinTracker.Recover finds what is amiss.
func (s *state) track(pin api.Pin) {
	_, _ = api.PinTracker.Pin.Call(context.Background(), s.client, "", pin)
}

func (s *state) untrack(root cid.Cid) {
	_, _ = api.PinTracker.Unpin.Call(context.Background(), s.client, "", root)
}

func (s *state) list() []api.Pin {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.SortedFunc(maps.Values(s.pins), func(a, b api.Pin) int { return a.Created.Compare(b.Created) })
}

// get returns the pin, if there is one.
func (s *state) get(root cid.Cid) []api.Pin {
	s.mu.Lock()
	defer s.mu.Unlock()
	if pin, ok := s.pins[root]; ok {
		return []api.Pin{pin}
	}
	return nil
}

// snapshot is a state that takes the place of the log so far.
type snapshot struct {
	Pins []api.Pin
	Done []string
}

func (s *state) Snapshot() (raft.FSMSnapshot, error) {
	pins := s.list()
	s.mu.Lock()
	defer s.mu.Unlock()
	return snapshot{pins, slices.Clone(s.done)}, nil
}

func (s snapshot) Persist(sink raft.SnapshotSink) error {
	if err := json.NewEncoder(sink).Encode(s); err != nil {
		_ = sink.Cancel()
		return err
	}
	return sink.Close()
}

func (snapshot) Release() {}

// Restore takes a snapshot, of this peer when it starts, or of the leader when
// this peer has been away for long.
func (s *state) Restore(from io.ReadCloser) error {
	defer from.Close()
	var snap snapshot
	if err := json.NewDecoder(from).Decode(&snap); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.pins
	s.pins, s.done = make(map[cid.Cid]api.Pin, len(snap.Pins)), snap.Done
	for _, pin := range snap.Pins {
		s.track(pin)
		s.pins[pin.Cid] = pin
		delete(before, pin.Cid)
	}
	for root := range before {
		s.untrack(root)
	}
	return nil
}
