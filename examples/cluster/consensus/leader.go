package consensus

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/raft"
	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Commit returns when the operation is agreed upon. Only the leader can see to
// that: on any other peer, Commit has it do so. If the leader dies or changes
// meanwhile, it is tried again with the next; the operation's ID makes it
// happen once. It ends with an error when ctx does, or is known to be in vain.
func (c *Consensus) Commit(ctx context.Context, op api.Op) (api.Nothing, error) {
	if op.ID == "" {
		op.ID = rand.Text()
	}
	err := c.onLeader(ctx, func(ctx context.Context, leader peer.ID) error {
		if leader == c.client.ID() {
			_, err := c.Apply(ctx, op)
			return err
		}
		_, err := api.Consensus.Apply.Call(ctx, c.client, leader, op)
		return err
	})
	return api.Nothing{}, err
}

// Lookup returns the pin, if there is one, as the leader knows it.
func (c *Consensus) Lookup(ctx context.Context, root cid.Cid) ([]api.Pin, error) {
	sender, err := rpc.GetRequestSender(ctx)
	if err != nil {
		return nil, err
	}
	if sender != c.client.ID() { // who asks takes this peer for the leader
		return c.lookup(root)
	}
	var pins []api.Pin
	err = c.onLeader(ctx, func(ctx context.Context, leader peer.ID) (err error) {
		if leader == c.client.ID() {
			pins, err = c.lookup(root)
		} else {
			pins, err = api.Consensus.Lookup.Call(ctx, c.client, leader, root)
		}
		return err
	})
	return pins, err
}

// lookup is the leader's: it first makes sure that it leads, and that all is
// applied that was agreed upon.
func (c *Consensus) lookup(root cid.Cid) ([]api.Pin, error) {
	if err := c.raft.VerifyLeader().Error(); err != nil {
		return nil, leaderError(err)
	}
	if err := c.raft.Barrier(c.patience()).Error(); err != nil {
		return nil, leaderError(err)
	}
	return c.state.get(root), nil
}

// patience is how long one attempt may take; some elections have room in it.
func (c *Consensus) patience() time.Duration { return 5 * c.wait }

// onLeader has f try with the leader, and again while another leader, or the
// same a little later, may do better.
func (c *Consensus) onLeader(ctx context.Context, f func(context.Context, peer.ID) error) error {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 6*c.patience())
		defer cancel()
	}
	for {
		err := c.attempt(ctx, f)
		if !passing(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return rpc.Errorf(rpc.CodeOf(ctx.Err()), "no leader could do it: %v; the last: %v", ctx.Err(), err)
		case <-time.After(c.wait / 10):
		}
	}
}

func (c *Consensus) attempt(ctx context.Context, f func(context.Context, peer.ID) error) error {
	ctx, cancel := context.WithTimeout(ctx, c.patience())
	defer cancel()
	leader, err := c.Leader(ctx, api.Nothing{})
	if err != nil {
		return err
	}
	return f(ctx, leader)
}

// passing reports whether an error may be gone with the next attempt.
func passing(err error) bool {
	switch rpc.CodeOf(err) {
	case codes.Unavailable, codes.Aborted, codes.DeadlineExceeded, codes.Canceled:
		return true
	}
	return false
}

// Apply is Commit on the leader; any other peer refuses it.
func (c *Consensus) Apply(_ context.Context, op api.Op) (api.Nothing, error) {
	var done raft.Future
	switch server := op.Peer.String(); op.Kind {
	case api.OpPin, api.OpUnpin, api.OpMove:
		if op.Pin == nil || !op.Pin.Cid.Defined() {
			return api.Nothing{}, rpc.Errorf(codes.InvalidArgument, "the operation names no CID")
		}
		data, err := json.Marshal(op)
		if err != nil {
			return api.Nothing{}, err
		}
		done = c.raft.Apply(data, c.patience())
	case api.OpAddPeer:
		done = c.raft.AddVoter(raft.ServerID(server), raft.ServerAddress(server), 0, c.patience())
	case api.OpRemovePeer:
		done = c.raft.RemoveServer(raft.ServerID(server), 0, c.patience())
	default:
		return api.Nothing{}, rpc.Errorf(codes.InvalidArgument, "there is no operation %q", op.Kind)
	}
	return api.Nothing{}, leaderError(outcome(done))
}

// outcome waits for raft, and for what the state made of the operation.
func outcome(done raft.Future) error {
	if err := done.Error(); err != nil {
		return err
	}
	if applied, ok := done.(raft.ApplyFuture); ok {
		err, _ := applied.Response().(error)
		return err
	}
	return nil
}

// leaderError gives raft's errors codes, which travel.
func leaderError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, raft.ErrNotLeader), errors.Is(err, raft.ErrRaftShutdown),
		errors.Is(err, raft.ErrLeadershipTransferInProgress), errors.Is(err, raft.ErrEnqueueTimeout):
		return rpc.Errorf(codes.Unavailable, "raft: %v", err)
	case errors.Is(err, raft.ErrLeadershipLost), errors.Is(err, raft.ErrAbortedByRestore):
		return rpc.Errorf(codes.Aborted, "raft: %v", err) // it may have happened
	}
	return err
}
