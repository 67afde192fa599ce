package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
)

func TestWriteOnAnyPeer(t *testing.T) {
	t.Parallel()
	members := newCluster(t, 5, nil)
	var roots []cid.Cid
	for i, m := range members {
		pin := add(t, m, "", 3, text("file %d", i))
		roots = append(roots, decode(t, pin.Cid))
		waitPinned(t, m, pin.Cid, 3)
	}
	waitPins(t, members, roots)
	if err := members[0].rest.Unpin(testContext(t), roots[1].String()); err != nil {
		t.Fatal(err)
	}
	waitPins(t, members, slices.Delete(roots, 1, 2))
}

func TestLeaderKilledDuringWrites(t *testing.T) { // not beside others: it takes all there is
	members := newCluster(t, 5, nil)
	leader, followers := waitLeader(t, members)

	ctx := testContext(t)
	var mu sync.Mutex
	acknowledged := make(map[cid.Cid]string)
	acks := make(chan struct{}, 1000)
	enough := make(chan struct{})
	var writers sync.WaitGroup
	for w, m := range followers {
		writers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-enough:
					return
				default:
				}
				content := fmt.Sprintf("file %d of writer %d", i, w)
				// Who is dead is soon known, and until then adding may fail.
				pin, err := m.rest.Add(ctx, "", 2, text("%s", content), nil)
				if err != nil {
					continue
				}
				mu.Lock()
				acknowledged[decode(t, pin.Cid)] = content
				mu.Unlock()
				acks <- struct{}{}
			}
		})
	}
	for range 20 {
		<-acks
	}
	leader.kill()
	for range 40 {
		select {
		case <-acks:
		case <-ctx.Done():
			t.Fatal("no write succeeds after the leader was killed")
		}
	}
	close(enough)
	writers.Wait()

	roots := slices.Collect(maps.Keys(acknowledged))
	for _, m := range followers {
		waitPins(t, []*member{m}, roots, including)
	}
	for root, content := range acknowledged {
		sameBytes(t, read(t, followers[0], root.String()), []byte(content))
	}
}

func TestUnpinDuringPin(t *testing.T) {
	t.Parallel()
	// Nobody gets blocks, until they give up.
	asked, gaveUp := make(chan struct{}, 100), make(chan struct{}, 100)
	var holding sync.Map
	hold := func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			if _, on := holding.Load("on"); on && call.Service == "Storage" && call.Method == "Blocks" {
				asked <- struct{}{}
				<-ctx.Done()
				gaveUp <- struct{}{}
				return ctx.Err()
			}
			return next(ctx, call)
		}
	}
	members := newCluster(t, 5, func(_ int, cfg *node.Config) { cfg.Interceptors = []rpc.Interceptor{hold} })
	file := randomFile(7, 1<<20)
	pin := add(t, members[0], "slow", 1, bytes.NewReader(file))
	waitPinned(t, members[0], pin.Cid, 1)

	holding.Store("on", true)
	ctx := testContext(t)
	root := decode(t, pin.Cid)
	if _, err := api.Cluster.Pin.Call(ctx, members[1].Client(), "", api.Pin{Cid: root, Replicas: 5}); err != nil {
		t.Fatal(err)
	}
	for range 4 { // of both kinds
		<-asked
	}
	if err := members[2].rest.Unpin(ctx, pin.Cid); err != nil {
		t.Fatal(err)
	}
	for range 4 {
		<-gaveUp
	}
	for _, m := range members {
		until(t, func(ctx context.Context) error {
			info, err := api.PinTracker.Status.Call(ctx, m.Client(), "", root)
			if err == nil && info.Status != api.Unpinned {
				err = errors.New(string(info.Status))
			}
			roots, err2 := api.Storage.Pinned.Call(ctx, m.Client(), "", api.Nothing{})
			if err2 == nil && len(roots) > 0 {
				err2 = errors.New("still stored")
			}
			return errors.Join(err, err2)
		})
	}
}

func TestBigFileFromAnotherPeer(t *testing.T) { // not beside others: it takes all there is
	members := newCluster(t, 5, nil)
	file := randomFile(64, 64<<20)
	pin := add(t, members[0], "big", 3, bytes.NewReader(file))
	keepers := waitPinned(t, members[0], pin.Cid, 3)
	for _, m := range members {
		if !slices.Contains(keepers, m.ID().String()) {
			sameBytes(t, read(t, m, pin.Cid), file)
			return
		}
	}
	t.Fatal("everybody keeps it")
}
