package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
)

// asProgram in the environment makes the test binary the program itself: what
// is killed must be a process.
const asProgram = "CLUSTER_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "" {
		goleak.VerifyTestMain(m)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(exitCode(err))
	}
}

func TestStory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	t.Cleanup(func() {
		if n := codec.Fallbacks(); n > 0 {
			t.Errorf("%d values went to the codec library: a plan encodes all that the peers say", n)
		}
	})
	if err := run(t.Context(), nil, &out, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{
		"is elected the leader\n", "report.pdf is pinned on ", ", the leader, is killed",
		"is elected the leader, and the cluster goes on", "letter.txt is pinned on ",
		"reads it whole from the others", ": peers ls\n", "does not answer", ": status\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the story lacks %q:\n%s", want, &out)
		}
	}
	// Both lists say the same of who was killed, the second of each of two pins.
	if n := strings.Count(out.String(), noAnswer); n != 3 {
		t.Errorf("the killed leader does not answer %d times, want 3:\n%s", n, &out)
	}
}

// Who cannot join is told so, and not how others join.
func TestJoiningWithAWrongSecret(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	var runs sync.WaitGroup
	defer runs.Wait()
	defer stop()
	start := func(args ...string) (out, trouble *bufio.Scanner) {
		outReader, outWriter := io.Pipe()
		troubleReader, troubleWriter := io.Pipe()
		context.AfterFunc(ctx, func() { _, _ = outReader.Close(), troubleReader.Close() })
		runs.Go(func() {
			err := run(ctx, args, outWriter, troubleWriter)
			_, _ = outWriter.CloseWithError(err), troubleWriter.CloseWithError(err)
		})
		return bufio.NewScanner(outReader), bufio.NewScanner(troubleReader)
	}
	find := func(lines *bufio.Scanner, want string) (line string) {
		t.Helper()
		for lines.Scan() {
			if line = lines.Text(); strings.Contains(line, want) {
				return line
			}
		}
		t.Fatalf("nothing says %q: %v", want, lines.Err())
		return ""
	}
	founder, _ := start("-name", "anna")
	address := says.FindStringSubmatch(find(founder, "To join me"))[3]
	out, trouble := start("-name", "bert", "-secret", node.NewSecret(), "-bootstrap", address)
	find(out, "API and web page")
	more := make(chan bool)
	go func() { more <- out.Scan() }()
	find(trouble, "not a member yet: ")
	find(trouble, "is it the right -secret?")
	stop()
	if <-more {
		t.Fatalf("it goes on: %s", out.Text())
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"needs the cluster's -secret": {"-bootstrap", "/ip4/127.0.0.1/tcp/1/p2p/12D3KooWBNzb3nDeaNEkyqoGMg2Ege317dumXVdx7DKkoxRNHXK2"},
		"-bootstrap: ":                {"-bootstrap", "nowhere"},
		"32 bytes":                    {"-secret", "short"},
		"-trusted: ":                  {"-trusted", "nobody"},
		"no such pin tracker":         {"-tracker", "bogus"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != 1 {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
	for want, args := range map[string][]string{
		`"helpme"`: {"helpme"},
		`"data"`:   {"-name", "anna", "data"},
		"-bogus":   {"-bogus"},

		"-replicas 0":      {"-replicas", "0"},
		"-replicas -1":     {"-replicas", "-1"},
		"-remove-after -1": {"-remove-after", "-1s"},
		"-capacity 0":      {"-capacity", "0"},
	} {
		var out bytes.Buffer
		if err := run(t.Context(), args, &out, &out); err == nil || !strings.Contains(err.Error(), want) || exitCode(err) != 2 {
			t.Errorf("%v: %v, want %q and 2", args, err, want)
		} else if args[0][0] != '-' && !strings.Contains(err.Error(), "-h") {
			t.Errorf("%v: %v, want -h named", args, err)
		}
	}
}

// A secret that is mistyped later does not take the place of the one that is kept.
func TestSecretThatIsKept(t *testing.T) {
	t.Parallel()
	dir, kept := t.TempDir(), node.NewSecret()
	file := filepath.Join(dir, "secret")
	if err := os.WriteFile(file, []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := run(t.Context(), []string{"-data", dir, "-secret", node.NewSecret()}, &out, &out)
	if err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != kept {
		t.Errorf("the secret is another now: %v", err)
	}
}

// Two processes cannot listen on one port.
func TestPortThatIsTaken(t *testing.T) {
	t.Parallel()
	first, err := node.NewHost("/ip4/127.0.0.1/tcp/0", "", "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-listen", first.Addrs()[0].String()}, &out, &out); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("got %v", err)
	}
}
