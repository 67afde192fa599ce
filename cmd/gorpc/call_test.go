package main_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A unary method is called with JSON as people write it, from the command line, a file or
// standard input.
func TestCall(t *testing.T) {
	addr := shop(t)
	const id = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
	const arg = `{"ID": "9007199254740993", "Lines": [{"Item": "tea", "Quantity": 2}], "At": "2024-02-29T12:34:56Z",
		"For": "1m30s", "By": "` + id + `", "Note": "text:hello"}`
	file := filepath.Join(t.TempDir(), "order.json")
	if err := os.WriteFile(file, []byte(arg), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, r := range []result{
		gorpc(t, "call", addr, "Shop.Order", arg), gorpc(t, "call", addr, "Shop.Order", "@"+file), gorpcWith(t, arg, "call", addr, "Shop.Order", "-"),
		gorpc(t, "call", "-o", "json", addr, "Shop.Order", arg),
	} {
		r.wants(t, 0)
		var got struct {
			Order struct {
				ID    json.Number
				Lines []struct {
					Item     string
					Quantity int
				}
				At, For, By string
				Note        []byte
			}
			Total float64
		}
		if err := json.Unmarshal([]byte(r.out), &got); err != nil {
			t.Fatalf("%v: %s", err, r.out)
		}
		o := got.Order
		if o.ID != "9007199254740993" || got.Total != 3 || len(o.Lines) != 1 || o.Lines[0].Item != "tea" || o.By != id ||
			o.At != "2024-02-29T12:34:56Z" || o.For != "1m30s" || string(o.Note) != "hello" {
			t.Errorf("got %s", r.out)
		}
	}
	gorpc(t, "call", "-m", "trace=7f", addr, "Shop.Order", "{}").wants(t, 0, "trailer traced: 7f", `"Total": 0`)
	gorpc(t, "call", "--retries", "2", "--idempotent", addr, "Shop.Order").wants(t, 0, `"ID": 0`)
	r := gorpc(t, "call", addr, "Shop.Order", `{"ID": -1}`)
	r.wants(t, 15, `no such order\x1b[2J`, "id: negative")
	if strings.Contains(r.err, "\x1b") {
		t.Errorf("it writes control characters of a peer: %q", r.err)
	}
	gorpc(t, "call", "-o", "json", addr, "Shop.Order", `{"ID": -1}`).wants(t, 15, `{"error":{"code":"NotFound","details":{"id":"negative"},"message":`)
}

// What is wrong with an argument is told before it is sent.
func TestCallWithAWrongArgument(t *testing.T) {
	addr := shop(t)
	for arg, says := range map[string]string{
		`{"Id": 1}`: `a main_test.order has no field "Id"; it has ID, Lines`,
		`{"Lines": [{"Item": "tea"}, {"Quantity": 256}]}`: "Lines[1].Quantity: 256 does not fit into a uint8",
		`{"Lines": [{"Quantity": -1}]}`:                   "written as a whole number, not negative, and not as -1",
		`{"ID": 1.5}`:                                     "ID: a int64 is written as a whole number, and not as 1.5",
		`{"At": "yesterday"}`:                             `"yesterday" is no time.Time (as 2006-01-02T15:04:05Z)`,
		`{"By": "somebody"}`:                              "is no peer.ID (a peer ID)",
		`{"Note": "?"}`:                                   "hex: and text:",
		`{"Lines": {}}`:                                   "Lines: a []main_test.orderLine is written as an array, and not as {}",
		`[]`:                                              "is written as an object, and not as []",
		`{`:                                               "not JSON",
		`{} {}`:                                           "takes one argument",
	} {
		gorpc(t, "call", addr, "Shop.Order", arg).wants(t, 2, says)
	}
	gorpc(t, "call", addr, "Shop", "{}").wants(t, 2, "SERVICE.METHOD")
	gorpc(t, "call", addr, "Shop.None", "{}").wants(t, 15, "no method Shop.None")
	gorpc(t, "call", "-m", "x", addr, "Shop.Order", "{}").wants(t, 2, "key=value")
	gorpc(t, "call", addr, "Shop.Order", "@none.json").wants(t, 2, "no such file")
}

// A stream is JSON lines both ways.
func TestCallOfAStream(t *testing.T) {
	addr := shop(t)
	const want = "\"number 1\"\n\"number 2\"\n\"number 3\"\n"
	for _, r := range []result{
		gorpcWith(t, "1\n2\n3\n", "call", addr, "Shop.Count"), gorpc(t, "call", addr, "Shop.Count", "1", "2", "3"), gorpc(t, "call", addr, "Shop.Count", "1 2", "3"),
	} {
		r.wants(t, 0)
		if r.out != want {
			t.Errorf("got %q", r.out)
		}
	}
	gorpcWith(t, "1\n\"x\"\n", "call", addr, "Shop.Count").wants(t, 2, "argument 2: a int is written as a whole number")
}

// All is a value with every kind of type, which a method echoes.
type All struct {
	Bool   bool
	Int8   int8
	Uint64 uint64
	Float  float64
	Text   string
	Raw    []byte
	Four   [4]byte
	Three  [3]int
	By     map[string]int
	ByInt  map[int]string
	At     time.Time
	For    time.Duration
	Peer   peer.ID
	CID    cid.Cid
	Addr   multiaddr.Multiaddr
	Any    any
	Next   *All
}

// Every kind of type is read and shown in one form: what is shown can be sent again.
func TestValuesComeBackAsTheyAreWritten(t *testing.T) {
	h, addr := newHost(t)
	s := rpc.NewServer(h, shopProtocol, rpc.WithDescriptions(true))
	t.Cleanup(func() { _ = s.Close() })
	if err := rpc.NewMethod[All, All]("Svc", "Echo").Handle(s, func(_ context.Context, a All) (All, error) { return a, nil }); err != nil {
		t.Fatal(err)
	}
	const arg = `{"Bool": true, "Int8": -128, "Uint64": 18446744073709551615, "Float": 0.1, "Text": "<é>", "Raw": "AAH/", "Four": "AQIDBA==",
		"Three": [1, 2, 3], "By": {"a": 1, "b": 2}, "ByInt": {"-1": "x", "7": "y"}, "At": "2024-02-29T12:34:56.000000789Z", "For": "1h0m0.5s",
		"Peer": "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf", "CID": "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy",
		"Addr": "/ip4/127.0.0.1/tcp/1", "Any": {"n": 1, "s": "text", "l": [1.5, null]}, "Next": {"Text": "inner"}}`
	first := gorpc(t, "call", addr, "Svc.Echo", arg)
	first.wants(t, 0)
	second := gorpc(t, "call", addr, "Svc.Echo", first.out)
	if second.wants(t, 0); second.out != first.out {
		t.Errorf("got %s\nand then %s", first.out, second.out)
	}
	var sent, got map[string]any
	if json.Unmarshal([]byte(arg), &sent) != nil || json.Unmarshal([]byte(first.out), &got) != nil {
		t.Fatal(first.out)
	}
	for name, want := range sent {
		if name != "Next" && !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: sent %v, and got %v", name, want, got[name])
		}
	}
	if next := got["Next"].(map[string]any); next["Text"] != "inner" || next["Peer"] != "" || !strings.Contains(first.out, "18446744073709551615") {
		t.Errorf("got %s", first.out)
	}
	gorpc(t, "call", addr, "Svc.Echo", `{"Float": "NaN"}`).wants(t, 0, `"Float": "NaN"`)
}

