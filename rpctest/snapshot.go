package rpctest

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// updateVariable is the environment variable with which Snapshot writes its file.
const updateVariable = "RPCTEST_UPDATE"

// Snapshot compares what a server serves with what it did when file was written, and
// fails the test if a change breaks peers of that version: [describe.Compare] has the
// rules, and docs/evolving.md says how types may change. Other changes are logged. It
// writes file if the environment variable RPCTEST_UPDATE is set. All methods are
// compared, whoever may call them; the server needs no [rpc.WithDescriptions].
func Snapshot(t testing.TB, s *rpc.Server, file string) {
	t.Helper()
	now := describe.Server(s)
	written, err := os.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("rpctest: Snapshot: %v", err)
	}
	there, update := err == nil, os.Getenv(updateVariable) != ""
	howTo := updateVariable + "=1 go test -run '^" + strings.ReplaceAll(regexp.QuoteMeta(t.Name()), "/", "$/^") + "$' writes " + file
	var changes describe.Changes
	if there {
		before, err := describe.Read(written)
		if err == nil {
			changes, err = describe.Compare(before, now)
		}
		if err != nil && !update {
			t.Fatalf("rpctest: Snapshot: %s: %v; %s anew", file, err, howTo)
		}
	}
	if update {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, now.JSON(), 0o644)); err != nil {
			t.Fatalf("rpctest: Snapshot: %v", err)
		}
		t.Logf("rpctest: %s is written\n%s", file, changes)
		return
	}
	switch broken := changes.Breaking(); {
	case !there:
		t.Errorf("rpctest: there is no %s to compare the server with: %s", file, howTo)
	case len(broken) > 0:
		t.Errorf("rpctest: peers of the version that wrote %s can no longer call this server:\n%s%s, once there are no such peers", file, broken, howTo)
	case !bytes.Equal(written, now.JSON()):
		t.Logf("rpctest: the server has changed since %s was written, and peers of that version can call it:\n%s%s", file, changes, howTo)
	}
}
