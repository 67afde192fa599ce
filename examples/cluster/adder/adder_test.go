package adder_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/adder"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is the storage of another peer.
type store struct {
	server *rpctest.Server
	mu     sync.Mutex
	blocks map[cid.Cid][]byte
	full   int // after so many blocks; 0 is never
}

var errFull = &rpc.Error{Code: codes.ResourceExhausted, Message: "the disk is full"}

func (s *store) put(ctx context.Context, in *rpc.Receiver[api.Block], out *rpc.Sender[api.Stored]) error {
	for b, err := range in.All(ctx) {
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.blocks[b.Cid] = b.Data
		full := s.full > 0 && len(s.blocks) >= s.full
		s.mu.Unlock()
		if full {
			return errFull
		}
		if err := out.Send(ctx, api.Stored{Bytes: len(b.Data)}); err != nil {
			return err
		}
	}
	return nil
}

// patience is for peers that hang: others are not that slow.
const patience = 3 * time.Second

// setup is an adder, for which all else is played, and two other peers.
func setup(t *testing.T) (client *rpc.Client, own *rpctest.Server, stores []*store) {
	t.Helper()
	hosts := rpctest.MemoryHosts(t, 3)
	var keepers []peer.ID
	for _, h := range hosts[1:] {
		s := &store{server: rpctest.NewServer(t, h, api.Protocol), blocks: make(map[cid.Cid][]byte)}
		if err := api.Storage.Put.Handle(s.server.Server, s.put); err != nil {
			t.Fatal(err)
		}
		stores, keepers = append(stores, s), append(keepers, h.ID())
	}
	own = rpctest.NewServer(t, hosts[0], api.Protocol)
	rpctest.HandleReply(own, api.Allocator.Allocate, keepers)
	rpctest.HandleReply(own, api.Consensus.Commit, api.Nothing{})
	client = own.Client()
	if err := adder.New(client, adder.Config{Replicas: 2, Patience: patience}).Register(own.Server); err != nil {
		t.Fatal(err)
	}
	return client, own, stores
}

// add uploads a file in pieces.
func add(ctx context.Context, client *rpc.Client, file []byte) (last api.Added, err error) {
	call := api.Adder.Add.Open(ctx, client, "")
	defer call.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer call.CloseSend()
		for r, piece := bytes.NewReader(file), make([]byte, 100_000); ; {
			n, err := r.Read(piece)
			if err == io.EOF || call.Send(ctx, api.Upload{Name: "file", Data: bytes.Clone(piece[:n])}) != nil {
				return
			}
		}
	}()
	defer func() { <-sent }()
	for added, err := range call.All(ctx) {
		if err != nil {
			return last, err
		}
		last = added
	}
	return last, nil
}

func randomFile(size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	return data
}

func TestAdd(t *testing.T) {
	t.Parallel()
	client, own, stores := setup(t)
	file := randomFile(1_000_000) // 4 leaves and a root
	last, err := add(t.Context(), client, file)
	if err != nil {
		t.Fatal(err)
	}
	if last.Bytes != 1_000_000 || last.Blocks != 5 || last.Stored != 10 || last.Pin == nil || last.Pin.Name != "file" {
		t.Fatalf("%+v", last)
	}
	op := own.Method("Consensus", "Commit").Calls()[0].Args.(api.Op)
	if op.Kind != api.OpPin || op.Pin.Cid != last.Pin.Cid || len(op.Pin.Allocations) != 2 {
		t.Fatalf("%+v", op)
	}
	for _, s := range stores {
		if len(s.blocks) != 5 || s.blocks[op.Pin.Cid] == nil {
			t.Errorf("%d blocks", len(s.blocks))
		}
	}
}

func TestAddNothing(t *testing.T) {
	t.Parallel()
	client, _, stores := setup(t)
	last, err := add(t.Context(), client, nil)
	if err != nil || last.Pin == nil || len(stores[0].blocks) != 1 {
		t.Fatalf("%+v, %v", last, err)
	}
}

// What not all peers have stored is not agreed upon.
func TestAddWithoutRoom(t *testing.T) {
	t.Parallel()
	client, own, stores := setup(t)
	stores[1].full = 2
	_, err := add(t.Context(), client, randomFile(10_000_000))
	if rpc.CodeOf(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	if n := len(own.Method("Consensus", "Commit").Calls()); n != 0 {
		t.Fatal("it was agreed upon")
	}
}

func TestAddWithoutAgreement(t *testing.T) {
	t.Parallel()
	client, own, _ := setup(t)
	own.Method("Consensus", "Commit").Fail(1, errors.New("no leader"))
	last, err := add(t.Context(), client, randomFile(1000))
	if err == nil || last.Pin != nil {
		t.Fatalf("%+v, %v", last, err)
	}
}

func TestAddIsCancelled(t *testing.T) {
	t.Parallel()
	client, own, stores := setup(t)
	stores[0].server.Method("Storage", "Put").Block(1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := add(ctx, client, randomFile(10_000_000))
		done <- err
	}()
	for _, s := range stores {
		s.server.Method("Storage", "Put").Wait(1)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	for _, s := range stores { // they are told
		s.server.Method("Storage", "Put").WaitDone(1)
	}
	if n := len(own.Method("Consensus", "Commit").Calls()); n != 0 {
		t.Fatal("it was agreed upon")
	}
}

// A peer that takes a small file and never says that it has stored it fails the upload, and
// the others give up what they have stored.
func TestAddWhereAPeerHangs(t *testing.T) {
	t.Parallel()
	client, own, stores := setup(t)
	stores[1].server.Method("Storage", "Put").Block(1)
	_, err := add(t.Context(), client, randomFile(1000))
	if rpc.CodeOf(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
	if n := len(own.Method("Consensus", "Commit").Calls()); n != 0 {
		t.Error("it was agreed upon")
	}
	put := stores[0].server.Method("Storage", "Put")
	put.WaitDone(1)
	if put.Calls()[0].Err == nil {
		t.Error("the other has ended well, and keeps it")
	}
}
