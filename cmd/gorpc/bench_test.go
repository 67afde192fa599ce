package main_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// benched is what gorpc bench tells programs.
type benched struct {
	Method    string
	Callers   int
	Rate      float64
	Took      string
	Calls     uint64
	PerSecond float64
	Items     uint64
	Errors    map[string]uint64
	Durations map[string]string
	Histogram []struct {
		UpTo  string
		Calls uint64
	}
}

func benchJSON(t *testing.T, args ...string) (b benched) {
	t.Helper()
	r := gorpc(t, append([]string{"bench", "-o", "json", "-d", "300ms", "-w", "50ms"}, args...)...)
	r.wants(t, 0)
	if err := json.Unmarshal([]byte(r.out), &b); err != nil {
		t.Fatalf("%v: %s", err, r.out)
	}
	return b
}

// check fails the test unless the figures agree with each other.
func (b benched) check(t *testing.T) {
	t.Helper()
	var n uint64
	for _, bar := range b.Histogram {
		n += bar.Calls
	}
	took, err := time.ParseDuration(b.Took)
	if err != nil || took > 300*time.Millisecond || b.Calls == 0 || n != b.Calls || int64(b.PerSecond*took.Seconds()+.5) != int64(b.Calls) {
		t.Errorf("got %+v, %v", b, err)
	}
	before := time.Duration(0)
	for _, q := range []string{"min", "p50", "p90", "p95", "p99", "p99.9", "max"} {
		d, err := time.ParseDuration(b.Durations[q])
		if err != nil || d < before || d <= 0 {
			t.Errorf("%s is %v, %v", q, d, err)
		}
		before = d
	}
}

// Calls of each kind are made and measured, for people and for programs.
func TestBench(t *testing.T) {
	addr := shop(t)
	const order = `{"ID": 7, "Lines": [{"Item": "tea", "Quantity": 2}]}`
	b := benchJSON(t, "--callers", "4", addr, "Shop.Order", order)
	if b.check(t); b.Method != "Shop.Order" || b.Callers != 4 || len(b.Errors) > 0 || b.Items != 0 {
		t.Errorf("got %+v", b)
	}
	b = benchJSON(t, "--items", "3", addr, "Shop.Count", "5")
	if b.check(t); b.Items <= 2*b.Calls || len(b.Errors) > 0 {
		t.Errorf("got %+v", b)
	}
	gorpc(t, "bench", "-d", "100ms", "-w", "0s", addr, "Shop.Order", order).wants(t, 0, "Shop.Order, 16 callers, 100ms", "a second", "p99.9", "< ", "###")
	gorpc(t, "bench", "-d", "100ms", "-w", "0s", addr, "Shop.Count", "1").wants(t, 0, "items ")
	gorpcWith(t, order, "bench", "-d", "100ms", addr, "Shop.Order", "-").wants(t, 0, "p50")
}

// With a rate calls begin at that rate; those that are late count from when they were
// due.
func TestBenchAtARate(t *testing.T) {
	addr := shop(t)
	b := benchJSON(t, "--rate", "100", addr, "Shop.Order")
	if b.check(t); b.Rate != 100 || b.Calls > 31 {
		t.Errorf("got %+v", b)
	}
	h, slow := newHost(t)
	s := rpc.NewServer(h, shopProtocol, rpc.WithDescriptions(true))
	t.Cleanup(func() { _ = s.Close() })
	ticks := time.Tick(20 * time.Millisecond)
	if err := rpc.NewMethod[int, int]("Svc", "Slow").Handle(s, func(_ context.Context, n int) (int, error) {
		<-ticks // there are 50 calls a second at most
		return n, nil
	}); err != nil {
		t.Fatal(err)
	}
	b = benchJSON(t, "--rate", "1000", "--callers", "1", slow, "Svc.Slow", "1")
	b.check(t)
	if most, err := time.ParseDuration(b.Durations["max"]); err != nil || most < 100*time.Millisecond {
		t.Errorf("calls that were due long before took %v at most, %v", most, err)
	}
}

// Errors are counted by their codes. If all calls fail, so does the command.
func TestBenchOfCallsThatFail(t *testing.T) {
	addr := shop(t)
	r := gorpc(t, "bench", "-d", "100ms", "-w", "0s", addr, "Shop.Order", `{"ID": -1}`)
	r.wants(t, 15, "errors", "NotFound ", `no such order\x1b[2J`)
	if strings.Contains(r.out+r.err, "\x1b") {
		t.Errorf("it writes control characters of a peer: %q", r.out+r.err)
	}
	gorpc(t, "bench", "-d", "100ms", addr, "Shop.Order", `{"Id": 1}`).wants(t, 2, `no field "Id"`)
	gorpc(t, "bench", addr, "Shop.None").wants(t, 15, "no method Shop.None")
	for _, wrong := range [][]string{{"-c", "0"}, {"-r", "-1"}, {"-d", "0s"}, {"-w", "-1s"}, {"--items", "-1"}} {
		gorpc(t, append([]string{"bench", addr, "Shop.Order"}, wrong...)...).wants(t, 2, "--callers")
	}
}

// A peer of the plain protocol without descriptions is measured, too.
func TestBenchOfAPlainPeer(t *testing.T) {
	h, addr := newHost(t)
	serveShop(t, h, shopProtocol, rpc.WithDescriptions(false))
	h.RemoveStreamHandler(shopProtocol + "/3")
	h.RemoveStreamHandler(shopProtocol + "/session/2")
	for _, args := range [][]string{{addr, "Shop.Order", `{"ID": 3}`}, {"--stream", addr, "Shop.Count", "1"}} {
		b := benchJSON(t, append([]string{"--protocol", string(shopProtocol)}, args...)...)
		if b.check(t); len(b.Errors) > 0 {
			t.Errorf("got %+v", b)
		}
	}
}

// A stream that does not end is cut off, and its items are counted.
func TestBenchOfAStreamWithoutEnd(t *testing.T) {
	h, addr := newHost(t)
	s := rpc.NewServer(h, shopProtocol, rpc.WithDescriptions(true))
	t.Cleanup(func() { _ = s.Close() })
	if err := rpc.NewServerStream[int, int]("Svc", "Forever").Handle(s, func(ctx context.Context, n int, out *rpc.Sender[int]) error {
		for {
			if err := out.Send(ctx, n); err != nil {
				return err
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	b := benchJSON(t, "-c", "2", addr, "Svc.Forever", "1")
	if b.Items == 0 || b.Calls != 0 || len(b.Errors) > 0 {
		t.Errorf("got %+v", b)
	}
}
