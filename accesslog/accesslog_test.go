package accesslog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/accesslog"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// written collects lines.
type written struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (w *written) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.buf.Write(b)
}

func (w *written) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(w, nil)) }

func (w *written) lines(t *testing.T) (all []map[string]any) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for d := json.NewDecoder(bytes.NewReader(w.buf.Bytes())); d.More(); {
		var line map[string]any
		if err := d.Decode(&line); err != nil {
			t.Fatal(err)
		}
		all = append(all, line)
	}
	return all
}

// until waits for n lines.
func (w *written) until(t *testing.T, n int) []map[string]any {
	t.Helper()
	rig.Eventually(t, "the lines are written", func() bool { return len(w.lines(t)) >= n })
	return w.lines(t)
}

// Both sides write a line for each call, unary and streaming, by name and typed.
func TestLines(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		var client, server written
		local := accesslog.Local(true)
		s := with(rig.Arith{}, rig.Options{
			Client: []rpc.ClientOption{rpc.WithCallInterceptors(accesslog.Interceptor(client.logger(), local))},
			Server: []rpc.ServerOption{rpc.WithServerInterceptors(accesslog.Interceptor(server.logger(), local))},
		})
		var q rig.Quotient
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Divide", rig.Args{A: 6, B: 3}, &q); err != nil {
			t.Fatal(err)
		}
		_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Divide", rig.Args{A: 6, B: 0}, &q)
		if _, err := rig.MultiplyMethod.Call(rig.Context(t), s.Client, s.Dest, &rig.Args{}); err != nil {
			t.Fatal(err)
		}
		args := make(chan rig.Args)
		close(args)
		if _, err := rig.Stream(rig.Context(t), t, s, "Divides", args, q); err != nil {
			t.Fatal(err)
		}
		for side, w := range map[string]*written{"client": &client, "server": &server} {
			who := s.Dest
			if side == "server" {
				who = s.Sender
			}
			for i, want := range []struct{ method, kind, code, level string }{
				{"Svc.Divide", "unary", "OK", "INFO"}, {"Svc.Divide", "unary", "Unknown", "WARN"},
				{"Svc.Multiply", "unary", "OK", "INFO"}, {"Svc.Divides", "streaming", "OK", "INFO"},
			} {
				line := w.until(t, 4)[i]
				if line["side"] != side || line["method"] != want.method || line["kind"] != want.kind || line["code"] != want.code ||
					line["level"] != want.level || line["peer"] != who.String() || line["duration"].(float64) < 0 ||
					(line["error"] != nil) != (want.code != "OK") || (line["transport"] == "tcp") != (s.Dest != s.Sender) {
					t.Errorf("line %d of the %s is %v", i, side, line)
				}
			}
		}
	})
}

// Of calls that succeed some have a line; errors and slow calls have theirs.
func TestSampling(t *testing.T) {
	t.Parallel()
	var w written
	s := rig.Session.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
		rpc.WithServerInterceptors(accesslog.Interceptor(w.logger(), accesslog.Sample(10)))}})
	var q rig.Quotient
	var n int
	for i := range 30 {
		_ = s.Client.Call(s.Dest, "Svc", "Divide", rig.Args{A: 6, B: i % 3}, &q) // ten errors, and 20 that are not
		if i < 5 {
			_ = s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{}, &n)
		}
	}
	count := make(map[string]int)
	for _, line := range w.until(t, 13) {
		count[line["method"].(string)+" "+line["code"].(string)]++
		if (line["code"] == "OK") != (line["sample"] == 10.0) {
			t.Errorf("got %v", line)
		}
	}
	if count["Svc.Divide Unknown"] != 10 || count["Svc.Divide OK"] != 2 || count["Svc.Multiply OK"] != 1 || len(count) != 3 {
		t.Errorf("got %v", count)
	}
	var slow written
	s = rig.Session.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
		rpc.WithServerInterceptors(accesslog.Interceptor(slow.logger(), accesslog.Sample(1000), accesslog.Slow(time.Nanosecond)))}})
	for range 3 {
		_ = s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{}, &n)
	}
	for _, line := range slow.until(t, 3) {
		if line["slow"] != true || line["level"] != "WARN" || line["code"] != "OK" {
			t.Errorf("got %v", line)
		}
	}
}

