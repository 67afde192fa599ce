package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// patience is how long a peer may take to answer a question to all.
const patience = 3 * time.Second

// answer is what one peer said.
type answer[R any] struct {
	peer  peer.ID
	reply R
	err   error
}

// broadcast calls a method on all peers at once, this one among them, and
// waits for all answers.
func broadcast[A, R any](ctx context.Context, client *rpc.Client, peers []peer.ID, method *rpc.Method[A, R], arg A) []answer[R] {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	answers := make([]answer[R], len(peers))
	var wg sync.WaitGroup
	for i, p := range peers {
		wg.Go(func() {
			reply, err := method.Call(ctx, client, p, arg)
			answers[i] = answer[R]{p, reply, err}
		})
	}
	wg.Wait()
	return answers
}

// silent stands for the status of a pin on a peer that gave none.
func silent(pin api.Pin, p peer.ID, err error) api.PinInfo {
	info := api.PinInfo{Cid: pin.Cid, Name: pin.Name, Peer: p, Status: api.Remote}
	if pin.Allocated(p) {
		info.Status, info.Error = api.Unreachable, err.Error()
	}
	return info
}
