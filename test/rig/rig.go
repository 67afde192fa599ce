package rig

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Context ends with the test, and before it would be taken for hung.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

var Quiet = rpc.WithServerLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// Serve returns a server on b, with svc registered as "Svc".
func Serve(t testing.TB, b host.Host, svc any, opts ...rpc.ServerOption) *rpc.Server {
	t.Helper()
	s := rpc.NewServer(b, Protocol, append([]rpc.ServerOption{Quiet}, opts...)...)
	t.Cleanup(func() { _ = s.Close() })
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return s
}

func CloseAfter(t testing.TB, c *rpc.Client, s *rpc.Server) {
	t.Cleanup(func() {
		_ = c.Close()
		_ = s.Close()
	})
}

// MustHandle serves m with f, and returns m.
func MustHandle[A, R any](t testing.TB, s *rpc.Server, m *rpc.Method[A, R], f func(context.Context, A) (R, error)) *rpc.Method[A, R] {
	t.Helper()
	if err := m.Handle(s, f); err != nil {
		t.Fatal(err)
	}
	return m
}

func Backgrounds(n int) []context.Context {
	return slices.Repeat([]context.Context{context.Background()}, n)
}

// ReplyPointers are a new T for each of n calls.
func ReplyPointers[T any](n int) (values []*T, replies []any) {
	for range n {
		v := new(T)
		values, replies = append(values, v), append(replies, v)
	}
	return values, replies
}
