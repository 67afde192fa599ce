package calls_test

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// several has an outcome of each sort.
type several struct {
	*rig.Lingering
	rig.Arith
}

func TestGoDeliversEachCallOnce(t *testing.T) {
	t.Parallel()
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			t.Parallel()
			svc := &several{rig.NewLingering(), rig.Arith{}}
			s := tr.With(t, svc, rig.Options{})
			done := make(chan *rpc.Call, 100)
			next := func(ctx context.Context, method string, args, reply any) *rpc.Call {
				if err := s.Client.GoContext(ctx, s.Dest, "Svc", method, args, reply, done); err != nil {
					t.Fatal(err)
				}
				return rig.Take(t, method+" is over", done)
			}
			over, cancelOver := context.WithCancel(rig.Context(t))
			cancelOver()
			running, cancelRunning := context.WithCancel(rig.Context(t))
			go func() {
				<-svc.Started
				cancelRunning()
			}()
			for _, c := range []struct {
				ctx    context.Context
				method string
				args   any
				reply  any
				code   codes.Code
			}{
				{rig.Context(t), "Quick", 1, new(int), codes.OK},
				{context.Background(), "Quick", 1, new(int), codes.OK},
				{rig.Context(t), "Divide", rig.Args{A: 1, B: 0}, new(rig.Quotient), codes.Unknown},
				{rig.Context(t), "Missing", 1, new(int), codes.Unimplemented},
				{over, "Quick", 1, new(int), codes.Canceled},
				{running, "Linger", struct{}{}, new([]int), codes.Canceled},
			} {
				call := next(c.ctx, c.method, c.args, c.reply)
				if call.SvcID.Method != c.method || call.Reply != c.reply || call.Args != c.args || call.Dest != s.Dest || rpc.CodeOf(call.Error) != c.code {
					t.Errorf("%s: got %+v", c.method, call)
				}
			}
			// v0.6 delivered the cancelled one again when its method was done.
			close(svc.Release)
			rig.Take(t, "the method has ended", svc.Wrote)
			for range 3 {
				if call := next(rig.Context(t), "Quick", 1, new(int)); call.SvcID.Method != "Quick" || call.Error != nil {
					t.Errorf("got %+v", call)
				}
			}
			if err := s.Client.Go(s.Dest, "Svc", "Linger", struct{}{}, new([]int), nil); err != nil {
				t.Fatal(err)
			}
			rig.Take(t, "the call that nobody is told of", svc.Wrote)
			if n := len(done); n != 0 {
				t.Errorf("%d results too many", n)
			}
		})
	}
}

// Not parallel: it counts goroutines and takes the log.
func TestResultIsDroppedWhenTheDoneChannelIsFull(t *testing.T) {
	for _, tr := range rig.Transports {
		t.Run(tr.Name, func(t *testing.T) {
			var buf rig.SyncBuffer
			old, out, flags := slog.Default(), log.Writer(), log.Flags()
			slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
			defer func() {
				slog.SetDefault(old)
				log.SetOutput(out)
				log.SetFlags(flags)
			}()
			s := tr.With(t, rig.NewLingering(), rig.Options{})
			done := make(chan *rpc.Call, 1)
			for i := range 3 {
				if err := s.Client.Go(s.Dest, "Svc", "Quick", i, new(int), done); err != nil {
					t.Fatal(err)
				}
			}
			rig.NoGoroutineStays(t)
			if len(done) != 1 || strings.Count(buf.String(), "Svc.Quick") != 2 {
				t.Errorf("%d results, and the log has %q", len(done), buf.String())
			}
		})
	}
}
