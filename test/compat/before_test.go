package compat_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Builds from before P/3 and P/session/2 know these, and P. They were never
// released, and their values are in v0.6's form.
var before = []protocol.ID{rig.Protocol + "/session/1", rig.Protocol + "/2"}

// A client of before asks for its own protocols and for P, gets P, and all its
// calls are what they are with v0.6.
func TestClientOfBeforeTalksPlainly(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/negotiation.json")
	if err != nil {
		t.Fatal(err)
	}
	var recorded struct{ Events []struct{ Dir, Hex string } }
	if err := json.Unmarshal(b, &recorded); err != nil {
		t.Fatal(err)
	}
	from, to := rig.NewHosts(t)
	serveRecorded(t, to)
	talksToServer(t, func(t *testing.T) network.Stream {
		st, err := from.Network().NewStream(rig.Context(t), to.ID())
		if err != nil {
			t.Fatal(err)
		}
		_ = st.SetDeadline(time.Now().Add(20 * time.Second))
		for _, e := range recorded.Events {
			said, err := hex.DecodeString(e.Hex)
			if err != nil {
				t.Fatal(err)
			}
			if e.Dir == "client->server" {
				rig.Write(t, st, said)
				continue
			}
			got := make([]byte, len(said))
			if _, err := io.ReadFull(st, got); err != nil || !bytes.Equal(got, said) {
				t.Fatalf("the server says %q, %v, and not %q", got, err, said)
			}
		}
		return st
	})
}

// The same host serves its own protocols to a client of today, which wants none of
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