// A peer without descriptions, of the plain protocol only, is called with JSON, too.
func TestCallOfAPlainPeer(t *testing.T) {
	h, addr := newHost(t)
	serveShop(t, h, shopProtocol, rpc.WithDescriptions(false))
	h.RemoveStreamHandler(shopProtocol + "/3")
	h.RemoveStreamHandler(shopProtocol + "/session/2")
	p := []string{"--protocol", string(shopProtocol)}
	run := func(args ...string) result { return gorpc(t, append(append([]string{"call"}, p...), args...)...) }
	run(addr, "Shop.Order", `{"ID": 3, "Lines": [{"Item": "tea", "Quantity": 2}]}`).wants(t, 0, "types are guessed", `"Item": "tea"`, `"Total": 3`)
	run("--stream", addr, "Shop.Count", "1", "2").wants(t, 0, "the method is streaming", "\"number 1\"\n\"number 2\"\n")
	run(addr, "Shop.None", "{}").wants(t, 22, "Shop")
	run(addr, "Shop.Order", `{"ID": "x"}`).wants(t, 13, "Shop.Order")
}

// A ping tells of the way to a peer.
func TestPing(t *testing.T) {
	_, addr := newHost(t, libp2p.UserAgent("shop\x1b/1"))
	r := gorpc(t, "ping", "-c", "2", "-i", "0s", addr)
	r.wants(t, 0, "directly, over tcp", "ping 2: ", "2 pings, ", `it is shop\x1b/1`)
	var told struct {
		Pings   []string
		Relayed bool
	}
	if err := json.Unmarshal([]byte(gorpc(t, "ping", "-o", "json", "-c", "1", addr).out), &told); err != nil || len(told.Pings) != 1 || told.Relayed {
		t.Errorf("got %+v, %v", told, err)
	}
	gorpc(t, "ping", "-c", "0", addr).wants(t, 2, "--count is 0")
}

// A peer that only a relay reaches is reached through it.
func TestRelay(t *testing.T) {
	between, relayAddr := newHost(t)
	r, err := relay.New(between)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	behind, err := libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = behind.Close() })
	serveShop(t, behind, shopProtocol)
	to := peer.AddrInfo{ID: between.ID(), Addrs: between.Addrs()}
	if err := behind.Connect(t.Context(), to); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Reserve(t.Context(), behind, to); err != nil {
		t.Fatal(err)
	}
	gorpc(t, "ping", "-c", "1", "--relay", relayAddr, behind.ID().String()).wants(t, 0, "through a relay")
	gorpc(t, "call", relayAddr+"/p2p-circuit/p2p/"+behind.ID().String(), "Shop.Order", `{"ID": 3}`).wants(t, 0, `"ID": 3`)
	gorpc(t, "ls", "--relay", relayAddr, behind.ID().String()).wants(t, 0, "Shop.Order")
}

// quiet is told of the peers that mDNS finds.
type quiet struct{}

func (quiet) HandlePeerFound(peer.AddrInfo) {}

// A peer of the local network is found by its ID alone, if it announces itself.
func TestMDNS(t *testing.T) {
	h, err := libp2p.New() // on all interfaces, as mDNS needs it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	serveShop(t, h, shopProtocol)
	_, absent := newHost(t)
	_, id, _ := strings.Cut(absent, "/p2p/")
	gorpc(t, "ls", "--timeout", "1m", id).wants(t, 24, "not found by mDNS", "give its multiaddr", "TCP and QUIC only")
	announced := mdns.NewMdnsService(h, "", quiet{})
	if err := announced.Start(); err != nil {
		t.Fatal(err)
	}
	gorpc(t, "ls", h.ID().String()).wants(t, 0, "Shop.Order")
	if err := announced.Close(); err != nil {
		t.Error(err)
	}
}
