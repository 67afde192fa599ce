// Package promrpc has collectors of Prometheus metrics for what servers and clients of
// go-libp2p-gorpc tell of themselves ([rpc.Server.State], [rpc.Client.State]):
//
//	prometheus.MustRegister(promrpc.Server(server), promrpc.Client(client))
//
// A scrape takes one State; between scrapes nothing is done. Peers cannot make up
// series: methods are registered ones or "other", and peers have series of their own
// only with [Peers], and then up to a number. docs/observing.md lists the metrics, and
// the folder has a dashboard for Grafana and alerting rules.
package promrpc

import (
	"github.com/prometheus/client_golang/prometheus"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Option configures [Server] and [Client].
type Option func(*config)

type config struct {
	peers  bool
	labels prometheus.Labels
}

// Peers has peers series of their own: up to [state.MostPeers], and one for the rest.
// Those that have gone go after a while. Default false.
func Peers(on bool) Option { return func(c *config) { c.peers = on } }

// Labels are constant labels of all series, to tell apart several servers, or clients,
// of one protocol in one registry.
func Labels(l prometheus.Labels) Option { return func(c *config) { c.labels = l } }

// Server returns a collector for s.
func Server(s *rpc.Server, opts ...Option) prometheus.Collector {
	d := newSide("gorpc_server_", s.State().Side, opts)
	own := &serverDescs{
		placesUsed: d.desc("places_used", "Calls of other peers that hold a place."),
		placesMost: d.desc("places_most", "Places for calls of all peers together (Limits.Calls)."),
		perPeer:    d.desc("places_per_peer", "Places that one peer may have (Limits.CallsPerPeer)."),
		closing:    d.desc("shutting_down", "1 while the server shuts down, else 0."),
		local:      d.desc("local_calls_total", "Local calls that are over, by code, if they are counted.", "code"),
	}
	return &collector{d, func(ch chan<- prometheus.Metric) {
		now := s.State()
		d.collect(ch, &now.Side)
		own.collect(ch, &now)
	}}
}

// Client returns a collector for c.
func Client(c *rpc.Client, opts ...Option) prometheus.Collector {
	d := newSide("gorpc_client_", c.State().Side, opts)
	own := &clientDescs{
		retries:  d.desc("retries_total", "Attempts that followed one that failed (CallRetry)."),
		redials:  d.desc("redials_total", "Attempts of waiting calls to reach their peers again."),
		resent:   d.desc("resent_total", "Calls that were given to another session or stream before they were sent."),
		draining: d.desc("draining_channels", "Arguments channels of streams that are over and are still received from."),
	}
	return &collector{d, func(ch chan<- prometheus.Metric) {
		now := c.State()
		d.collect(ch, &now.Side)
		own.collect(ch, &now)
	}}
}

// collector is that of one side.
type collector struct {
	*side
	all func(chan<- prometheus.Metric)
}

// Describe is that of [prometheus.Collector].
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
}

// Collect is that of [prometheus.Collector].
func (c *collector) Collect(ch chan<- prometheus.Metric) { c.all(ch) }

type serverDescs struct{ placesUsed, placesMost, perPeer, closing, local *prometheus.Desc }

func (d *serverDescs) collect(ch chan<- prometheus.Metric, s *state.Server) {
	gauge(ch, d.placesUsed, s.Places.Used)
	gauge(ch, d.placesMost, s.Places.Most)
	gauge(ch, d.perPeer, s.Places.PerPeer)
	closing := 0
	if s.ShuttingDown {
		closing = 1
	}
	gauge(ch, d.closing, closing)
	if s.Local != nil {
		byCode(ch, d.local, *s.Local)
	}
}

type clientDescs struct{ retries, redials, resent, draining *prometheus.Desc }

func (d *clientDescs) collect(ch chan<- prometheus.Metric, s *state.Client) {
	counter(ch, d.retries, s.Retries)
	counter(ch, d.redials, s.Redials)
	counter(ch, d.resent, s.Resent)
	gauge(ch, d.draining, s.Draining)
}
