package rpc_test

import (
	"context"
	"log"
	"log/slog"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// several has an outcome of each sort.
type several struct {
	*lingering
	Arith
}

func TestGoDeliversEachCallOnce(t *testing.T) {
	t.Parallel()
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			svc := &several{newLingering(), Arith{}}
			s := tr.setup(t, options{})
			if err := s.server.RegisterName("Svc", svc); err != nil {
				t.Fatal(err)
			}
			done := make(chan *rpc.Call, 100)
			next := func(ctx context.Context, method string, args, reply any) *rpc.Call {
				if err := s.client.GoContext(ctx, s.dest, "Svc", method, args, reply, done); err != nil {
					t.Fatal(err)
				}
				return take(t, method+" is over", done)
			}
			over, cancelOver := context.WithCancel(testContext(t))
			cancelOver()
			running, cancelRunning := context.WithCancel(testContext(t))
			go func() {
				<-svc.started
				cancelRunning()
			}()
			for _, c := range []struct {
				ctx    context.Context
				method string
				args   any
				reply  any
				code   rpc.Code
			}{
				{testContext(t), "Quick", 1, new(int), rpc.CodeOK},
				{context.Background(), "Quick", 1, new(int), rpc.CodeOK},
				{testContext(t), "Divide", Args{1, 0}, new(Quotient), rpc.CodeUnknown},
				{testContext(t), "Missing", 1, new(int), rpc.CodeUnimplemented},
				{over, "Quick", 1, new(int), rpc.CodeCanceled},
				{running, "Linger", struct{}{}, new([]int), rpc.CodeCanceled},
			} {
				call := next(c.ctx, c.method, c.args, c.reply)
				if call.SvcID.Method != c.method || call.Reply != c.reply || call.Args != c.args || call.Dest != s.dest || rpc.CodeOf(call.Error) != c.code {
					t.Errorf("%s: got %+v", c.method, call)
				}
			}
			// v0.6 delivered the cancelled one again when its method was done.
			close(svc.release)
			take(t, "the method has ended", svc.wrote)
			for range 3 {
				if call := next(testContext(t), "Quick", 1, new(int)); call.SvcID.Method != "Quick" || call.Error != nil {
					t.Errorf("got %+v", call)
				}
			}
			if err := s.client.Go(s.dest, "Svc", "Linger", struct{}{}, new([]int), nil); err != nil {
				t.Fatal(err)
			}
			take(t, "the call that nobody is told of", svc.wrote)
			if n := len(done); n != 0 {
				t.Errorf("%d results too many", n)
			}
		})
	}
}

// Not parallel: it counts goroutines and takes the log.
func TestResultIsDroppedWhenTheDoneChannelIsFull(t *testing.T) {
	for _, tr := range transports {
		t.Run(tr.name, func(t *testing.T) {
			var buf syncBuffer
			old, out, flags := slog.Default(), log.Writer(), log.Flags()
			slog.SetDefault(slog.New(slog.NewTextHandler(&buf, nil)))
			defer func() {
				slog.SetDefault(old)
				log.SetOutput(out)
				log.SetFlags(flags)
			}()
			s := tr.setup(t, options{})
			if err := s.server.RegisterName("Svc", newLingering()); err != nil {
				t.Fatal(err)
			}
			done := make(chan *rpc.Call, 1)
			for i := range 3 {
				if err := s.client.Go(s.dest, "Svc", "Quick", i, new(int), done); err != nil {
					t.Fatal(err)
				}
			}
			noGoroutineStays(t)
			if len(done) != 1 || strings.Count(buf.String(), "Svc.Quick") != 2 {
				t.Errorf("%d results, and the log has %q", len(done), buf.String())
			}
		})
	}
}
