package compat_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Builds from before P/3 and P/session/2 know these, and P. They were never
// released, and their values are in v0.6's form.
var before = []protocol.ID{rig.Protocol + "/session/1", rig.Protocol + "/2"}

// conversation is one that a build of before had with one of this kind: see
// testdata/before.json.
type conversation struct {
	Client string // before or this
	Method string
	Known  bool // the client knew what the server serves
	Events []struct{ Dir, Hex string }
}

func conversations(t *testing.T) []conversation {
	t.Helper()
	b, err := os.ReadFile("testdata/before.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Conversations []conversation }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Conversations
}

// name is that of a test.
func (c *conversation) name() string {
	return c.Method + map[bool]string{true: " known", false: " asked"}[c.Known]
}

// play has one side of the conversation on st, that which sends what has the
// direction own, and checks what the other says. It plays n events, all if n is 0.
func (c *conversation) play(st network.Stream, own string, n int) error {
	if n == 0 {
		n = len(c.Events)
	}
	client := own == "client->server"
	_ = st.SetDeadline(time.Now().Add(20 * time.Second))
	for _, e := range c.Events[:n] {
		said, err := hex.DecodeString(e.Hex)
		if err != nil {
			return err
		}
		ends := e.Dir == "client:close-write" || e.Dir == "server->client:EOF"
		switch {
		case ends && client == (e.Dir == "client:close-write"):
			err = st.CloseWrite()
		case ends:
			if n, end := st.Read(make([]byte, 1)); end != io.EOF {
				err = fmt.Errorf("%d bytes and %v, not the end of the stream", n, end)
			}
		case e.Dir == own:
			_, err = st.Write(said)
		default:
			got := make([]byte, len(said))
			if _, err = io.ReadFull(st, got); err != nil || !bytes.Equal(got, said) {
				err = fmt.Errorf("the other side says %q, %v, and not %q", got, err, said)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A client of before asks for its own protocols and for P, or for P at once. It gets P,
// and its calls succeed, byte by byte as recorded.
func TestClientOfBeforeIsServed(t *testing.T) {
	t.Parallel()
	from, to := rig.NewHosts(t)
	rig.Serve(t, to, rig.Arith{})
	played := 0
	for _, c := range conversations(t) {
		if c.Client != "before" {
			continue
		}
		played++
		t.Run(c.name(), func(t *testing.T) {
			st, err := from.Network().NewStream(rig.Context(t), to.ID())
			if err != nil {
				t.Fatal(err)
			}
			defer st.Reset()
			if err := c.play(st, "client->server", 0); err != nil {
				t.Error(err)
			}
		})
	}
	if played < 6 {
		t.Errorf("%d conversations are recorded", played)
	}
}

// A client of this build talks to a server of before as recorded, and its calls
// succeed.
func TestServerOfBeforeIsCalled(t *testing.T) {
	t.Parallel()
	played := 0
	for _, c := range conversations(t) {
		if c.Client != "this" {
			continue
		}
		played++
		t.Run(c.name(), func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			if _, err := a.NewStream(rig.Context(t), b.ID(), "/not/served"); err == nil {
				t.Fatal("a stream of what is not served")
			} // and the hosts have told each other what is
			heard := make(chan error, 1)
			b.Network().SetStreamHandler(func(st network.Stream) {
				heard <- c.play(st, "server->client", 0)
				_ = st.Close()
			})
			if c.Known {
				_ = a.Peerstore().AddProtocols(b.ID(), append(before, rig.Protocol)...)
			}
			client := rig.Client(t, a)
			if err := callRecorded(rig.Context(t), client, b.ID(), c.Method); err != nil {
				t.Error(err)
			}
			if err := rig.Take(t, "the server has heard the call", heard); err != nil {
				t.Error(err)
			}
		})
	}
	if played < 6 {
		t.Errorf("%d conversations are recorded", played)
	}
}

// callRecorded makes the call of a conversation, and checks what it returns.
func callRecorded(ctx context.Context, c *rpc.Client, dest peer.ID, method string) error {
	switch method {
	case "Multiply":
		var product int
		err := c.Call(dest, "Svc", method, &rig.Args{A: 6, B: 7}, &product)
		if err != nil || product != 42 {
			return fmt.Errorf("the product is %d, %v", product, err)
		}
	case "Divides":
		args, replies := make(chan rig.Args, 2), make(chan rig.Quotient, 2)
		args <- rig.Args{A: 7, B: 2}
		args <- rig.Args{A: 9, B: 3}
		close(args)
		err := c.Stream(context.WithoutCancel(ctx), dest, "Svc", method, args, replies)
		if first, second := <-replies, <-replies; err != nil || first != (rig.Quotient{Quo: 3, Rem: 1}) || second != (rig.Quotient{Quo: 3}) {
			return fmt.Errorf("the replies are %v and %v, %v", first, second, err)
		}
	default:
		var quotient rig.Quotient
		err := c.Call(dest, "Svc", method, &rig.Args{A: 1}, &quotient)
		if want := map[string]string{"Divide": "divide by zero", "Missing": "can't find method Missing"}[method]; err == nil || !strings.Contains(err.Error(), want) {
			return fmt.Errorf("the error is %v, not %q", err, want)
		}
		if rpc.IsServerError(err) != (method == "Missing") {
			return fmt.Errorf("the error is of the wrong type: %w", err)
		}
	}
	return nil
}

// A client of before that has asked, and got P, makes all calls as it does with v0.6.
func TestClientOfBeforeTalksPlainly(t *testing.T) {
	t.Parallel()
	all := conversations(t)
	asked := all[slices.IndexFunc(all, func(c conversation) bool { return c.Client == "before" && c.Method == "Multiply" && !c.Known })]
	const negotiation = 6 // events: two protocols refused, one agreed on
	from, to := rig.NewHosts(t)
	serveRecorded(t, to)
	talksToServer(t, func(t *testing.T) network.Stream {
		st, err := from.Network().NewStream(rig.Context(t), to.ID())
		if err != nil {
			t.Fatal(err)
		}
		if err := asked.play(st, "client->server", negotiation); err != nil {
			t.Fatal(err)
		}
		return st
	})
}

// A host of before serves its own protocols to a client of today, which wants none of
// them, whether it knows what the host serves or has to ask.
func TestServerOfBeforeIsCalledPlainly(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		t.Run(map[bool]string{true: "known", false: "asked"}[known], func(t *testing.T) {
			a, b := rig.NewHosts(t)
			for _, p := range before {
				b.SetStreamHandler(p, func(st network.Stream) {
					t.Errorf("a stream of %s", p)
					_ = st.Reset()
				})
			}
			talksToClient(t, rig.Client(t, a), b, func() {
				if !known {
					_ = a.Peerstore().RemoveProtocols(b.ID(), append(before, rig.Protocol)...)
				}
			})
		})
	}
}
