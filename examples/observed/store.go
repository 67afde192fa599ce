package main

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

const service = "Store"

type entry struct{ Key, Value string }

var (
	find = rpc.NewMethod[string, string](service, "Find")
	put  = rpc.NewMethod[entry, struct{}](service, "Put")
)

// store is what the peers serve.
type store struct {
	disk   func(context.Context) error // which finding waits for; nil: it does not
	mu     sync.Mutex
	values map[string]string
}

func newStore(disk func(context.Context) error) *store {
	return &store{disk: disk, values: map[string]string{"tea": "black"}}
}

func (s *store) serve(server *rpc.Server) error {
	if err := find.Handle(server, s.find); err != nil {
		return err
	}
	return put.Handle(server, s.put)
}

func (s *store) find(ctx context.Context, key string) (string, error) {
	if s.disk != nil {
		if err := s.disk(ctx); err != nil {
			return "", err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok := s.values[key]
	if !ok {
		return "", rpc.Errorf(codes.NotFound, "there is no %q", key)
	}
	return value, nil
}

func (s *store) put(_ context.Context, e entry) (struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.values[e.Key] = e.Value
	return struct{}{}, nil
}

// slowDisk takes 30 ms, and every twentieth time 1.5 s: the median does not show it.
func slowDisk() func(context.Context) error {
	var reads atomic.Int64
	return func(ctx context.Context) error {
		takes := 30 * time.Millisecond
		if reads.Add(1)%20 == 0 {
			takes = 1500 * time.Millisecond
		}
		done := time.NewTimer(takes)
		defer done.Stop()
		select {
		case <-done.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// load has twelve callers for each peer until ctx ends.
func load(ctx context.Context, from *node, to ...*node) error {
	for _, n := range to {
		if err := from.host.Connect(ctx, peer.AddrInfo{ID: n.host.ID(), Addrs: n.host.Addrs()}); ctx.Err() != nil {
			return nil // the end, as asked for
		} else if err != nil {
			return err
		}
	}
	var callers sync.WaitGroup
	for _, n := range to {
		for range 12 {
			callers.Go(func() { callOften(ctx, from.client, n.host.ID()) })
		}
	}
	callers.Wait()
	return nil
}

func callOften(ctx context.Context, c *rpc.Client, dest peer.ID) {
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		// Errors are what there is to see: the client counts them.
		_, _ = find.Call(ctx, c, dest, "tea", rpc.CallTimeout(5*time.Second))
		_, _ = put.Call(ctx, c, dest, entry{"tea", "green"}, rpc.CallTimeout(5*time.Second))
	}
}
