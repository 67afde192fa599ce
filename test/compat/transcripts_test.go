package compat_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// transcript is one recorded conversation of v0.6 with itself.
type transcript struct {
	Name      string
	Kind      string
	Service   string
	Method    string
	Reply     string `json:"reply_json"`
	Error     string
	ErrorKind string `json:"error_kind"`
	Events    []struct{ Dir, Hex string }
}

// bytes returns what was sent in the given direction.
func (tr *transcript) bytes(t *testing.T, dir string) []byte {
	var all []byte
	for _, e := range tr.Events {
		if e.Dir == dir {
			b, err := hex.DecodeString(e.Hex)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, b...)
		}
	}
	return all
}

// okResponse is the header of a reply without error.
func (tr *transcript) okResponse() []byte {
	b := append([]byte("\x81\xa7Service\x82\xa4Name"), 0xa0|byte(len(tr.Service)))
	b = append(append(b, tr.Service...), "\xa6Method"...)
	return append(append(b, 0xa0|byte(len(tr.Method))), tr.Method...)
}

func (tr *transcript) has(dir string) bool {
	for _, e := range tr.Events {
		if e.Dir == dir {
			return true
		}
	}
	return false
}

func transcripts(t *testing.T) []transcript {
	b, err := os.ReadFile("testdata/transcripts.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []transcript }
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 50 {
		t.Fatalf("only %d recorded cases", len(file.Cases))
	}
	return file.Cases
}

// ownWords are the cases in which the server cannot decode the argument. v0.6
// answers with its codec's text; this library names the method and the types.
var ownWords = map[string]string{
	"wrong-arg-type":   "takes int64, not a msgpack string",
	"wrong-arg-struct": "takes *rig.Args, not a msgpack string",
}

// The recorded client talks to our server.
func TestTranscriptsServer(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	serveRecorded(t, b)
	talksToServer(t, func(t *testing.T) network.Stream {
		st, err := a.NewStream(rig.Context(t), b.ID(), rig.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		return st
	})
}

// talksToServer plays all recorded clients on streams of the server's.
func talksToServer(t *testing.T, open func(*testing.T) network.Stream) {
	for _, tr := range transcripts(t) {
		t.Run(tr.Name, func(t *testing.T) {
			st := open(t)
			defer st.Reset()
			_ = st.SetDeadline(time.Now().Add(20 * time.Second))
			if _, err := st.Write(tr.bytes(t, "client->server")); err != nil {
				t.Fatal(err)
			}
			if tr.has("client:close-write") {
				_ = st.CloseWrite()
			}
			want := tr.bytes(t, "server->client")
			got, err := io.ReadAll(st) // our server ends every conversation
			if err != nil {
				t.Fatal(err)
			}
			if words, ok := ownWords[tr.Name]; ok {
				checkOwnWords(t, got, words)
			} else if tr.Name == "addrinfo" {
				// Multiaddr was an interface in v0.6's days, and could not be
				// decoded; it is a type now, and the echo succeeds.
				ok, args := tr.okResponse(), tr.bytes(t, "client->server")
				if !bytes.HasPrefix(got, ok) || !bytes.HasSuffix(args, got[len(ok):]) {
					t.Fatalf("no echo of the argument: %x", got)
				}
			} else if !bytes.Equal(got, want) {
				t.Fatalf("the server says\n%x, v0.6\n%x", got, want)
			}
		})
	}
}

// serveRecorded serves what the recorded clients call.
func serveRecorded(t *testing.T, h host.Host) {
	s := rig.NewServer(t, h, rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool {
		return method != "Denied"
	}))
	t.Cleanup(func() { _ = s.Close() })
	if err := s.RegisterName("Svc", recorded{}); err != nil {
		t.Fatal(err)
	}
}

// checkOwnWords checks an answer whose text is not v0.6's: a server error and
// a nil reply.
func checkOwnWords(t *testing.T, got []byte, words string) {
	t.Helper()
	if got[0]&0xf0 != 0x80 || !bytes.Contains(got, append([]byte("\xa7ErrType"), 1)) || got[len(got)-1] != 0xc0 {
		t.Fatalf("no server error with a nil reply: %x", got)
	}
	if !bytes.Contains(got, []byte(words)) {
		t.Fatalf("%q does not say %q", got, words)
	}
}

// The recorded server talks to our client.
func TestTranscriptsClient(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	talksToClient(t, rig.Client(t, a), b, func() {})
}

// talksToClient has b be all recorded servers, and calls them. before is called
// before each.
func talksToClient(t *testing.T, c *rpc.Client, b host.Host, before func()) {
	for _, tr := range transcripts(t) {
		t.Run(tr.Name, func(t *testing.T) {
			sent := make(chan []byte, 1)
			want := tr.bytes(t, "client->server")
			b.SetStreamHandler(rig.Protocol, func(st network.Stream) {
				defer st.Close()
				if tr.Kind == "stream" { // which ends with the client's half-close
					got, _ := io.ReadAll(st)
					sent <- got
				} else { // which does not end
					got := make([]byte, len(want))
					_, _ = io.ReadFull(st, got)
					sent <- got
				}
				_, _ = st.Write(tr.bytes(t, "server->client"))
			})
			before()
			reply, err := replay(t, c, b.ID(), &tr)
			if got := <-sent; !bytes.Equal(got, want) {
				t.Fatalf("the client says\n%x, v0.6\n%x", got, want)
			}
			checkError(t, &tr, err)
			if got, _ := json.Marshal(reply); string(got) != tr.Reply {
				t.Fatalf("reply %s, v0.6 got %s", got, tr.Reply)
			}
		})
	}
}

func checkError(t *testing.T, tr *transcript, err error) {
	t.Helper()
	if tr.Error == "" {
		if err != nil {
			t.Fatal(err)
		}
		return
	}
	// What comes from the library, and not from the method, says also whose it is.
	if err == nil || err.Error() != tr.Error && !(rpc.IsRPCError(err) && strings.HasPrefix(err.Error(), tr.Error+" (")) {
		t.Fatalf("error %v, v0.6 got %q", err, tr.Error)
	}
	is := map[string]bool{
		"non-rpc":       !rpc.IsRPCError(err),
		"server":        rpc.IsServerError(err),
		"client":        rpc.IsClientError(err),
		"authorization": rpc.IsAuthorizationError(err),
	}
	if !is[tr.ErrorKind] {
		t.Fatalf("%v is not of kind %s", err, tr.ErrorKind)
	}
}

// replay makes the call that was recorded.
func replay(t *testing.T, c *rpc.Client, dest peer.ID, tr *transcript) (any, error) {
	if tr.Kind == "stream" {
		return replayStream(t, c, dest, tr)
	}
	args, reply := recordedCall(t, tr)
	err := c.Call(dest, tr.Service, tr.Method, args, reply)
	return reflect.ValueOf(reply).Elem().Interface(), err
}

func replayStream(t *testing.T, c *rpc.Client, dest peer.ID, tr *transcript) (any, error) {
	switch tr.Name {
	case "stream-3":
		return streamOf[rig.Quotient](t, c, dest, tr, rig.Args{A: 2, B: 3}, rig.Args{A: 6, B: 2}, rig.Args{A: 9, B: 5})
	case "stream-error":
		return streamOf[rig.Quotient](t, c, dest, tr, rig.Args{A: 2, B: 0})
	case "stream-pointers":
		return streamOf[*rig.Quotient](t, c, dest, tr, &rig.Args{A: 7, B: 2})
	case "stream-strings":
		return streamOf[struct{}](t, c, dest, tr, []string{"a", "b"})
	case "stream-silent":
		return streamOf[int](t, c, dest, tr, 1, 2)
	case "stream-0", "stream-unknown", "stream-denied":
		return streamOf[rig.Quotient, rig.Args](t, c, dest, tr)
	}
	t.Fatalf("no arguments known for %s", tr.Name)
	return nil, nil
}

func streamOf[R, A any](t *testing.T, c *rpc.Client, dest peer.ID, tr *transcript, items ...A) ([]R, error) {
	args, replies := make(chan A, len(items)), make(chan R, 10)
	for _, it := range items {
		args <- it
	}
	close(args)
	err := c.Stream(context.Background(), dest, // a deadline would be one more key
		tr.Service, tr.Method, args, replies)
	got := []R{}
	for r := range replies {
		got = append(got, r)
	}
	return got, err
}

// recordedCall returns the argument and a place for the reply of a recorded
// unary call.
func recordedCall(t *testing.T, tr *transcript) (args, reply any) {
	length := func() int {
		var n int
		for _, c := range tr.Name[strings.IndexByte(tr.Name, '-')+1:] {
			n = 10*n + int(c-'0')
		}
		return n
	}
	switch base, _, _ := strings.Cut(tr.Name, "-"); base {
	case "string":
		return strings.Repeat("x", length()), new(string)
	case "bytes":
		return make([]byte, length()), new([]byte)
	case "int":
		var n int64
		if err := json.Unmarshal([]byte(tr.Reply), &n); err != nil {
			t.Fatal(err)
		}
		return n, new(int64)
	}
	id, err := peer.Decode("12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 2, 29, 12, 34, 56, 789e6, time.UTC)
	c := cid.MustParse("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi")
	switch tr.Name {
	case "multiply":
		return &rig.Args{A: 2, B: 3}, new(int)
	case "divide":
		return rig.Args{A: 20, B: 6}, new(rig.Quotient)
	case "divide-by-zero":
		return rig.Args{A: 20, B: 0}, new(rig.Quotient)
	case "reply-and-error":
		return 1, new(int)
	case "any-reply":
		return struct{}{}, new(any)
	case "nothing", "denied", "unknown-service", "unknown-method":
		return struct{}{}, new(struct{})
	case "float":
		return 3.25, new(float64)
	case "bool":
		return true, new(bool)
	case "map-1":
		return map[string]int{"a": 1}, new(map[string]int)
	case "slice":
		return []string{"a", "bc"}, new([]string)
	case "nil-slice":
		return []string(nil), new([]string)
	case "peer":
		return id, new(peer.ID)
	case "peers":
		return []peer.ID{id, id}, new([]peer.ID)
	case "cid":
		return c, new(cid.Cid)
	case "time":
		return at, new(time.Time)
	case "addrinfo":
		return peer.AddrInfo{ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/127.0.0.1/tcp/4001")}}, new(peer.AddrInfo)
	case "everything":
		return Everything{
			S: "s", Bytes: []byte{1, 2, 3}, I8: -5, U64: 1 << 63, F: 0.5, Bool: true,
			In: Inner{"n", []string{"t"}, map[string]int{"k": 7}}, List: make([]Inner, 1),
			Cid: c, Peer: id, Time: at, Any: "any",
		}, new(Everything)
	case "wrong-arg-type":
		return "x", new(int64)
	case "wrong-arg-struct":
		return "x", new(int)
	}
	t.Fatalf("no argument known for %s", tr.Name)
	return nil, nil
}

type Inner struct {
	Name string
	Tags []string
	M    map[string]int
}

type Everything struct {
	S     string
	Bytes []byte
	I8    int8
	U64   uint64
	F     float64
	Bool  bool
	Nil   *Inner
	In    Inner
	List  []Inner
	Cid   cid.Cid
	Peer  peer.ID
	Time  time.Time
	Any   any
	Opt   string `codec:",omitempty"`
	Short string `codec:"s,omitempty"`
}

// recorded has the methods that the recorded server had.
type recorded struct{ rig.Arith }

func (recorded) Nothing(ctx context.Context, in struct{}, out *struct{}) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) Denied(ctx context.Context, in struct{}, out *struct{}) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) Any(_ context.Context, _ struct{}, out *any) error {
	*out = "x"
	return nil
}

func (recorded) EchoString(ctx context.Context, in string, out *string) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoBytes(ctx context.Context, in []byte, out *[]byte) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoInt(ctx context.Context, in int64, out *int64) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoFloat(ctx context.Context, in float64, out *float64) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoBool(ctx context.Context, in bool, out *bool) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoMap(ctx context.Context, in map[string]int, out *map[string]int) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoSlice(ctx context.Context, in []string, out *[]string) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoPeer(ctx context.Context, in peer.ID, out *peer.ID) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoPeers(ctx context.Context, in []peer.ID, out *[]peer.ID) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoCid(ctx context.Context, in cid.Cid, out *cid.Cid) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoTime(ctx context.Context, in time.Time, out *time.Time) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoAddrInfo(ctx context.Context, in peer.AddrInfo, out *peer.AddrInfo) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) EchoEverything(ctx context.Context, in Everything, out *Everything) error {
	return rig.Echo(ctx, in, out)
}

func (recorded) DividesP(_ context.Context, in <-chan *rig.Args, out chan<- *rig.Quotient) error {
	defer close(out)
	for a := range in {
		out <- &rig.Quotient{Quo: a.A / a.B, Rem: a.A % a.B}
	}
	return nil
}

func (recorded) Strings(_ context.Context, in <-chan []string, out chan<- struct{}) error {
	defer close(out)
	for v := range in {
		if len(v) != 2 {
			return errors.New("two strings were sent")
		}
		out <- struct{}{}
	}
	return nil
}

func (recorded) Silent(_ context.Context, in <-chan int, out chan<- int) error {
	defer close(out)
	for range in {
	}
	return nil
}
