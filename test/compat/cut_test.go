package compat_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

func TestResponseCutAtEveryByteIsAnError(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"multiply", "stream-3"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, b := rig.NewHosts(t)
			c := rig.Wire.Client(t, a)
			tr := recording(t, name)
			request, response := tr.bytes(t, "client->server"), tr.bytes(t, "server->client")
			const items = 3
			cuts(t, response, func(what string, at int, reset bool) {
				rig.Play(b, len(request), func(st network.Stream) {
					_, _ = st.Write(response[:at])
					if reset {
						_ = st.Reset()
					}
				})
				if name == "multiply" {
					reply := 77
					err := c.Call(b.ID(), "Svc", "Multiply", &rig.Args{A: 2, B: 3}, &reply)
					if rpc.CodeOf(err) != codes.Unavailable || !rpc.IsClientError(err) || reply != 77 {
						t.Errorf("%s: got %d, %v", what, reply, err)
					}
					return
				}
				got, err := streamOf[rig.Quotient](t, c, b.ID(), &tr, rig.Args{A: 2, B: 3}, rig.Args{A: 6, B: 2}, rig.Args{A: 9, B: 5})
				// The end of v0.6's replies is that of the stream.
				whole := at % (len(response) / items)
				if fine := whole == 0 && !reset; (err == nil) != fine || !fine && rpc.CodeOf(err) != codes.Unavailable {
					t.Errorf("%s: got %v, %v", what, got, err)
				}
				for i, q := range got {
					if q != ([]rig.Quotient{{Quo: 0, Rem: 2}, {Quo: 3, Rem: 0}, {Quo: 1, Rem: 4}})[i] {
						t.Errorf("%s: got %v", what, got)
					}
				}
			})
			rig.Released(t, a, b)
		})
	}
}

// cuts calls f for every way a request can be cut short, and every place.
func cuts(t *testing.T, request []byte, f func(what string, at int, reset bool)) {
	t.Helper()
	for n := range len(request) {
		for _, reset := range []bool{true, false} {
			f(fmt.Sprintf("cut at %d, reset %v", n, reset), n, reset)
		}
	}
}

func recording(t *testing.T, name string) transcript {
	t.Helper()
	for _, tr := range transcripts(t) {
		if tr.Name == name {
			return tr
		}
	}
	t.Fatalf("no recording %s", name)
	return transcript{}
}

func TestRequestCutAtEveryByteLeavesTheServerHealthy(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, recorded{})
	c := rig.Wire.Client(t, a)
	const itemSize = 7
	for _, name := range []string{"multiply", "stream-3"} {
		tr := recording(t, name)
		request := tr.bytes(t, "client->server")
		cuts(t, request, func(what string, at int, reset bool) {
			st := rig.Open(t, a, b, rig.Protocol)
			rig.Write(t, st, request[:at])
			if reset {
				_ = st.Reset()
				return
			}
			_ = st.CloseWrite()
			got, err := io.ReadAll(st)
			if err != nil && !errors.Is(err, network.ErrReset) {
				t.Fatalf("%s: %s: %v", name, what, err)
			}
			if err != nil {
				return // the server has nothing to say
			}
			_ = st.Close()
			all := rig.Answers(t, got)
			whole := len(rig.Header("Svc", tr.Method))
			items := 0
			if name == "stream-3" {
				items = max(0, at-whole) / itemSize
			}
			failed := len(all) > 0 && all[len(all)-1].Error != ""
			ended := name == "stream-3" && at >= whole && (at-whole)%itemSize == 0
			if failed == ended || len(all) > items+1 {
				t.Errorf("%s: %s: %d items are there, the answer is %q", name, what, items, got)
			}
		})
	}
	rig.Multiplies(t, c, b.ID())
	rig.Released(t, a, b)
}
