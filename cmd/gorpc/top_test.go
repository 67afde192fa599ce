package main_test

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/debug"
	"github.com/libp2p/go-libp2p-gorpc/health"
)

func TestTop(t *testing.T) {
	h, addr := newHost(t)
	s := rpc.NewServer(h, shopProtocol)
	t.Cleanup(func() { _ = s.Close() })
	c := rpc.NewClientWithServer(h, shopProtocol, s)
	t.Cleanup(func() { _ = c.Close() })
	all := func(peer.ID) bool { return true }
	if err := debug.Serve(s, nil, debug.Rule{Allow: all}); err != nil {
		t.Fatal(err)
	}
	if err := s.RegisterName("Slow", slow{}); err != nil {
		t.Fatal(err)
	}
	gorpc(t, "call", addr, "Slow.Fail", "1").wants(t, 12) // of some other peer
	gorpc(t, "call", addr, "Slow.NoSuch", "1").wants(t, 22)
	gorpc(t, "top", "-c", "2", "-i", "100ms", addr).wants(t, 0,
		"calls/s", "p99", "oldest calls", "rpc.Debug.Watch", "Slow.Fail", "peer-", "1 sessions", "tcp", "direct", "no such method")
	r := gorpc(t, "top", "-c", "1", "-o", "json", addr)
	r.wants(t, 0)
	var seen debug.Snapshot
	if err := json.Unmarshal([]byte(r.out), &seen); err != nil || seen.Server == nil || seen.Server.Total.Failures() == 0 {
		t.Errorf("%v: %s", err, r.out)
	}
	gorpc(t, "top", "-c", "1", "--client", addr).wants(t, 2, "shows no client")
	gorpc(t, "top", "-i", "1ms", addr).wants(t, 2, "--every")
	gorpc(t, "top", "-c", "1", shop(t)).wants(t, 22)

	denied, at := newHost(t)
	d := rpc.NewServer(denied, shopProtocol)
	t.Cleanup(func() { _ = d.Close() })
	if err := debug.Serve(d, nil, debug.Rule{}); err != nil {
		t.Fatal(err)
	}
	gorpc(t, "top", "-c", "1", at).wants(t, 17, "--key")
}

type slow struct{}

func (slow) Fail(context.Context, int, *int) error { return rpc.Errorf(2, "out of order") }

func TestHealth(t *testing.T) {
	h, addr := newHost(t)
	s := rpc.NewServer(h, shopProtocol)
	t.Cleanup(func() { _ = s.Close() })
	services, err := health.New(s)
	if err != nil {
		t.Fatal(err)
	}
	gorpc(t, "health", addr).wants(t, 0, "the server is serving")
	gorpc(t, "health", addr, "Shop").wants(t, 15, `"Shop"`)
	services.Set("Shop", health.NotServing, "the till is\x1b[2J empty")
	gorpc(t, "health", addr, "Shop").wants(t, 1, `Shop is not serving: the till is\x1b[2J empty`)
	gorpc(t, "health", "-o", "json", addr).wants(t, 0, `{"service":"","status":"serving"}`)
	gorpc(t, "health", shop(t)).wants(t, 22)

	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "health", "--watch", addr, "Shop")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var errs strings.Builder
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := make([]byte, 1<<10)
	read := func(want string) {
		t.Helper()
		n, err := out.Read(said)
		if err != nil || !strings.Contains(string(said[:n]), want) {
			t.Fatalf("it says %q, %v; want %q", said[:n], err, want)
		}
	}
	read("not serving")
	services.Set("Shop", health.Serving, "")
	read("Shop is serving")
	if err := s.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	read("the server is shutting down")
	_ = cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, errs.String())
	}
}
