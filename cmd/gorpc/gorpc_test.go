package main_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// binary is the command, built once.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "gorpc")
	if err == nil {
		binary = filepath.Join(dir, "gorpc")
		var out []byte
		if out, err = exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
			err = fmt.Errorf("%w: %s", err, out)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// result is what a command has done.
type result struct {
	code     int
	out, err string
}

// gorpc runs the command.
func gorpc(t *testing.T, args ...string) result { return gorpcWith(t, "", args...) }

func gorpcWith(t *testing.T, in string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(in), &out, &errs
	_ = cmd.Run()
	return result{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// wants fails the test if a command has not ended so, and said that.
func (r result) wants(t *testing.T, code int, says ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("it ends with %d, and not with %d:\n%s%s", r.code, code, r.out, r.err)
	}
	for _, s := range says {
		if !strings.Contains(r.out+r.err, s) {
			t.Errorf("it does not say %q:\n%s%s", s, r.out, r.err)
		}
	}
}

const shopProtocol protocol.ID = "/shop/1.0"

type (
	order struct {
		ID    int64
		Lines []orderLine
		At    time.Time
		For   time.Duration
		By    peer.ID
		Note  []byte
	}
	orderLine struct {
		Item     string
		Quantity uint8
	}
	receipt struct {
		Order order
		Total float64
	}
	orderChanged struct {
		ID    string
		Lines []orderLine
	}
)

var (
	orderMethod = rpc.NewMethod[order, receipt]("Shop", "Order")
	changed     = rpc.NewMethod[orderChanged, receipt]("Shop", "Order")
	countMethod = rpc.NewDuplex[int, string]("Shop", "Count")
)

// newHost returns a host, and the multiaddr of it as a command takes it.
func newHost(t testing.TB, opts ...libp2p.Option) (host.Host, string) {
	t.Helper()
	h, err := libp2p.New(append([]libp2p.Option{libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	return h, h.Addrs()[0].String() + "/p2p/" + h.ID().String()
}

// shop serves two methods on a new host.
func shop(t testing.TB, opts ...rpc.ServerOption) string {
	t.Helper()
	h, addr := newHost(t)
	serveShop(t, h, shopProtocol, opts...)
	return addr
}

func serveShop(t testing.TB, h host.Host, p protocol.ID, opts ...rpc.ServerOption) {
	t.Helper()
	s := rpc.NewServer(h, p, append([]rpc.ServerOption{
		rpc.WithDescriptions(true),
		rpc.WithMethodConfig(orderMethod.ID(), rpc.MethodConfig{Doc: "Order takes an order.\x1b[2J", MessageSize: 1 << 10, Timeout: time.Minute}),
	}, opts...)...)
	t.Cleanup(func() { _ = s.Close() })
	if err := orderMethod.Handle(s, func(ctx context.Context, o order) (receipt, error) {
		r := receipt{Order: o}
		if md := rpc.MetadataFromContext(ctx); md["trace"] != "" {
			_ = rpc.SetTrailer(ctx, rpc.Metadata{"traced": md["trace"]})
		}
		for _, l := range o.Lines {
			r.Total += float64(l.Quantity) * 1.5
		}
		if o.ID < 0 {
			return r, &rpc.Error{Code: 5, Message: "no such order\x1b[2J", Details: map[string]string{"id": "negative"}}
		}
		return r, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := countMethod.Handle(s, func(ctx context.Context, in *rpc.Receiver[int], out *rpc.Sender[string]) error {
		for n, err := range in.All(ctx) {
			if err == nil {
				err = out.Send(ctx, fmt.Sprint("number ", n))
			}
			if err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// What a peer serves is listed, and described with all its types, for people and for
// programs.
func TestLookingAtAPeer(t *testing.T) {
	addr := shop(t)
	ls := gorpc(t, "ls", addr)
	ls.wants(t, 0, "Shop.Count", "streaming", "Shop.Order", "unary", "(main_test.order)", "main_test.receipt", `Order takes an order.\x1b[2J`, "2 methods, hash ")
	if strings.Contains(ls.out, "\x1b") {
		t.Errorf("it writes control characters of a peer: %q", ls.out)
	}
	var listed struct {
		Hash    string
		Methods []struct{ Method, Kind, Args, Reply string }
	}
	if err := json.Unmarshal([]byte(gorpc(t, "ls", "-o", "json", addr).out), &listed); err != nil || len(listed.Methods) != 2 || listed.Methods[1].Method != "Shop.Order" {
		t.Errorf("got %+v, %v", listed, err)
	}
	gorpc(t, "describe", addr, "Shop.Order").wants(t, 0,
		"Shop.Order (unary)", "argument  main_test.order", "Lines  []main_test.orderLine", "Quantity  uint8", "a peer ID", "1m0s a call", "1024 bytes a message")
	described := gorpc(t, "describe", "-o", "json", addr)
	described.wants(t, 0)
	d, err := describe.Read([]byte(described.out))
	if err != nil || d.Hash() != listed.Hash {
		t.Errorf("got %v, hash %s and %s", err, d.Hash(), listed.Hash)
	}
	gorpc(t, "describe", addr, "Shop.None").wants(t, 15, "no service or method Shop.None")
}

// Commands end with the code of what is wrong, and say what to try.
func TestExitCodes(t *testing.T) {
	addr := shop(t)
	plain := shop(t, rpc.WithDescriptions(false))
	denied := shop(t, rpc.WithAuthorizeFunc(func(peer.ID, string, string) bool { return false }))
	h, both := newHost(t)
	serveShop(t, h, "/one/1.0")
	serveShop(t, h, "/two/1.0")
	_, none := newHost(t)
	gone, lost := newHost(t)
	_ = gone.Close()
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{0, "Usage:", []string{"--help"}},
		{0, "24  Unavailable", []string{"exit-codes", "--help"}},
		{0, "bash completion", []string{"completion", "bash"}},
		{2, "unknown command", []string{"lst"}},
		{2, "gorpc ls --help", []string{"ls"}},
		{2, "unknown flag", []string{"ls", "--none", addr}},
		{2, "text or json", []string{"ls", "-o", "xml", addr}},
		{2, "neither a multiaddr", []string{"ls", "nobody"}},
		{2, "ends with /p2p/", []string{"ls", "/ip4/127.0.0.1/tcp/1"}},
		{2, "--protocol, one of /", []string{"ls", both}},
		{0, "Shop.Order", []string{"ls", "--protocol", "/two/1.0", both}},
		{2, "announces no protocol", []string{"ls", none}},
		{17, "--key", []string{"ls", denied}},
		{22, "WithDescriptions", []string{"ls", plain}},
		{22, "package health", []string{"health", addr}},
		{22, "package debug", []string{"top", "--count", "1", addr}},
		{0, "the call took ", []string{"call", addr, "Shop.Order", "{}"}},
		{24, "cannot reach peer", []string{"ls", lost}},
		{14, "--timeout", []string{"ls", "--timeout", "1ns", addr}},
		{2, "no such file", []string{"ls", "--key", "none", addr}},
		{2, "no such file", []string{"breaking", "none.json", addr}},
	} {
		gorpc(t, c.args...).wants(t, c.code, c.says)
	}
}

// A key says who asks, and a private network's key that one belongs to it.
func TestKeys(t *testing.T) {
	key, _, err := crypto.GenerateEd25519Key(nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id, err := peer.IDFromPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	addr := shop(t, rpc.WithAuthorizeFunc(func(p peer.ID, _, method string) bool { return p == id && method != "Count" }))
	dir := t.TempDir()
	for name, content := range map[string][]byte{"raw": raw, "text": []byte(base64.StdEncoding.EncodeToString(raw) + "\n")} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		gorpc(t, "ls", "--key", file, addr).wants(t, 0, "Shop.Order", "1 methods")
	}
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("my secret words"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := gorpc(t, "ls", "--key", bad, addr)
	r.wants(t, 2, "no private key")
	if strings.Contains(r.err, "secret") {
		t.Errorf("it tells what is in the file: %s", r.err)
	}
	psk := make([]byte, 32)
	h, private := newHost(t, libp2p.PrivateNetwork(psk))
	serveShop(t, h, shopProtocol)
	file := filepath.Join(dir, "psk")
	if err := os.WriteFile(file, fmt.Appendf(nil, "/key/swarm/psk/1.0.0/\n/base16/\n%064x\n", 0), 0o600); err != nil {
		t.Fatal(err)
	}
	gorpc(t, "ls", "--psk", file, private).wants(t, 0, "Shop.Order")
	gorpc(t, "ls", private).wants(t, 24, "cannot reach peer")
}

// What breaks peers of a version before is found between files, and between a file and a
// peer.
func TestBreaking(t *testing.T) {
	addr := shop(t)
	h, other := newHost(t)
	s := rpc.NewServer(h, shopProtocol, rpc.WithDescriptions(true))
	t.Cleanup(func() { _ = s.Close() })
	if err := changed.Handle(s, func(context.Context, orderChanged) (receipt, error) { return receipt{}, nil }); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	old, now, bad := filepath.Join(dir, "old.json"), filepath.Join(dir, "new.json"), filepath.Join(dir, "bad.json")
	for file, content := range map[string]string{
		old: gorpc(t, "describe", "-o", "json", addr).out, now: gorpc(t, "describe", "-o", "json", other).out, bad: "{",
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const broken = "breaking: Shop.Order: argument.ID: the old version sends int64 (a number), and the new version takes string; give"
	for _, to := range []string{now, other} {
		gorpc(t, "breaking", old, to).wants(t, 1, broken, "breaking: Shop.Count: the method is gone", "3 changes, 3 of them breaking")
	}
	gorpc(t, "breaking", addr, other).wants(t, 1, broken, "lets anybody call")
	gorpc(t, "breaking", old, old).wants(t, 0, "0 changes")
	gorpc(t, "breaking", old, addr).wants(t, 0, "0 changes")
	gorpc(t, "breaking", old, bad).wants(t, 2, "bad.json", "no description")
	var changes describe.Changes
	r := gorpc(t, "breaking", "-o", "json", old, now)
	r.wants(t, 1)
	if err := json.Unmarshal([]byte(r.out), &changes); err != nil || len(changes.Breaking()) != 3 {
		t.Errorf("got %v, %v", changes, err)
	}
}
