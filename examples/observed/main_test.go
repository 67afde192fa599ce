package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/debug"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs the program and returns the URLs that it prints, by the names of the peers.
func start(t *testing.T) (ctx context.Context, urls map[string]string) {
	t.Helper()
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	r, w := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, nil, w) }()
	t.Cleanup(func() {
		interrupt()
		_ = r.Close()
		if err := <-ended; err != nil {
			t.Errorf("it ends with %v", err)
		}
	})
	urls = make(map[string]string)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if f := strings.Fields(lines.Text()); len(f) > 2 && strings.HasPrefix(f[1], "http://") {
			urls[f[0]] = strings.TrimSuffix(f[2], "/metrics")
		}
		if strings.Contains(lines.Text(), "call /ip4") && strings.Contains(lines.Text(), put.String()) {
			return ctx, urls // this is the last line
		}
	}
	t.Fatal("it ends before it has told where to look")
	return nil, nil
}

func get(ctx context.Context, t *testing.T, url string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, response.Status)
	}
	return response
}

// await looks at what a page is sent until it shows something.
func await(ctx context.Context, t *testing.T, url, what string, shows func(debug.Snapshot) bool) {
	t.Helper()
	events := get(ctx, t, url+"/debug/rpc/events")
	defer events.Body.Close()
	for lines := bufio.NewReader(events.Body); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("waiting for %s: %v", what, err)
		}
		var now debug.Snapshot
		data, ok := strings.CutPrefix(string(line), "data: ")
		if !ok {
			continue
		}
		if err := json.Unmarshal([]byte(data), &now); err != nil {
			t.Fatal(err)
		}
		if shows(now) {
			return
		}
	}
}

// value is that of the series with a name and labels, 0 if there is none.
func value(t *testing.T, metrics, name string, labels ...string) float64 {
	t.Helper()
	for _, line := range regexp.MustCompile(`(?m)^`+name+`\{.*`).FindAllString(metrics, -1) {
		has := true
		for _, l := range labels {
			has = has && strings.Contains(line, l)
		}
		if has {
			v, err := strconv.ParseFloat(line[strings.LastIndexByte(line, ' ')+1:], 64)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	return 0
}

func TestWhatThereIsToSee(t *testing.T) {
	ctx, urls := start(t)
	await(ctx, t, urls["bert"], "a slow method", func(now debug.Snapshot) bool {
		for _, m := range now.Server.Methods {
			if m.Method == find.ID().Method && m.Latency.Quantile(0.99) > time.Second {
				return true
			}
		}
		return false
	})
	await(ctx, t, urls["carl"], "denied calls", func(now debug.Snapshot) bool {
		return len(now.Server.Refused) > 0 && now.Server.Refused[0].Name == state.Denied
	})
	await(ctx, t, urls["dora"], "calls that wait", func(now debug.Snapshot) bool {
		for _, l := range now.Client.Links {
			if l.Waiting > 0 {
				return true
			}
		}
		return false
	})

	metrics := make(map[string]string)
	for name, url := range urls {
		text, err := io.ReadAll(get(ctx, t, url+"/metrics").Body)
		if err != nil {
			t.Fatal(err)
		}
		metrics[name] = string(text)
		page, err := io.ReadAll(get(ctx, t, url+"/debug/rpc/").Body)
		if err != nil || !strings.Contains(string(page), "<title>RPC, live</title>") {
			t.Errorf("%s's page: %v, %.100s", name, err, page)
		}
	}
	if len(urls) != len(names) {
		t.Errorf("it prints the URLs of %d peers, not %d: %v", len(urls), len(names), urls)
	}
	took := func(name string) (mean, slow float64) {
		const series, method = "gorpc_server_call_duration_seconds", `method="Store.Find"`
		n := value(t, metrics[name], series+"_count", method)
		return value(t, metrics[name], series+"_sum", method) / n, n - value(t, metrics[name], series+"_bucket", method, `le="1"`)
	}
	well, _ := took("anna")
	slowly, slow := took("bert")
	if slow == 0 || !(slowly > 2*well) {
		t.Errorf("bert has %v slow calls, and takes %v s where anna takes %v s", slow, slowly, well)
	}
	for name, denies := range map[string]bool{"anna": false, "bert": false, "carl": true} {
		if n := value(t, metrics[name], "gorpc_server_refused_total", `reason="denied"`); (n > 0) != denies {
			t.Errorf("%s has denied %v calls", name, n)
		}
	}
	if value(t, metrics["dora"], "gorpc_client_calls_total", `code="PermissionDenied"`, `method="Store.Put"`) == 0 {
		t.Error("dora's metrics do not tell that she is denied")
	}
}

func TestItEndsByItself(t *testing.T) {
	if err := run(t.Context(), []string{"-for", "100ms"}, io.Discard); err != nil {
		t.Error(err)
	}
}

func TestBadUsageIsExplained(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-for", "soon"}, {"-port", "70000"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
