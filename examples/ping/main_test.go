package main

import (
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func runFor(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, args, &out); err != nil {
		t.Fatalf("ping %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

func TestBothInOneProcess(t *testing.T) {
	out := runFor(t, "-n", "5")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4+1+5+3 {
		t.Fatalf("five round trips, a head and three figures, not\n%s", out)
	}
	for i, first := range []string{"local", "1", "2", "3", "4", "5", "min", "median", "p99"} {
		if fields := strings.Fields(lines[4+i]); fields[0] != first {
			t.Errorf("line %q starts with something else than %q", lines[2+i], first)
		}
	}
}

func TestServerAndClient(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	r, w := io.Pipe()
	served := make(chan error, 1)
	go func() {
		served <- run(ctx, []string{"-serve"}, w)
		_ = w.Close()
	}()
	buf := make([]byte, 1024)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimPrefix(strings.TrimSpace(string(buf[:n])), "listening on ")
	if out := runFor(t, "-to", addr, "-n", "3", "-size", "100000"); !strings.Contains(out, "median") {
		t.Fatalf("no figures in\n%s", out)
	}
	interrupt()
	rest, err := io.ReadAll(r)
	if err != nil || !strings.Contains(string(rest), "shutting down") {
		t.Fatalf("the server says %q, %v", rest, err)
	}
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

func TestBadUsageIsExplained(t *testing.T) {
	for _, args := range [][]string{{"-n", "0"}, {"-serve", "-to", "x"}, {"x"}, {"-to", "nowhere"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}

func TestQuantile(t *testing.T) {
	trips := []time.Duration{5, 1, 4, 2, 3}
	for q, want := range map[float64]time.Duration{0: 1, 0.5: 3, 0.99: 5} {
		if got := quantile(trips, q); got != want {
			t.Errorf("quantile %v is %v, not %v", q, got, want)
		}
	}
}