// Attempts are told, and a call whose goroutine ends has its line.
func TestClientsLines(t *testing.T) {
	t.Parallel()
	var w written
	s := rig.Session.With(t, rig.Arith{}, rig.Options{Client: []rpc.ClientOption{rpc.WithCallInterceptors(accesslog.Interceptor(w.logger()))}})
	f := &rig.Unsteady{Err: &rpc.Error{Code: codes.Unavailable, Message: "not now"}}
	f.Times.Store(2)
	if _, err := f.Method(t, s.Server, rig.Quickly(3), rpc.CallIdempotent(true)).Call(rig.Context(t), s.Client, s.Dest, 1); err != nil {
		t.Fatal(err)
	}
	if line := w.until(t, 1)[0]; line["attempts"] != 3.0 {
		t.Errorf("got %v", line)
	}
	exits := rig.Client(t, s.Host, rpc.WithCallInterceptors(accesslog.Interceptor(w.logger()), func(rpc.Handler) rpc.Handler {
		return func(context.Context, *rpc.CallInfo) error { runtime.Goexit(); return nil }
	}))
	var n int
	done := make(chan *rpc.Call, 1)
	if err := exits.Go(s.Dest, "Svc", "Multiply", rig.Args{}, &n, done); err != nil {
		t.Fatal(err)
	}
	rig.Take(t, "the call ends", done)
	if line := w.until(t, 2)[1]; line["code"] != "Internal" {
		t.Errorf("got %v", line)
	}
}

// Local calls have no lines unless they are asked for.
func TestLocalCallsAreLeftOut(t *testing.T) {
	t.Parallel()
	var w written
	s := rig.Local.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
		rpc.WithServerInterceptors(accesslog.Interceptor(w.logger())), rpc.WithRefusedFunc(accesslog.Refused(w.logger()))}})
	var n int
	_ = s.Client.Call(s.Dest, "Svc", "Multiply", rig.Args{}, &n)
	_ = s.Client.Call(s.Dest, "Svc", "None", rig.Args{}, &n)
	if all := w.lines(t); len(all) > 0 {
		t.Errorf("got %v", all)
	}
}

// Who is turned away has a line with the reason.
func TestRefused(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		var w written
		s := tr.With(t, rig.Arith{}, rig.Options{Server: []rpc.ServerOption{
			rpc.WithRefusedFunc(accesslog.Refused(w.logger())),
			rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "Divide" }),
			rpc.WithMethodConfig(rpc.ServiceID{Name: "Svc", Method: "Multiply"}, rpc.MethodConfig{Rate: 0.001, Burst: 1}),
		}})
		var n int
		for _, method := range []string{"Divide", "None", "Multiply", "Multiply"} {
			_ = s.Client.CallContext(rig.Context(t), s.Dest, "Svc", method, rig.Args{}, &n)
		}
		var got []string
		for _, line := range w.until(t, 3) {
			if line["peer"] != s.Sender.String() || line["level"] != "WARN" || line["msg"] != "rpc refused" || line["error"] == nil {
				t.Errorf("got %v", line)
			}
			got = append(got, line["method"].(string)+" "+line["reason"].(string))
		}
		if want := []string{"Svc.Divide denied", "Svc.None no such method", "Svc.Multiply MethodConfig.Rate"}; !slices.Equal(got, want) {
			t.Errorf("got %v", got)
		}
	})
}

// Strangers do not fill the log.
func TestRefusedLinesAreBounded(t *testing.T) {
	t.Parallel()
	err := rpc.Errorf(codes.Unimplemented, "no")
	synctest.Test(t, func(t *testing.T) {
		var w written
		refused := accesslog.Refused(w.logger(), accesslog.RefusedLines(1))
		for range 2 {
			for range 100 {
				refused(context.Background(), &rpc.CallInfo{Service: "Svc", Method: "None"}, err)
			}
			time.Sleep(time.Second) // of the bubble's
		}
		if all := w.lines(t); len(all) != 2 || all[0]["left_out"] != nil || all[1]["left_out"] != 99.0 {
			t.Errorf("got %v", all)
		}
	})
	var w written
	free := accesslog.Refused(w.logger(), accesslog.RefusedLines(0))
	for range 100 {
		free(context.Background(), &rpc.CallInfo{Service: "Svc", Method: "None"}, err)
	}
	if all := w.lines(t); len(all) != 100 {
		t.Errorf("got %d lines", len(all))
	}
}
