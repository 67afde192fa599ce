package rpctest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

// Not parallel: it counts the sockets of the process.
func TestHostsInMemoryOpenNoSockets(t *testing.T) {
	before := sockets(t)
	client, server := rpctest.Pair(t)
	server.Mock("Echo", rpctest.Methods{"Echo": echo})
	var got []byte
	if err := client.Call(server.ID(), "Echo", "Echo", []byte{1}, &got); err != nil {
		t.Fatal(err)
	}
	if now := sockets(t); len(now) > len(before) {
		t.Errorf("before %v, now %v", before, now)
	}
	rpctest.LoopbackHosts(t, 1)
	if len(sockets(t)) == len(before) {
		t.Error("sockets are not counted")
	}
}

func sockets(t *testing.T) (all []string) {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no open files are listed: %v", err)
	}
	for _, f := range files {
		if target, err := os.Readlink(f); err == nil && strings.HasPrefix(target, "socket:") {
			all = append(all, target)
		}
	}
	slices.Sort(all)
	return all
}
