// Package rig is what the tests of behaviour have in common: hosts, servers and
// clients over every transport, services, peers that are played by hand, and
// waits that end. Programs have package rpctest.
package rig

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Context ends with the test, and before it would be taken for hung.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	t.Cleanup(cancel)
	return ctx
}

// Quiet is for servers whose log nobody reads.
var Quiet = rpc.WithServerLogger(slog.New(slog.NewTextHandler(io.Discard, nil)))

// NewServer returns a server on b, without services.
func NewServer(t testing.TB, b host.Host, opts ...rpc.ServerOption) *rpc.Server {
	s := rpc.NewServer(b, Protocol, slices.Concat([]rpc.ServerOption{Quiet}, opts)...)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// Serve returns a server on b, with svc registered as "Svc".
func Serve(t testing.TB, b host.Host, svc any, opts ...rpc.ServerOption) *rpc.Server {
	t.Helper()
	s := NewServer(t, b, opts...)
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	return s
}

// MustHandle serves m with f, and returns m.
func MustHandle[A, R any](t testing.TB, s *rpc.Server, m *rpc.Method[A, R], f func(context.Context, A) (R, error)) *rpc.Method[A, R] {
	t.Helper()
	if err := m.Handle(s, f); err != nil {
		t.Fatal(err)
	}
	return m
}

// Backgrounds are contexts for the calls of MultiCall.
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
