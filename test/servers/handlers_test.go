package servers_test

import (
	"context"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// named has a method that replies a name.
func named(t *testing.T, h host.Host, name string, opts ...rpc.ServerOption) (*rpc.Server, *rig.SyncBuffer) {
	t.Helper()
	log := new(rig.SyncBuffer)
	s := rig.NewServer(t, h, append(opts, log.Option())...)
	err := s.RegisterFunc("Svc", "Name", whoFunc(name))
	if err != nil {
		t.Fatal(err)
	}
	return s, log
}

// served are the protocols of the library that h serves.
func served(h host.Host) (n int) {
	for _, p := range h.Mux().Protocols() {
		if strings.HasPrefix(string(p), string(rig.Protocol)) {
			n++
		}
	}
	return n
}

func TestTwoServersForOneProtocolOfAHost(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a, b := rig.NewHosts(t)
		first, firstLog := named(t, b, "first")
		second, secondLog := named(t, b, "second")
		if log := firstLog.String(); log != "" {
			t.Errorf("the first has logged %s", log)
		}
		log := secondLog.String()
		for _, p := range b.Mux().Protocols() {
			if strings.HasPrefix(string(p), string(rig.Protocol)) && !strings.Contains(log, "protocol="+string(p)+"\n") {
				t.Errorf("no line for %s in %s", p, log)
			}
		}
		if lines := strings.Count(log, "level=WARN"); lines != served(b) || !strings.Contains(log, "another server") {
			t.Errorf("for %d protocols the second has logged %s", served(b), log)
		}
		c := tr.Client(t, a)
		name := func() (name string) {
			t.Helper()
			if err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Name", 1, &name); err != nil {
				t.Fatal(err)
			}
			return name
		}
		if got := name(); got != "second" {
			t.Errorf("the %s serves", got)
		}
		before := served(b)
		for range 2 {
			_ = first.Close()
		}
		if got := name(); got != "second" || served(b) != before {
			t.Errorf("after the first is closed, the %s serves %d protocols of %d", got, served(b), before)
		}
		if err := second.Shutdown(rig.Context(t)); err != nil {
			t.Fatal(err)
		}
		if n := served(b); n != 0 {
			t.Errorf("after the second is closed, %d protocols are served", n)
		}
		err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Name", 1, new(string))
		rig.CheckErr(t, err, rpc.ClientErr, codes.Unimplemented)

		third, thirdLog := named(t, b, "third")
		if got, log := name(), thirdLog.String(); got != "third" || log != "" {
			t.Errorf("a server after another serves as %s, and logs %s", got, log)
		}
		_ = second.Close()
		_ = first.Close()
		if served(b) != before {
			t.Error("closing a server again has removed another's handlers")
		}
		_ = third.Close()
	})
}

// A host that is wrapped in another, as one that knows routing is, has the same handlers.
func TestTwoServersOfOneHostOfWhichOneIsWrapped(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	first, _ := named(t, b, "first")
	_, log := named(t, &struct{ host.Host }{b}, "second")
	if !strings.Contains(log.String(), "another server") {
		t.Errorf("the second has logged %s", log)
	}
	_ = first.Close()
	var name string
	if err := rig.Client(t, a).CallContext(rig.Context(t), b.ID(), "Svc", "Name", 1, &name); err != nil || name != "second" {
		t.Errorf("%q serves: %v", name, err)
	}
}

// The second has no sessions: those stay the first's.
func TestTwoServersOfWhichOneHasFewerProtocols(t *testing.T) {
	t.Parallel()
	_, b := rig.NewHosts(t)
	first, _ := named(t, b, "first")
	all := served(b)
	second, log := named(t, b, "second", rpc.WithServerSessions(false))
	if n := strings.Count(log.String(), "level=WARN"); n != all-1 {
		t.Errorf("%d lines: %s", n, log)
	}
	_ = second.Close()
	if n := served(b); n != 1 {
		t.Errorf("%d protocols are the first's", n)
	}
	_ = first.Close()
	if n := served(b); n != 0 {
		t.Errorf("%d protocols are left", n)
	}
}

func TestServersOfOtherProtocolsAndHostsAreNoOther(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	for _, at := range []struct {
		h host.Host
		p protocol.ID
	}{{a, "/one"}, {a, "/two"}, {b, "/one"}, {nil, "/one"}, {nil, "/one"}} {
		log := new(rig.SyncBuffer)
		s := rpc.NewServer(at.h, at.p, log.Option())
		defer s.Close()
		if log.String() != "" {
			t.Errorf("%v: %s", at, log)
		}
	}
}

func whoFunc(name string) func(context.Context, int, *string) error {
	return func(_ context.Context, _ int, r *string) error {
		*r = name
		return nil
	}
}
