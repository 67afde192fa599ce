package lasting

import (
	"context"
	"sync"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"
)

type Work struct{ wg sync.WaitGroup }

func use(ctx context.Context) {}

func (w *Work) Waits(ctx context.Context, a int, r *int) error {
	done := make(chan struct{})
	go func() { use(ctx); close(done) }()
	<-done
	return nil
}

func (w *Work) Group(ctx context.Context, a int, r *int) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Add(1)
	go func() { defer wg.Done(); use(ctx) }()
	return nil
}

func (w *Work) Detached(ctx context.Context, a int, r *int) error {
	go use(context.WithoutCancel(ctx))
	free := context.WithoutCancel(ctx)
	go func() { use(free) }()
	go use(context.Background())
	return nil
}

func (w *Work) Leaks(ctx context.Context, a int, r *int) error {
	go use(ctx) // want `context: the method returns while this goroutine uses its ctx, which ends with the call`
	return nil
}

func (w *Work) Derived(ctx context.Context, in <-chan int, out chan<- int) error {
	own, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		use(own) // want `context: the method returns while this goroutine uses its own`
	}()
	return nil
}

func (w *Work) Watches(ctx context.Context, a int, r *int) error {
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-ctx.Done():
			w.stop()
		case <-done:
		}
	}()
	return nil
}

func (w *Work) Collects(ctx context.Context, a int, r *int) error {
	results := make(chan int, 1)
	go func() { use(ctx); results <- 1 }()
	*r = receive(results)
	return nil
}

func (w *Work) Joins(ctx context.Context, a int, r *int) error {
	w.wg.Add(1)
	go func() { defer w.wg.Done(); use(ctx) }()
	w.join()
	return nil
}

func (w *Work) Fresh(ctx context.Context, a int, r *int) error {
	ctx, cancel := context.WithTimeout(context.Background(), 1)
	go func() { defer cancel(); use(ctx) }()
	return nil
}

func (w *Work) Stops(ctx context.Context, a int, r *int) error {
	go func() {
		<-ctx.Done()
		use(ctx) // want `context: the method returns while this goroutine uses its ctx`
	}()
	w.stop() // which waits for nothing
	return nil
}

func (w *Work) stop() {}

func (w *Work) join() { w.wg.Wait() }

func receive(results <-chan int) int { return <-results }

// unregistered is no method of a service.
func unregistered(ctx context.Context, a int, r *int) error {
	go use(ctx)
	return nil
}

var (
	upload = rpc.NewClientStream[int, int]("Typed", "Upload")
	chat   = rpc.NewDuplex[int, int]("Typed", "Chat")
	now    = rpc.NewMethod[int, int]("Typed", "Now")
)

func serve(s *rpc.Server) {
	_ = s.Register(&Work{})
	_ = now.Handle(s, func(ctx context.Context, a int) (int, error) {
		go use(ctx) // want `context: the method returns while this goroutine uses its ctx`
		return 0, nil
	})
}

func closedByDefer(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) error {
	args, replies := make(chan int), make(chan int)
	go func() {
		defer close(args)
		for _, i := range items {
			select {
			case args <- i:
			case <-ctx.Done():
				return
			}
		}
	}()
	return c.Stream(ctx, dest, "Work", "Derived", args, replies)
}

func closedBefore(ctx context.Context, c *rpc.Client, dest peer.ID, bad bool) error {
	args := make(chan int, 1)
	if bad {
		return nil // there is no call yet
	}
	args <- 1
	close(args)
	return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int))
}

func closedInCases(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	args := make(chan int)
	result := make(chan error, 1)
	go func() { result <- c.Stream(ctx, dest, "Work", "Derived", args, make(chan int)) }()
	select {
	case args <- 1:
		close(args)
	case <-ctx.Done():
		close(args)
		return ctx.Err()
	}
	return <-result
}

func notClosedInACase(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	args := make(chan int)
	result := make(chan error, 1)
	go func() { result <- c.Stream(ctx, dest, "Work", "Derived", args, make(chan int)) }() // want `openargs: the arguments channel args is not closed on the way out at line \d+`
	select {
	case args <- 1:
		close(args)
	default:
		return nil
	}
	return <-result
}

func closedElsewhere(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	args := make(chan int)
	go fill(args)
	return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int))
}

func fill(args chan<- int) { close(args) }

func givenOpen(ctx context.Context, c *rpc.Client, dest peer.ID, args chan int) error {
	return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int))
}

func neverClosed(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	args := make(chan int, 1)
	args <- 1
	return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int)) // want `openargs: the arguments channel args is never closed`
}

func notClosedOnReturn(ctx context.Context, c *rpc.Client, dest peer.ID, items []int) error {
	args := make(chan int)
	go func() {
		for _, i := range items {
			select {
			case args <- i:
			case <-ctx.Done():
				return
			}
		}
		close(args)
	}()
	return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int)) // want `openargs: the arguments channel args is not closed on the way out at line \d+`
}

func notClosedAfter(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	args := make(chan int)
	err := c.Stream(ctx, dest, "Work", "Derived", args, make(chan int)) // want `openargs: the arguments channel args is not closed on the way out`
	if err != nil {
		return err
	}
	close(args)
	return nil
}

func streamsClosed(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	up := upload.Open(ctx, c, dest)
	defer up.Close()
	talk := chat.Open(ctx, c, dest)
	for range talk.All(ctx) {
	}
	all := chat.OpenAll(ctx, c, nil)
	for range all.All(ctx) {
	}
	short := upload.Open(ctx, c, dest)
	_, err := short.Finish(ctx)
	keep(upload.Open(ctx, c, dest))
	kept := upload.Open(ctx, c, dest)
	keep(kept)
	return err
}

func endsWithItsContext(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	talk := chat.Open(ctx, c, dest)
	return talk.Send(ctx, 1)
}

func otherContextEnds(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	short, cancel := context.WithCancel(ctx)
	defer cancel()
	talk := chat.Open(ctx, c, dest) // want `openstream: the stream is not closed`
	return talk.Send(short, 1)
}

func keep(*rpc.ClientStreamCall[int, int]) {}

func returned(ctx context.Context, c *rpc.Client, dest peer.ID) *rpc.DuplexCall[int, int] {
	call := chat.Open(ctx, c, dest)
	_ = call.Send(ctx, 1)
	return call
}

func streamsOpen(ctx context.Context, c *rpc.Client, dest peer.ID) error {
	upload.Open(ctx, c, dest)       // want `openstream: the stream is not closed, and holds its call`
	_ = chat.Open(ctx, c, dest)     // want `openstream: the stream is not closed, and holds its call`
	chat.OpenAll(ctx, c, nil)       // want `openstream: the stream is not closed, and holds its call`
	talk := chat.Open(ctx, c, dest) // want `openstream: the stream is not closed, and holds its call`
	_ = talk.Send(ctx, 1)
	up := upload.Open(ctx, c, dest) // want `openstream: the stream is not closed on the way out at line \d+`
	if err := up.Send(ctx, 1); err != nil {
		return err
	}
	_, err := up.Finish(ctx)
	return err
}

// givenOthers does not make the channels, and others may close them.
func givenOthers(ctx context.Context, c *rpc.Client, dest peer.ID, all []chan int) {
	stream := func(args chan int) error {
		return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int))
	}
	for _, args := range all {
		_ = stream(args)
		_ = c.Stream(ctx, dest, "Work", "Derived", args, make(chan int))
	}
	own := func() error {
		args := make(chan int)
		return c.Stream(ctx, dest, "Work", "Derived", args, make(chan int)) // want `openargs: the arguments channel args is never closed`
	}
	_ = own()
}
