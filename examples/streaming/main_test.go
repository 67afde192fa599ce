package main

import (
	"context"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func runFor(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var out strings.Builder
	if err := run(ctx, args, &out); err != nil {
		t.Fatalf("streaming %s: %v", strings.Join(args, " "), err)
	}
	return out.String()
}

// checkSums finds the two checksums and compares them.
func checkSums(t *testing.T, out string) {
	t.Helper()
	sums := make(map[string]string)
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 3 && f[1] == "sha256" {
			sums[f[0]] = f[2]
		}
	}
	if len(sums["sent"]) != 64 || sums["sent"] != sums["received"] {
		t.Fatalf("no two equal checksums in\n%s", out)
	}
}

func TestBothInOneProcess(t *testing.T) {
	out := runFor(t)
	checkSums(t, out)
	if n := strings.Count(out, "%"); n != 8 {
		t.Fatalf("progress was told %d times, not 8:\n%s", n, out)
	}
}

func TestReceiverAndSender(t *testing.T) {
	ctx, interrupt := context.WithCancel(context.Background())
	r, w := io.Pipe()
	served := make(chan error, 1)
	go func() { served <- run(ctx, []string{"-serve"}, w) }()
	buf := make([]byte, 1024)
	n, err := r.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	addr := strings.TrimPrefix(strings.TrimSpace(string(buf[:n])), "listening on ")
	for name, content := range map[string]string{"empty": "", "small": "small", "odd": strings.Repeat("odd", 100_001)} {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		checkSums(t, runFor(t, "-to", addr, "-file", file, "-chunk", "1000"))
	}
	interrupt()
	if err := <-served; err != nil {
		t.Fatal(err)
	}
}

// liar ends early, with a checksum of its own.
type liar struct{}

func (liar) Receive(_ context.Context, chunks <-chan []byte, told chan<- Status) error {
	<-chunks
	told <- Status{1, make([]byte, sha256.Size)}
	return nil
}

func TestWrongChecksumIsNoticed(t *testing.T) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	s := rpc.NewServer(h, protocol)
	defer s.Close()
	if err := s.RegisterName("Files", liar{}); err != nil {
		t.Fatal(err)
	}
	to := h.Addrs()[0].String() + "/p2p/" + h.ID().String()
	if err := run(t.Context(), []string{"-to", to}, io.Discard); err == nil {
		t.Fatal("another checksum is taken")
	}
}

func TestBadUsageIsExplained(t *testing.T) {
	for _, args := range [][]string{{"-chunk", "0"}, {"-serve", "-to", "x"}, {"x"}, {"-to", "nowhere"}, {"-file", "/no/such/file"}} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%v is taken", args)
		}
	}
}
