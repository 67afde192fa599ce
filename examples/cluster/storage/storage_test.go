package storage_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/storage"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper is a peer of which only the storage is real.
type keeper struct {
	id     peer.ID
	server *rpctest.Server
	client *rpc.Client
	store  *storage.Connector
}

// newKeepers returns connected peers, each with a storage.
func newKeepers(t *testing.T, n int, cfg storage.Config) (keepers []*keeper) {
	t.Helper()
	var members []peer.ID
	hosts := rpctest.MemoryHosts(t, n)
	for _, h := range hosts {
		members = append(members, h.ID())
	}
	for _, h := range hosts {
		keepers = append(keepers, newKeeper(t, h, members, cfg))
	}
	return keepers
}

func newKeeper(t *testing.T, h host.Host, members []peer.ID, cfg storage.Config) *keeper {
	t.Helper()
	k := &keeper{id: h.ID(), server: rpctest.NewServer(t, h, api.Protocol)}
	k.client = k.server.Client()
	rpctest.HandleReply(k.server, api.Consensus.Members, members)
	k.open(t, cfg)
	if err := k.store.Register(k.server.Server); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keeper) open(t *testing.T, cfg storage.Config) {
	t.Helper()
	var err error
	if k.store, err = storage.New(k.client, cfg); err != nil {
		t.Fatal(err)
	}
}

// put stores blocks at a peer.
func (k *keeper) put(ctx context.Context, blocks ...api.Block) error {
	call := api.Storage.Put.Open(ctx, k.client, k.id)
	defer call.Close()
	for _, b := range blocks {
		if call.Send(ctx, b) != nil {
			break
		}
	}
	_ = call.CloseSend()
	n := 0
	for _, err := range call.All(ctx) {
		if err != nil {
			return err
		}
		n++
	}
	if n != len(blocks) {
		return errors.New("not all were acknowledged")
	}
	return nil
}

// file is a DAG of two leaves, and what is in it. The root comes last.
func file(t *testing.T, seed byte) (blocks []api.Block, contents []byte) {
	t.Helper()
	format := unixfs.NewFSNode(unixfs.TFile)
	root := new(merkledag.ProtoNode)
	root.SetCidBuilder(merkledag.V1CidPrefix())
	random := rand.NewChaCha8([32]byte{seed})
	for range 2 {
		data := make([]byte, 1000)
		_, _ = random.Read(data)
		leaf := merkledag.NewRawNode(data)
		format.AddBlockSize(uint64(len(data)))
		if err := root.AddNodeLink("", leaf); err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, api.Block{Cid: leaf.Cid(), Data: data})
		contents = append(contents, data...)
	}
	data, err := format.GetBytes()
	if err != nil {
		t.Fatal(err)
	}
	root.SetData(data)
	return append(blocks, api.Block{Cid: root.Cid(), Data: root.RawData()}), contents
}

func root(blocks []api.Block) cid.Cid { return blocks[len(blocks)-1].Cid }

func (k *keeper) free(t *testing.T) uint64 {
	t.Helper()
	free, err := api.Storage.Free.Call(t.Context(), k.client, "", api.Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	return free
}

func (k *keeper) pin(ctx context.Context, root cid.Cid, at ...peer.ID) error {
	_, err := api.Storage.Pin.Call(ctx, k.client, "", api.Pin{Cid: root, Allocations: at})
	return err
}

func (k *keeper) read(t *testing.T, root cid.Cid) []byte {
	t.Helper()
	var got []byte
	for piece, err := range api.Storage.Read.Call(t.Context(), k.client, "", root) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, piece...)
	}
	return got
}

func (k *keeper) pinned(t *testing.T) int {
	t.Helper()
	roots, err := api.Storage.Pinned.Call(t.Context(), k.client, "", api.Nothing{})
	if err != nil {
		t.Fatal(err)
	}
	return len(roots)
}

