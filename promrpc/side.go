package promrpc

import (
	"maps"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/libp2p/go-libp2p-gorpc/state"
)

// boundaries are those of the histograms, in seconds: OpenTelemetry's for RPC, and some
// for calls that are as quick as this library's.
var boundaries = []float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10,
}

// side has what servers and clients have in common.
type side struct {
	prefix string
	labels prometheus.Labels
	peers  bool
	descs  []*prometheus.Desc

	since, calls, duration, underWay, refused           *prometheus.Desc
	peerCalls, peerFailures, peerDenied, peerRefused    *prometheus.Desc
	links, linkCalls, linkWaiting                       *prometheus.Desc
	memReserved, memLent, memDecoded, memWaiting, plans *prometheus.Desc
}

func newSide(prefix string, s state.Side, opts []Option) *side {
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	labels := prometheus.Labels{"protocol": s.Protocol}
	maps.Copy(labels, c.labels)
	d := &side{prefix: prefix, labels: labels, peers: c.peers}
	d.since = d.desc("start_time_seconds", "When the counters were 0, in seconds since 1970.")
	d.calls = d.desc("calls_total", "Calls with other peers that are over, by method and code.", "method", "code")
	d.duration = d.desc("call_duration_seconds", "How long calls took that are over; streams to their end.", "method")
	d.underWay = d.desc("calls_under_way", "Calls that are under way.", "method")
	d.refused = d.desc("refused_total", "Calls that the server refused, by reason.", "reason")
	d.links = d.desc("links", "Sessions, and streams of single calls, that are open.", "transport", "relayed", "session")
	d.linkCalls = d.desc("link_calls", "Calls that are under way on them.", "transport", "relayed", "session")
	d.linkWaiting = d.desc("calls_waiting", "Calls that wait for a place on a session.", "transport", "relayed", "session")
	d.memReserved = d.desc("memory_reserved_bytes", "What is reserved with libp2p's resource manager.")
	d.memLent = d.desc("memory_lent_bytes", "What messages hold beyond that.")
	d.memDecoded = d.desc("memory_decoded_bytes", "What decoded messages hold (Limits.DecodedPerPeer).")
	d.memWaiting = d.desc("memory_waiting", "Messages that wait for memory.")
	d.plans = d.desc("codec_fallbacks_total", "Values that the codec library had to encode or decode, in this process.")
	if d.peers {
		d.peerCalls = d.desc("peer_calls_total", "Calls with a peer that are over.", "peer")
		d.peerFailures = d.desc("peer_failures_total", "Those of them that failed.", "peer")
		d.peerDenied = d.desc("peer_denied_total", "Those that authorization refused.", "peer")
		d.peerRefused = d.desc("peer_refused_total", "Those that were refused for another reason.", "peer")
	}
	return d
}

func (d *side) desc(name, help string, labels ...string) *prometheus.Desc {
	desc := prometheus.NewDesc(d.prefix+name, help, labels, d.labels)
	d.descs = append(d.descs, desc)
	return desc
}

func counter(ch chan<- prometheus.Metric, d *prometheus.Desc, n uint64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
}

func gauge[N int | int64 | float64](ch chan<- prometheus.Metric, d *prometheus.Desc, n N, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
}

// byCode gives the calls that are over by their codes.
func byCode(ch chan<- prometheus.Metric, d *prometheus.Desc, t state.Totals, labels ...string) {
	counter(ch, d, t.Calls-t.Failures(), append(labels, "OK")...)
	for _, c := range t.Failed {
		counter(ch, d, c.N, append(labels, c.Name)...)
	}
}

func (d *side) collect(ch chan<- prometheus.Metric, s *state.Side) {
	gauge(ch, d.since, float64(s.Since.UnixMilli())/1000)
	for _, m := range s.Methods {
		name := m.Service
		if m.Method != "" {
			name += "." + m.Method
		}
		byCode(ch, d.calls, m.Totals, name)
		gauge(ch, d.underWay, m.UnderWay, name)
		n, sum, buckets := histogram(m.Latency)
		ch <- prometheus.MustNewConstHistogram(d.duration, n, sum, buckets, name)
	}
	for _, c := range s.Refused {
		counter(ch, d.refused, c.N, c.Name)
	}
	if d.peers {
		for _, p := range s.Peers {
			counter(ch, d.peerCalls, p.Calls, p.ID)
			counter(ch, d.peerFailures, p.Failures(), p.ID)
			counter(ch, d.peerDenied, p.Denied, p.ID)
			counter(ch, d.peerRefused, p.Refused, p.ID)
		}
	}
	d.collectLinks(ch, s.Links)
	gauge(ch, d.memReserved, s.Memory.Reserved)
	gauge(ch, d.memLent, s.Memory.Lent)
	gauge(ch, d.memDecoded, s.Memory.Decoded)
	gauge(ch, d.memWaiting, s.Memory.Waiting)
	counter(ch, d.plans, s.Fallbacks)
}

// collectLinks sums up the links of all peers.
func (d *side) collectLinks(ch chan<- prometheus.Metric, links []state.Link) {
	type way struct {
		transport        string
		relayed, session bool
	}
	sums := make(map[way]state.Link)
	for _, l := range links {
		w := way{l.Transport, l.Relayed, l.Session}
		sum := sums[w]
		sum.Count, sum.UnderWay, sum.Waiting = sum.Count+l.Count, sum.UnderWay+l.UnderWay, sum.Waiting+l.Waiting
		sums[w] = sum
	}
	for w, sum := range sums {
		labels := []string{w.transport, strconv.FormatBool(w.relayed), strconv.FormatBool(w.session)}
		gauge(ch, d.links, sum.Count, labels...)
		gauge(ch, d.linkCalls, sum.UnderWay, labels...)
		gauge(ch, d.linkWaiting, sum.Waiting, labels...)
	}
}

// histogram is a Latency with the boundaries of the histograms: the calls of a bucket
// across one are taken to lie evenly in it.
func histogram(l state.Latency) (n uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(boundaries))
	for _, limit := range boundaries {
		at, below := time.Duration(limit*float64(time.Second)), uint64(0)
		for _, b := range l.Buckets {
			switch {
			case b.To <= at:
				below += b.N
			case b.From < at:
				below += uint64(float64(b.N) * float64(at-b.From) / float64(b.To-b.From))
			}
		}
		buckets[limit] = below
	}
	return l.Count(), l.Sum.Seconds(), buckets
}
