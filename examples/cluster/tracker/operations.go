package tracker

import (
	"context"
	"errors"
	"sync"

	"github.com/ipfs/go-cid"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// atOnce is how many DAGs are fetched at the same time.
const atOnce = 8

// operations are what a tracker has under way: for each DAG one at a time, and
// in the order in which they were begun.
type operations struct {
	client *rpc.Client
	ended  func(*operation, error) // of the last that was begun for a DAG; under mu

	ctx   context.Context
	stop  context.CancelFunc
	slots chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex
	current map[cid.Cid]*operation
}

// operation is a pin or an unpin that is under way.
type operation struct {
	pin    api.Pin
	unpin  bool
	cancel context.CancelFunc
	over   chan struct{} // closed at the end
}

func newOperations(client *rpc.Client, ended func(*operation, error)) *operations {
	o := &operations{
		client: client, ended: ended,
		slots: make(chan struct{}, atOnce), current: make(map[cid.Cid]*operation),
	}
	o.ctx, o.stop = context.WithCancel(context.Background())
	return o
}

// begin starts an operation, unless one that does the same is under way. An
// unpin cancels the pin before it; a pin waits for the unpin before it. It is
// called under mu.
func (o *operations) begin(pin api.Pin, unpin bool) {
	before := o.current[pin.Cid]
	if o.ctx.Err() != nil || before != nil && before.unpin == unpin {
		return
	}
	if before != nil && unpin {
		before.cancel()
	}
	op := &operation{pin: pin, unpin: unpin, over: make(chan struct{})}
	ctx, cancel := context.WithCancel(o.ctx)
	op.cancel = cancel
	o.current[pin.Cid] = op
	o.wg.Go(func() {
		defer cancel()
		err := o.run(ctx, op, before)
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.current[pin.Cid] == op {
			delete(o.current, pin.Cid)
			o.ended(op, err)
		}
		close(op.over)
	})
}

// run does it: all of the work is the storage's.
func (o *operations) run(ctx context.Context, op, before *operation) error {
	if before != nil {
		<-before.over
	}
	select {
	case o.slots <- struct{}{}:
		defer func() { <-o.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	var err error
	if op.unpin {
		_, err = api.Storage.Unpin.Call(ctx, o.client, "", op.pin.Cid)
	} else {
		_, err = api.Storage.Pin.Call(ctx, o.client, "", op.pin)
	}
	return err
}

// status is that of an operation under way.
func (op *operation) status() api.Status {
	if op.unpin {
		return api.Unpinning
	}
	return api.Pinning
}

// recover compares what is wanted with what is stored.
func (o *operations) recover(ctx context.Context, wanted []api.Pin) error {
	roots, err := api.Storage.Pinned.Call(ctx, o.client, "", api.Nothing{})
	if err != nil {
		return err
	}
	stored := make(map[cid.Cid]bool, len(roots))
	for _, root := range roots {
		stored[root] = true
	}
	mine := make(map[cid.Cid]bool)
	for _, pin := range wanted {
		if !pin.Allocated(o.client.ID()) {
			continue
		}
		mine[pin.Cid] = true
		if !stored[pin.Cid] {
			o.mu.Lock()
			o.begin(pin, false)
			o.mu.Unlock()
		}
	}
	var errs []error
	for root := range stored {
		if !mine[root] {
			errs = append(errs, o.giveUp(ctx, root))
		}
	}
	return errors.Join(errs...)
}

// giveUp unpins what is stored and seems unwanted. This peer may have been
// away, and not know yet what is wanted: the leader does.
func (o *operations) giveUp(ctx context.Context, root cid.Cid) error {
	pins, err := api.Consensus.Lookup.Call(ctx, o.client, "", root)
	if err != nil {
		return err
	}
	for _, pin := range pins {
		if pin.Allocated(o.client.ID()) {
			return nil
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.current[root] == nil { // or else it has become wanted meanwhile
		o.begin(api.Pin{Cid: root}, true)
	}
	return nil
}

// Close ends all operations and waits for them.
func (o *operations) Close() error {
	o.mu.Lock()
	o.stop()
	o.mu.Unlock()
	o.wg.Wait()
	return nil
}