func TestPinFetchesFromOthers(t *testing.T) {
	t.Parallel()
	keepers := newKeepers(t, 3, storage.Config{})
	blocks, contents := file(t, 1)
	// No peer has all of them.
	for i, b := range blocks {
		if err := keepers[i%2].put(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	third := keepers[2]
	if got := third.read(t, root(blocks)); !bytes.Equal(got, contents) {
		t.Fatal("another file")
	}
	if n := third.pinned(t); n != 0 {
		t.Fatal("to read is not to pin")
	}
	if err := third.pin(t.Context(), root(blocks), keepers[1].id, third.id); err != nil {
		t.Fatal(err)
	}
	if n := third.pinned(t); n != 1 {
		t.Fatalf("%d pins", n)
	}
	asked := len(keepers[0].server.Method("Storage", "Blocks").Calls())
	if got := third.read(t, root(blocks)); !bytes.Equal(got, contents) {
		t.Fatal("another file")
	}
	if len(keepers[0].server.Method("Storage", "Blocks").Calls()) != asked {
		t.Fatal("others are asked for what is here")
	}
}

func TestPinOfWhatNobodyHas(t *testing.T) {
	t.Parallel()
	keepers := newKeepers(t, 2, storage.Config{})
	blocks, _ := file(t, 1)
	if err := keepers[1].put(t.Context(), blocks[1:]...); err != nil { // a leaf is missing
		t.Fatal(err)
	}
	if err := keepers[0].pin(t.Context(), root(blocks)); rpc.CodeOf(err) != codes.NotFound {
		t.Fatal(err)
	}
	if keepers[0].pinned(t) != 0 {
		t.Fatal("it is pinned")
	}
}

func TestPinIsCancelled(t *testing.T) {
	t.Parallel()
	keepers := newKeepers(t, 2, storage.Config{})
	blocks, _ := file(t, 1)
	if err := keepers[1].put(t.Context(), blocks...); err != nil {
		t.Fatal(err)
	}
	asked := keepers[1].server.Method("Storage", "Blocks")
	asked.Block(1)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- keepers[0].pin(ctx, root(blocks)) }()
	asked.Wait(1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	asked.WaitDone(1) // the other peer is told
	if keepers[0].pinned(t) != 0 {
		t.Fatal("it is pinned")
	}
}

func TestPeerThatLiesIsPassedBy(t *testing.T) {
	t.Parallel()
	hosts := rpctest.MemoryHosts(t, 3)
	members := []peer.ID{hosts[0].ID(), hosts[1].ID(), hosts[2].ID()}
	k, honest := newKeeper(t, hosts[0], members, storage.Config{}), newKeeper(t, hosts[2], members, storage.Config{})
	liar := rpctest.NewServer(t, hosts[1], api.Protocol)
	lie := func(ctx context.Context, in *rpc.Receiver[cid.Cid], out *rpc.Sender[api.Block]) error {
		for id, err := range in.All(ctx) {
			if err != nil {
				return err
			}
			if err := out.Send(ctx, api.Block{Cid: id, Data: []byte("a lie")}); err != nil {
				return err
			}
		}
		return nil
	}
	blocks, contents := file(t, 1)
	if err := errors.Join(
		api.Storage.Blocks.Handle(liar.Server, lie),
		honest.put(t.Context(), blocks...),
		k.pin(t.Context(), root(blocks), members[1]),
	); err != nil {
		t.Fatal(err)
	}
	if len(liar.Calls()) == 0 {
		t.Fatal("the liar was not asked")
	}
	if got := k.read(t, root(blocks)); !bytes.Equal(got, contents) {
		t.Fatal("another file")
	}
}

func TestBlocksAreChecked(t *testing.T) {
	t.Parallel()
	keepers := newKeepers(t, 1, storage.Config{})
	blocks, _ := file(t, 1)
	blocks[0].Data = []byte("something else")
	if err := keepers[0].put(t.Context(), blocks...); rpc.CodeOf(err) != codes.DataLoss {
		t.Fatal(err)
	}
	if free := keepers[0].free(t); free != 1<<30 {
		t.Fatalf("%d bytes are free", free)
	}
}

func TestUnpinGivesUpWhatNobodyNeeds(t *testing.T) {
	t.Parallel()
	k := newKeepers(t, 1, storage.Config{Grace: -1})[0]
	one, contents := file(t, 1)
	all := k.free(t)
	if err := k.put(t.Context(), one...); err != nil {
		t.Fatal(err)
	}
	leaf := one[0].Cid // is pinned beside the file that it belongs to
	for _, r := range []cid.Cid{root(one), leaf} {
		if err := k.pin(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := api.Storage.Unpin.Call(t.Context(), k.client, "", root(one)); err != nil {
		t.Fatal(err)
	}
	if got := k.read(t, leaf); !bytes.Equal(got, contents[:1000]) {
		t.Fatal("the leaf is gone")
	}
	if free := k.free(t); free != all-1000 {
		t.Fatalf("%d bytes are free, want %d", free, all-1000)
	}
}

func TestFreshBlocksStay(t *testing.T) {
	t.Parallel()
	k := newKeepers(t, 1, storage.Config{})[0]
	one, _ := file(t, 1)
	two, contents := file(t, 2) // of an upload that is under way
	if err := errors.Join(k.put(t.Context(), one...), k.pin(t.Context(), root(one)), k.put(t.Context(), two...)); err != nil {
		t.Fatal(err)
	}
	if _, err := api.Storage.Unpin.Call(t.Context(), k.client, "", root(one)); err != nil {
		t.Fatal(err)
	}
	if got := k.read(t, root(two)); !bytes.Equal(got, contents) {
		t.Fatal("the blocks are gone")
	}
}

func TestCapacity(t *testing.T) {
	t.Parallel()
	k := newKeepers(t, 1, storage.Config{Capacity: 2500, Grace: -1})[0]
	one, _ := file(t, 1)
	if err := errors.Join(k.put(t.Context(), one...), k.pin(t.Context(), root(one))); err != nil {
		t.Fatal(err)
	}
	two, _ := file(t, 2)
	if err := k.put(t.Context(), two...); rpc.CodeOf(err) != codes.ResourceExhausted {
		t.Fatal(err)
	}
	if _, err := api.Storage.Unpin.Call(t.Context(), k.client, "", root(one)); err != nil {
		t.Fatal(err)
	}
	if err := k.put(t.Context(), two...); err != nil {
		t.Fatal(err)
	}
}

func TestOnDisk(t *testing.T) {
	t.Parallel()
	cfg := storage.Config{Dir: t.TempDir()}
	k := newKeepers(t, 1, cfg)[0]
	blocks, contents := file(t, 1)
	if err := errors.Join(k.put(t.Context(), blocks...), k.pin(t.Context(), root(blocks)), k.store.Close()); err != nil {
		t.Fatal(err)
	}

	client, server := rpctest.Local(t)
	again, err := storage.New(client, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Close() })
	if err := again.Register(server.Server); err != nil {
		t.Fatal(err)
	}
	k = &keeper{client: client}
	if got := k.read(t, root(blocks)); !bytes.Equal(got, contents) || k.pinned(t) != 1 {
		t.Fatal("it is not there any more")
	}
	if free := k.free(t); free >= 1<<30-2000 {
		t.Fatalf("%d bytes are free", free)
	}
}

// What nobody has is not found, and not "unavailable".
func TestReadOfWhatNobodyHas(t *testing.T) {
	t.Parallel()
	keepers := newKeepers(t, 3, storage.Config{})
	blocks, _ := file(t, 1)
	for _, err := range api.Storage.Read.Call(t.Context(), keepers[0].client, "", root(blocks)) {
		if rpc.CodeOf(err) != codes.NotFound {
			t.Errorf("got %v", err)
		}
	}
	_ = keepers[2].server.Close()
	for _, err := range api.Storage.Read.Call(t.Context(), keepers[0].client, "", root(blocks)) {
		if rpc.CodeOf(err) != codes.Unavailable {
			t.Errorf("when one cannot be asked: %v", err)
		}
	}
}

// A Put that is given up leaves nothing behind, but what somebody else has put, too.
func TestPutThatIsGivenUp(t *testing.T) {
	t.Parallel()
	k := newKeepers(t, 1, storage.Config{})[0]
	before := k.free(t)
	blocks, _ := file(t, 1)
	others, _ := file(t, 2)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	call := api.Storage.Put.Open(ctx, k.client, k.id)
	for _, b := range append(blocks, others...) {
		if err := call.Send(ctx, b); err != nil {
			t.Fatal(err)
		}
		if _, err := call.Receive(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.put(t.Context(), others...); err != nil {
		t.Fatal(err)
	}
	stored := k.free(t)
	cancel()
	_ = call.Close()
	k.server.Method("Storage", "Put").WaitDone(2)
	size := uint64(0)
	for _, b := range others {
		size += uint64(len(b.Data))
	}
	if after := k.free(t); after != before-size || after == stored {
		t.Errorf("%d bytes are free, then %d, then %d", before, stored, after)
	}
}
