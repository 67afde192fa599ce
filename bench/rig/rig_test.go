package rig_test

import (
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// served is a Serve that is asked as a process is.
type served struct {
	t        *testing.T
	requests *json.Encoder
	replies  *json.Decoder
}

func serve(t *testing.T) *served {
	in, ask := io.Pipe()
	answers, out := io.Pipe()
	done := make(chan error)
	go func() { done <- rig.Serve(t.Context(), in, out) }()
	t.Cleanup(func() {
		_ = ask.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return &served{t, json.NewEncoder(ask), json.NewDecoder(answers)}
}

func (s *served) ask(q rig.Request) (r rig.Reply) {
	s.t.Helper()
	if err := s.requests.Encode(q); err != nil {
		s.t.Fatal(err)
	}
	if err := s.replies.Decode(&r); err != nil {
		s.t.Fatal(err)
	}
	return r
}

// The figures mean nothing; that each cell does what it says does.
func TestEveryCellIsMeasured(t *testing.T) {
	s := serve(t)
	cells := s.ask(rig.Request{}).Cells
	for _, want := range []string{
		"local, pointer to a struct, typed", "local, 64 B, by name, cancellable", "local, 64 B, typed, with a deadline, heeding",
		"TCP, unary, session, 64 B, callers: 1", "QUIC, unary, wire, 256 KiB, callers: 64",
		"TCP, stream, channels, items of 64 B", "QUIC, stream, typed, items of 64 KiB", "TCP, stream, typed, structs",
		"fan-out to 10, MultiCall, wire", "fan-out to 100, typed, session",
	} {
		if !slices.Contains(cells, want) {
			t.Errorf("there is no cell %q", want)
		}
	}
	seen := make(map[string]bool)
	for _, name := range cells {
		if seen[name] {
			t.Errorf("two cells are called %q", name)
		}
		seen[name] = true
		if r := s.ask(rig.Request{Cell: name, Time: time.Microsecond}); r.Err != "" || r.N < 1 {
			t.Errorf("%s: not prepared: %+v", name, r)
			continue
		}
		if r := s.ask(rig.Request{Cell: name, N: 2}); r.Err != "" || r.Result.NS <= 0 || r.Result.Allocs <= 0 {
			t.Errorf("%s: not measured: %+v", name, r)
		}
	}
}

func TestACellThatIsNoneIsAnError(t *testing.T) {
	s := serve(t)
	for _, q := range []rig.Request{{Cell: "no such"}, {Cell: "no such", N: 1}} {
		if r := s.ask(q); !strings.Contains(r.Err, `no cell "no such"`) {
			t.Errorf("%+v: %+v", q, r)
		}
	}
	if r := s.ask(rig.Request{Cell: "local, 64 B, typed", N: 1}); r.Err != "" {
		t.Errorf("after an error: %+v", r)
	}
}
