package promrpc_test

import (
	"context"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/promrpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// busy returns a registry with a server and a client, after some calls.
func busy(t *testing.T, tr rig.Transport, opts ...promrpc.Option) *prometheus.Registry {
	t.Helper()
	s := tr.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
		rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "ReplyAndError" }),
	}})
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(promrpc.Server(s.Server, opts...), promrpc.Client(s.Client, opts...))
	var n int
	var q rig.Quotient
	for range 3 {
		_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Multiply", rig.Args{A: 2, B: 3}, &n)
	}
	_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Divide", rig.Args{A: 2}, &q)
	_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "ReplyAndError", 1, &n)
	_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "MadeUp", 1, &n)
	rig.Eventually(t, "the server has counted them", func() bool { return s.Server.State().Total.Calls == 6 && s.Server.State().UnderWay == 0 })
	return r
}

// value returns what a series has, by its name and labels.
func value(t *testing.T, r *prometheus.Registry, name string, labels ...string) *dto.Metric {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			have := make(map[string]string)
			for _, l := range m.GetLabel() {
				have[l.GetName()] = l.GetValue()
			}
			if family.GetName() == name && have["protocol"] == string(rig.Protocol) && !slices.ContainsFunc(slices.Collect(slices.Chunk(labels, 2)), func(l []string) bool { return have[l[0]] != l[1] }) {
				return m
			}
		}
	}
	return nil
}

// Both sides' figures are there, by method, code and reason.
func TestCollectors(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		r := busy(t, tr)
		for _, c := range []struct {
			name   string
			labels []string
			want   float64
		}{
			{"gorpc_server_calls_total", []string{"method", "Svc.Multiply", "code", "OK"}, 3},
			{"gorpc_server_calls_total", []string{"method", "Svc.Divide", "code", "Unknown"}, 1},
			{"gorpc_server_calls_total", []string{"method", "other", "code", "Unimplemented"}, 1},
			{"gorpc_client_calls_total", []string{"method", "Svc.Multiply", "code", "OK"}, 3},
			{"gorpc_server_refused_total", []string{"reason", "denied"}, 1},
			{"gorpc_server_refused_total", []string{"reason", "no such method"}, 1},
			{"gorpc_client_retries_total", nil, 0},
		} {
			if m := value(t, r, c.name, c.labels...); m == nil || m.GetCounter().GetValue() != c.want {
				t.Errorf("%s %v is %v, and not %v", c.name, c.labels, m, c.want)
			}
		}
		for _, name := range []string{"gorpc_server_places_most", "gorpc_server_start_time_seconds", "gorpc_client_start_time_seconds"} {
			if m := value(t, r, name); m == nil || m.GetGauge().GetValue() <= 0 {
				t.Errorf("%s is %v", name, m)
			}
		}
		session := "true"
		if tr.Name == "wire" {
			session = "false"
		} else if m := value(t, r, "gorpc_client_links", "transport", "tcp", "relayed", "false", "session", session); m == nil || m.GetGauge().GetValue() != 1 {
			t.Errorf("the session is %v", m)
		}
		h := value(t, r, "gorpc_server_call_duration_seconds", "method", "Svc.Multiply").GetHistogram()
		if h.GetSampleCount() != 3 || h.GetSampleSum() <= 0 || len(h.GetBucket()) != 19 || h.GetBucket()[18].GetCumulativeCount() != 3 {
			t.Errorf("the histogram is %v", h)
		}
		for i, b := range h.GetBucket()[1:] {
			if b.GetCumulativeCount() < h.GetBucket()[i].GetCumulativeCount() {
				t.Errorf("the histogram sinks: %v", h)
			}
		}
		if problems, err := testutil.GatherAndLint(r); err != nil || len(problems) > 0 {
			t.Errorf("%v, %v", problems, err)
		}
	})
}

// Peers have series if they are asked for.
func TestPeers(t *testing.T) {
	t.Parallel()
	if m := value(t, busy(t, rig.Session), "gorpc_server_peer_calls_total"); m != nil {
		t.Errorf("got %v", m)
	}
	r := busy(t, rig.Session, promrpc.Peers(true), promrpc.Labels(prometheus.Labels{"node": "a"}))
	if m := value(t, r, "gorpc_server_peer_denied_total", "node", "a"); m == nil || m.GetCounter().GetValue() != 1 {
		t.Errorf("got %v", m)
	}
}

// Local calls are there if the server counts them.
func TestLocalCalls(t *testing.T) {
	t.Parallel()
	s := rig.NewServer(t, rig.NewHost(t), rpc.WithLocalCallsCounted(true))
	if err := s.RegisterName("Svc", rig.Arith{}); err != nil {
		t.Fatal(err)
	}
	if _, err := rig.MultiplyMethod.Call(context.Background(), rig.ClientWithServer(t, nil, s), "", &rig.Args{A: 2, B: 3}); err != nil {
		t.Fatal(err)
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(promrpc.Server(s))
	if m := value(t, r, "gorpc_server_local_calls_total", "code", "OK"); m == nil || m.GetCounter().GetValue() != 1 {
		t.Errorf("got %v", m)
	}
}

var metricName = regexp.MustCompile(`gorpc_(?:server|client)_[a-z_]+`)

// The dashboard, the rules and the documents name metrics that there are, and each panel
// and rule says what to do.
func TestTheFilesNameMetricsThatThereAre(t *testing.T) {
	t.Parallel()
	known := make(map[string]bool)
	s := rig.NewServer(t, nil)
	descs := make(chan *prometheus.Desc, 200)
	promrpc.Server(s, promrpc.Peers(true)).Describe(descs)
	promrpc.Client(rig.ClientWithServer(t, nil, s), promrpc.Peers(true)).Describe(descs)
	close(descs)
	for d := range descs {
		known[metricName.FindString(d.String())] = true
	}
	read := func(name string) string {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	for _, file := range []string{"dashboard.json", "alerts.yml", "alerts_test.yml", "../docs/observing.md"} {
		for _, name := range metricName.FindAllString(read(file), -1) {
			if !known[strings.TrimSuffix(name, "_bucket")] && name != "gorpc_server_" && name != "gorpc_client_" {
				t.Errorf("%s names %s, which there is not", file, name)
			}
		}
	}
	for name := range known {
		for _, file := range []string{"../docs/observing.md"} {
			if rest, ok := strings.CutPrefix(name, "gorpc_server_"); ok && !strings.Contains(read(file), "`"+rest+"`") && !strings.Contains(read(file), "`"+name+"`") {
				t.Errorf("%s does not name %s", file, name)
			}
		}
	}
	var board struct {
		Panels []struct{ Title, Description string }
	}
	if err := json.Unmarshal([]byte(read("dashboard.json")), &board); err != nil || len(board.Panels) == 0 {
		t.Fatal(err)
	}
	for _, p := range board.Panels {
		if len(p.Description) < 20 {
			t.Errorf("the panel %q does not say what to do", p.Title)
		}
	}
	rules := read("alerts.yml")
	if n := strings.Count(rules, "- alert: "); n == 0 || strings.Count(rules, "          action: '") != n {
		t.Errorf("%d rules, and not each says what to do", n)
	}
}
