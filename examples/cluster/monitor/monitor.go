// Package monitor knows which peers are alive, and how much room they have:
// every peer tells all others from time to time.
package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

const topicName = "/examples/cluster/metrics/1.0"

// Config says how often peers are heard of.
type Config struct {
	// Interval is the time from one metric to the next. A peer that is not
	// heard of for three of them is taken for dead. Default 2 s.
	Interval time.Duration
	// Trusted says whose metrics count; nil is everybody's.
	Trusted func(peer.ID) bool
}

// Monitor serves api.Monitor.
type Monitor struct {
	client   *rpc.Client
	interval time.Duration
	topic    *pubsub.Topic
	heard    *pubsub.Subscription
	stop     context.CancelFunc
	wg       sync.WaitGroup

	mu      sync.Mutex
	metrics map[peer.ID]metric
}

type metric struct {
	api.Metric
	expires time.Time // by this peer's clock
}

// message is what a peer says of itself. That it is the peer's, libp2p tells.
type message struct {
	Free uint64
	TTL  time.Duration
}

// New joins the topic. The client is its way to the other components.
func New(h host.Host, client *rpc.Client, cfg Config) (*Monitor, error) {
	if cfg.Interval == 0 {
		cfg.Interval = 2 * time.Second
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &Monitor{client: client, interval: cfg.Interval, stop: stop, metrics: make(map[peer.ID]metric)}
	if err := m.join(ctx, h, cfg.Trusted); err != nil {
		stop()
		return nil, err
	}
	m.wg.Go(func() { m.listen(ctx) })
	m.wg.Go(func() { m.tell(ctx) })
	return m, nil
}

func (m *Monitor) join(ctx context.Context, h host.Host, trusted func(peer.ID) bool) error {
	// Messages are signed: nobody can speak for another.
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithMessageSignaturePolicy(pubsub.StrictSign), pubsub.WithFloodPublish(true))
	if err != nil {
		return err
	}
	believed := func(_ context.Context, _ peer.ID, msg *pubsub.Message) bool {
		return trusted == nil || trusted(msg.GetFrom())
	}
	if err := ps.RegisterTopicValidator(topicName, believed); err != nil {
		return err
	}
	if m.topic, err = ps.Join(topicName); err != nil {
		return err
	}
	m.heard, err = m.topic.Subscribe()
	return err
}

// Register makes the methods callable.
func (m *Monitor) Register(s *rpc.Server) error { return api.Monitor.Metrics.Handle(s, m.Metrics) }

// Close leaves the topic.
func (m *Monitor) Close() error {
	m.heard.Cancel()
	err := m.topic.Close()
	m.stop()
	m.wg.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Metrics returns the last metric of every peer that was ever heard of.
func (m *Monitor) Metrics(context.Context, api.Nothing) ([]api.Metric, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	var all []api.Metric
	for _, p := range slices.Sorted(maps.Keys(m.metrics)) {
		last := m.metrics[p]
		last.Expired = now.After(last.expires)
		all = append(all, last.Metric)
	}
	return all, nil
}

// tell publishes this peer's metric, again and again.
func (m *Monitor) tell(ctx context.Context) {
	ticks := time.NewTicker(m.interval)
	defer ticks.Stop()
	for {
		// A peer that cannot say how much room it has is not heard of.
		if free, err := api.Storage.Free.Call(ctx, m.client, "", api.Nothing{}); err == nil {
			if data, err := json.Marshal(message{free, 3 * m.interval}); err == nil {
				_ = m.topic.Publish(ctx, data)
			}
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return
		}
	}
}

func (m *Monitor) listen(ctx context.Context) {
	for {
		msg, err := m.heard.Next(ctx)
		if err != nil {
			return
		}
		var said message
		if json.Unmarshal(msg.Data, &said) == nil {
			m.note(msg.GetFrom(), said)
		}
	}
}

func (m *Monitor) note(from peer.ID, said message) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.metrics[from] = metric{api.Metric{Peer: from, Free: said.Free, TTL: said.TTL}, time.Now().Add(said.TTL)}
}
