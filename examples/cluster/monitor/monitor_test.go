package monitor_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/monitor"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMetrics(t *testing.T) {
	t.Parallel()
	hosts := rpctest.MemoryHosts(t, 3)
	stranger := hosts[2].ID()
	var monitors []*monitor.Monitor
	for i, h := range hosts {
		server := rpctest.NewServer(t, h, api.Protocol)
		rpctest.HandleReply(server, api.Storage.Free, uint64(i+1))
		m, err := monitor.New(h, server.Client(), monitor.Config{
			Interval: 100 * time.Millisecond, Trusted: func(p peer.ID) bool { return p != stranger },
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		monitors = append(monitors, m)
	}
	first, second := hosts[0].ID(), hosts[1].ID()
	heard := func(want string) {
		t.Helper()
		ticks := time.NewTicker(10 * time.Millisecond)
		defer ticks.Stop()
		var got string
		for deadline := time.After(30 * time.Second); ; {
			metrics, err := monitors[0].Metrics(t.Context(), api.Nothing{})
			if err != nil {
				t.Fatal(err)
			}
			slices.SortFunc(metrics, func(a, b api.Metric) int { return int(a.Free) - int(b.Free) })
			got = ""
			for _, m := range metrics {
				got += fmt.Sprintf("%v has %d, expired %v\n", m.Peer, m.Free, m.Expired)
			}
			if got == want {
				return
			}
			select {
			case <-ticks.C:
			case <-deadline:
				t.Fatalf("%s\nwant\n%s", got, want)
			}
		}
	}
	heard(fmt.Sprintf("%v has 1, expired false\n%v has 2, expired false\n", first, second))
	if err := monitors[1].Close(); err != nil {
		t.Fatal(err)
	}
	heard(fmt.Sprintf("%v has 1, expired false\n%v has 2, expired true\n", first, second))
}
