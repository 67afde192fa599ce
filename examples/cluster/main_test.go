package main

import (
	"bytes"
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"go.uber.org/goleak"
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
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
}

func TestStory(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), nil, &out); err != nil {
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
		if err := run(t.Context(), args, &out); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}
