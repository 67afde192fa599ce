package rpctest_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type orderV1 struct {
	ID       int
	Quantity int
}

type orderMore struct {
	ID       int
	Quantity int
	Note     string
}

type orderOther struct {
	ID       int
	Quantity string
}

// A snapshot passes what does not break peers of the version before, and says in words
// what does.
func TestSnapshot(t *testing.T) {
	serving := func(t *testing.T, register func(*rpc.Server) error) *rpc.Server {
		_, s := rpctest.Local(t)
		if err := register(s.Server); err != nil {
			t.Fatal(err)
		}
		return s.Server
	}
	before := serving(t, takes[orderV1])
	file := filepath.Join(t.TempDir(), "testdata", "rpc.json")
	snapshot := func(s *rpc.Server) *fakeT {
		return runFake(func(t testing.TB) { rpctest.Snapshot(t, s, file) })
	}
	t.Setenv("RPCTEST_UPDATE", "")
	if r := snapshot(before); !r.failed || !strings.Contains(told(r), "RPCTEST_UPDATE=1 go test -run '^fake$'") {
		t.Errorf("without a file: %s", told(r))
	}
	odd := runFake(func(t testing.TB) { rpctest.Snapshot(subtest{t}, before, file) })
	if !strings.Contains(told(odd), `go test -run '^fake$/^a\+b$'`) {
		t.Errorf("of a test whose name is no regular expression: %s", told(odd))
	}
	t.Setenv("RPCTEST_UPDATE", "1")
	if r := snapshot(before); r.failed {
		t.Errorf("writing: %s", told(r))
	}
	t.Setenv("RPCTEST_UPDATE", "")
	if r := snapshot(before); r.failed || told(r) != "" {
		t.Errorf("of the same: %s", told(r))
	}
	if r := snapshot(serving(t, takes[orderMore])); r.failed || !strings.Contains(told(r), "Note") || !strings.Contains(told(r), "RPCTEST_UPDATE=1") {
		t.Errorf("of a compatible change: %s", told(r))
	}
	if r := snapshot(serving(t, takes[orderOther])); !r.failed || !strings.Contains(told(r), "breaking: Shop.Order: argument.Quantity: the old version sends int (a number), and the new version takes string; ") {
		t.Errorf("of a breaking change: %s", told(r))
	}
	if err := os.WriteFile(file, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if r := snapshot(before); !r.failed || !strings.Contains(told(r), "no description") {
		t.Errorf("of a file that is none: %s", told(r))
	}
}

// subtest is one of the test that it wraps.
type subtest struct{ testing.TB }

func (s subtest) Name() string { return s.TB.Name() + "/a+b" }

func told(t *fakeT) string { return strings.Join(append(t.errors, t.logs...), "\n") }

func takes[A any](s *rpc.Server) error {
	return rpc.NewMethod[A, bool]("Shop", "Order").Handle(s, func(context.Context, A) (bool, error) { return true, nil })
}
