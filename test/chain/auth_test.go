package chain_test

import (
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestAuthorizationComesFirst(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	type question struct {
		caller      peer.ID
		svc, method string
	}
	asked := make(chan question, 10)
	j := new(journal)
	s := rig.NewServer(t, b,
		rpc.WithAuthorizeFunc(func(p peer.ID, svc, method string) bool {
			asked <- question{p, svc, method}
			return false
		}), rpc.WithServerInterceptors(j.noting("s1")))
	client := rig.Client(t, a)
	if err := s.RegisterName("Svc", noted{j}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []rpc.ServiceID{{Name: "Svc", Method: "Double"}, {Name: "Svc", Method: "Missing"}, {Name: "None", Method: "Double"}, {Name: "Svc", Method: "Doubles"}} {
		want := "client does not have permissions to call " + id.String() + " (peer " + b.ID().String() + ")"
		args, replies := make(chan int), make(chan int)
		for i, err := range []error{
			client.CallContext(rig.Context(t), b.ID(), id.Name, id.Method, "of another type", new(int)),
			client.Stream(rig.Context(t), b.ID(), id.Name, id.Method, args, replies),
		} {
			if !rpc.IsAuthorizationError(err) || rpc.CodeOf(err) != codes.PermissionDenied || err.Error() != want {
				t.Errorf("%v, kind %d: got %v", id, i, err)
			}
			if q := <-asked; q != (question{a.ID(), id.Name, id.Method}) {
				t.Errorf("%v, kind %d: asked about %v", id, i, q)
			}
		}
		if len(asked) > 0 {
			t.Errorf("%v: asked %d times more than called", id, len(asked))
		}
	}
	if lines := j.take(); len(lines) > 0 {
		t.Errorf("a refused call came as far as %v", lines)
	}
}

func TestAuthorizeWithMap(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	stranger := rig.NewHost(t)
	rig.Know(stranger, b)
	allowed := map[peer.ID]map[string]bool{a.ID(): {"Svc.Multiply": true, "Svc.Divide": false, "Svc": true, "Multiply": true}}
	ask := rpc.AuthorizeWithMap(allowed)
	ofA, ofStranger := rig.Client(t, a), rig.Client(t, stranger)
	rig.Serve(t, b, rig.Arith{}, rpc.WithAuthorizeFunc(ask))
	for _, c := range []struct {
		client *rpc.Client
		method string
		ok     bool
	}{{ofA, "Multiply", true}, {ofA, "Divide", false}, {ofA, "ReplyAndError", false}, {ofStranger, "Multiply", false}} {
		err := c.client.CallContext(rig.Context(t), b.ID(), "Svc", c.method, rig.Args{A: 6, B: 7}, new(int))
		if c.ok && err != nil || !c.ok && !rpc.IsAuthorizationError(err) {
			t.Errorf("%s of %v: got %v", c.method, c.client.ID(), err)
		}
	}
	allowed[a.ID()]["Svc.Sub.Get"] = true
	if !ask(a.ID(), "Svc.Sub", "Get") || ask(a.ID(), "Svc", "Sub.Get") {
		t.Error("a method of another service is allowed")
	}
	if rpc.AuthorizeWithMap(nil)(a.ID(), "Svc", "Multiply") {
		t.Error("no map allows everything")
	}
}

func TestLocalCallsAreNotAuthorized(t *testing.T) {
	t.Parallel()
	s := rig.Local.Setup(t, rig.Options{Server: []rpc.ServerOption{rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool {
		t.Error("a local call was asked about")
		return false
	})}})
	if err := s.Server.RegisterName("Svc", noted{new(journal)}); err != nil {
		t.Fatal(err)
	}
	for _, dest := range []peer.ID{s.Dest, ""} {
		s.Dest = dest
		doubling(t, s, func(t *testing.T, _ rpc.Kind, replies []int, err error) { doubled(t, replies, err) })
	}
}
