package main

import (
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStory(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `alice writes to alice: note 1
bob writes to alice: note 2
bob writes to bob: note 1
alice writes to bob: refused (PermissionDenied)
bob reads from alice: "buy bread" by alice
bob reads from alice: "buy butter" by bob
bob reads from bob: "sleep" by bob
`
	if out.String() != want {
		t.Fatalf("the story is\n%s\nnot\n%s", out.String(), want)
	}
}

func TestNotesOfStrangersAreRefused(t *testing.T) {
	names := new(sync.Map)
	alice, err := newNode("alice", names)
	if err != nil {
		t.Fatal(err)
	}
	defer alice.close()
	names.Clear()
	var n int
	err = alice.client.CallContext(t.Context(), "", "Notes", "Write", "hello", &n)
	if rpc.CodeOf(err) != codes.NotFound {
		t.Fatal(err)
	}
}
