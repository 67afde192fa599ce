package faults_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// planted is a bug, of which there is none in TestFaults.
type planted struct {
	ofClient, ofServer func(w *world, next rpc.Handler) rpc.Handler
	beforeEnd          func(w *world)
	patience           time.Duration
}

func (b planted) client(w *world) rpc.Interceptor { return interceptor(w, b.ofClient) }

func (b planted) server(w *world) rpc.Interceptor { return interceptor(w, b.ofServer) }

func interceptor(w *world, bug func(*world, rpc.Handler) rpc.Handler) rpc.Interceptor {
	return func(next rpc.Handler) rpc.Handler {
		if bug == nil {
			return next
		}
		return bug(w, next)
	}
}

// TestPlantedBugsAreFound shows that each promise can be seen to be broken. Not parallel: it
// counts goroutines and bytes.
func TestPlantedBugsAreFound(t *testing.T) {
	var once sync.Once
	var hoard [][]byte
	for promise, bug := range map[string]planted{
		inBound: {ofClient: func(_ *world, next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, info *rpc.CallInfo) error {
				err := next(ctx, info)
				if _, bounded := ctx.Deadline(); bounded {
					once.Do(func() { // one call ends when it likes
						<-ctx.Done()
						time.Sleep(2 * rig.Late)
					})
				}
				return err
			}
		}},
		unsentRan: {ofClient: func(w *world, next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, info *rpc.CallInfo) error {
				if info.Kind != rpc.Unary {
					return next(ctx, info)
				}
				other := rpc.NewClient(w.peers[0].host, rig.Protocol) // which the library knows nothing of
				defer other.Close()
				_ = other.CallContext(ctx, info.Peer, info.Service, info.Method, info.Args, new(Note))
				nowhere := rpc.NewClient(w.peers[0].host, "/rpc/nowhere")
				defer nowhere.Close()
				err := nowhere.CallContext(ctx, w.peers[1].host.ID(), "Svc", "Note", 1, new(int))
				var e *rpc.Error
				if errors.As(err, &e) {
					return e // which is unsent
				}
				return err
			}
		}},
		twice: {ofClient: func(_ *world, next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, info *rpc.CallInfo) error {
				if info.Kind == rpc.Unary {
					_ = next(ctx, info)
				}
				return next(ctx, info)
			}
		}},
		succeeded: {ofClient: func(*world, rpc.Handler) rpc.Handler {
			return func(_ context.Context, info *rpc.CallInfo) error {
				in, _ := info.Args.(Note)
				if reply, unary := info.Reply.(*Note); unary {
					*reply = in // made up
				}
				return nil
			}
		}},
		goroutines: {patience: time.Second, beforeEnd: func(w *world) {
			s := rpc.NewServer(nil, rig.Protocol) // which is never closed
			if err := s.RegisterName("Svc", &noted{w}); err != nil {
				w.t.Error(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			w.closed = append(w.closed, cancel)
			go func() {
				_ = rpc.NewClientWithServer(nil, rig.Protocol, s).CallContext(ctx, "", "Svc", "Note", Note{Pause: time.Hour}, new(Note))
			}()
		}},
		reservation: {patience: time.Second, beforeEnd: func(w *world) {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if st, err := w.peers[0].host.NewStream(ctx, w.peers[1].host.ID(), rig.Protocol); err == nil {
				_ = st.Scope().ReserveMemory(1<<10, 255)
				w.closed = append(w.closed, func() { _ = st.Reset() })
			}
		}},
		memory: {ofServer: func(_ *world, next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, info *rpc.CallInfo) error {
				once.Do(func() {
					for range 400 {
						hoard = append(hoard, make([]byte, 1<<20))
					}
				})
				return next(ctx, info)
			}
		}},
	} {
		t.Run(promise, func(t *testing.T) {
			once, hoard = sync.Once{}, nil
			w := newWorld(t, 7, 2*time.Second, bug)
			w.events = nil // it is found without any faults
			w.run()
			broken := w.book.check()
			for _, b := range broken {
				if strings.HasPrefix(b, promise) {
					return
				}
			}
			t.Errorf("not found: %v; %v", &w.book, broken)
		})
	}
}
