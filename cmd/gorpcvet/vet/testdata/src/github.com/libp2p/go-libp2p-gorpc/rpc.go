// Package rpc has the names of the library that the analyzer knows, without what
// they do: TestNamesAreTheLibrarys compares them with the library's.
package rpc

import (
	"context"
	"github.com/libp2p/go-libp2p-gorpc/fan"
	"iter"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

type (
	ServiceID    struct{ Name, Method string }
	Call         struct{ Error error }
	Server       struct{}
	Client       struct{}
	ServerOption func(*Server)
	ClientOption func(*Client)
	CallOption   func()
)

func NewServer(h host.Host, p protocol.ID, opts ...ServerOption) *Server { return nil }
func NewClient(h host.Host, p protocol.ID, opts ...ClientOption) *Client { return nil }

func (s *Server) Register(rcvr any) error                                      { return nil }
func (s *Server) RegisterName(name string, rcvr any) error                     { return nil }
func (s *Server) RegisterFunc(service, method string, f any) error             { return nil }
func (c *Client) Close() error                                                 { return nil }
func (c *Client) Call(dest peer.ID, svc, method string, args, reply any) error { return nil }
func (c *Client) CallContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any) error {
	return nil
}
func (c *Client) Go(dest peer.ID, svc, method string, args, reply any, done chan *Call) error {
	return nil
}
func (c *Client) GoContext(ctx context.Context, dest peer.ID, svc, method string, args, reply any, done chan *Call) error {
	return nil
}
func (c *Client) MultiCall(ctxs []context.Context, dests []peer.ID, svc, method string, args any, replies []any) []error {
	return nil
}
func (c *Client) MultiGo(ctxs []context.Context, dests []peer.ID, svc, method string, args any, replies []any, dones []chan *Call) error {
	return nil
}
func (c *Client) Stream(ctx context.Context, dest peer.ID, svc, method string, argsChan, repliesChan any) error {
	return nil
}
func (c *Client) MultiStream(ctx context.Context, dests []peer.ID, svc, method string, argsChan, repliesChan any) []error {
	return nil
}

func AuthorizeWithMap(m map[peer.ID]map[string]bool) func(caller peer.ID, svc, method string) bool {
	return nil
}

type (
	Method[A, R any]           struct{}
	ServerStream[A, R any]     struct{}
	ClientStream[A, R any]     struct{}
	Duplex[A, R any]           struct{}
	ClientStreamCall[A, R any] struct{}
	DuplexCall[A, R any]       struct{}
	Sender[T any]              struct{}
	Receiver[T any]            struct{}
)

func NewMethod[A, R any](service, method string, opts ...CallOption) *Method[A, R] { return nil }
func NewServerStream[A, R any](service, method string, opts ...CallOption) *ServerStream[A, R] {
	return nil
}
func NewClientStream[A, R any](service, method string, opts ...CallOption) *ClientStream[A, R] {
	return nil
}
func NewDuplex[A, R any](service, method string, opts ...CallOption) *Duplex[A, R] { return nil }

func (m *Method[A, R]) ID() ServiceID { return ServiceID{} }
func (m *Method[A, R]) Handle(s *Server, f func(ctx context.Context, arg A) (R, error)) error {
	return nil
}
func (m *Method[A, R]) Call(ctx context.Context, c *Client, dest peer.ID, arg A, opts ...CallOption) (r R, err error) {
	return
}
func (m *ServerStream[A, R]) Handle(s *Server, f func(ctx context.Context, arg A, out *Sender[R]) error) error {
	return nil
}
func (m *ClientStream[A, R]) Handle(s *Server, f func(ctx context.Context, in *Receiver[A]) (R, error)) error {
	return nil
}
func (m *Duplex[A, R]) Handle(s *Server, f func(ctx context.Context, in *Receiver[A], out *Sender[R]) error) error {
	return nil
}
func (m *ClientStream[A, R]) Open(ctx context.Context, c *Client, dest peer.ID, opts ...CallOption) *ClientStreamCall[A, R] {
	return nil
}
func (m *ClientStream[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...fan.Option) *fan.ClientStream[A, R] {
	return nil
}
func (m *Duplex[A, R]) Open(ctx context.Context, c *Client, dest peer.ID, opts ...CallOption) *DuplexCall[A, R] {
	return nil
}
func (m *Duplex[A, R]) OpenAll(ctx context.Context, c *Client, dests []peer.ID, opts ...fan.Option) *fan.Duplex[A, R] {
	return nil
}

func (c *ClientStreamCall[A, R]) Close() error                                { return nil }
func (c *ClientStreamCall[A, R]) Finish(ctx context.Context) (r R, err error) { return }
func (c *ClientStreamCall[A, R]) Send(ctx context.Context, arg A) error       { return nil }
func (c *DuplexCall[A, R]) Close() error                                      { return nil }
func (c *DuplexCall[A, R]) Send(ctx context.Context, arg A) error             { return nil }
func (c *DuplexCall[A, R]) Receive(ctx context.Context) (r R, err error)      { return }
func (c *DuplexCall[A, R]) All(ctx context.Context) iter.Seq2[R, error]       { return nil }
