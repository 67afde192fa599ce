package peers_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var update = flag.Bool("update", false, "write the tables of the documents")

// The kinds of connection, in the order of the table.
var connections = []struct{ name, addr string }{
	{"TCP", rig.Muxers["tcp"]},
	{"WebSocket", "/ip4/127.0.0.1/tcp/0/ws"},
	{"QUIC", rig.Muxers["quic"]},
	{"WebTransport", "/ip4/127.0.0.1/udp/0/quic-v1/webtransport"},
	{"WebRTC-direct", "/ip4/127.0.0.1/udp/0/webrtc-direct"},
	{"relayed (TCP)", ""},
}

// way is a way in which a peer can go.
type way struct {
	name   string
	happen func(*pair)
}

var ways = []way{
	{"closes its host", func(p *pair) { _ = p.b.Close() }},
	{"is killed", func(p *pair) { p.link.Kill() }},
	{"freezes, or the line is cut", func(p *pair) { p.link.Freeze() }},
	{"closes the connection (its connection manager trims)", func(p *pair) {
		for _, c := range p.b.Network().ConnsToPeer(p.a.ID()) {
			_ = c.CloseWithError(network.ConnGarbageCollected)
		}
	}},
	{"meets the relay's limit", func(p *pair) { go p.more() }},
}

// pair is two connected hosts, and calls of each carrier that wait for their replies.
type pair struct {
	a, b host.Host
	link *rig.Link // between them
	ends chan error
	more func() // sends more than the relay carries
}

func newPair(t *testing.T, addr string, silence time.Duration) *pair {
	p := &pair{ends: make(chan error, len(rig.Transports))}
	ctx := network.WithAllowLimitedConn(rig.Context(t), "test")
	if addr == "" {
		p.a, p.b, p.link = rig.RelayedWithin(t, 256<<10)
	} else {
		p.a, p.b = rig.NewHostOn(t, addr), rig.NewHostOn(t, addr)
		p.link = rig.NewLink(t, p.b)
		if err := p.a.Connect(ctx, peer.AddrInfo{ID: p.b.ID(), Addrs: []multiaddr.Multiaddr{p.link.Addr}}); err != nil {
			t.Fatal(addr, err)
		}
	}
	svc := &rig.Blocker{Started: make(chan struct{}), Ended: make(chan error, len(rig.Transports))}
	s := rig.Serve(t, p.b, svc)
	if err := s.RegisterName("Giver", rig.Giver{}); err != nil {
		t.Fatal(err)
	}
	for _, tr := range rig.Transports {
		if tr.Local {
			continue
		}
		c := tr.Client(t, p.a, rpc.WithClientLimits(rpc.Limits{SilenceTimeout: silence}))
		go func() { p.ends <- c.CallContext(ctx, p.b.ID(), "Svc", "Block", struct{}{}, new(int)) }()
		rig.Take(t, "a method runs", svc.Started)
		p.more = func() { _ = c.CallContext(ctx, p.b.ID(), "Giver", "Give", 1<<20, new([]byte)) }
	}
	return p
}

// TestWhatIsNoticed measures how long it takes until waiting calls end, and holds the
// table of docs/operating.md to it. On a machine that does other things beside it measures
// up to three times.
func TestWhatIsNoticed(t *testing.T) {
	for range 2 {
		if isInDocument(t, operating, noticed(t)) {
			return
		}
	}
	inDocument(t, operating, noticed(t))
}

const operating = "../../docs/operating.md"

// noticed returns the lines of the table.
func noticed(t *testing.T) []string {
	silence := rig.Slower(4 * time.Second)
	type cell struct {
		way, connection int
		words           string
	}
	cells := make(chan cell)
	running := 0
	for w := range ways {
		for c, conn := range connections {
			if w == len(ways)-1 && conn.addr != "" { // there is no relay
				continue
			}
			p := newPair(t, conn.addr, silence)
			running++
			go func() { cells <- cell{w, c, p.notice(t, ways[w], conn.name, silence)} }()
		}
	}
	lines := []string{"| The peer | " + strings.Join(names(), " | ") + " |", "| --- " + strings.Repeat("| --- ", len(connections)) + "|"}
	table := make([][]string, len(ways))
	for w := range ways {
		table[w] = slices.Repeat([]string{""}, len(connections))
	}
	for range running {
		c := rig.Take(t, "all calls end", cells)
		table[c.way][c.connection] = c.words
	}
	for w, row := range table {
		lines = append(lines, "| "+ways[w].name+" | "+strings.Join(row, " | ")+" |")
	}
	return lines
}

func names() (names []string) {
	for _, c := range connections {
		names = append(names, c.name)
	}
	return names
}

// notice lets it happen, and says when the calls have ended.
func (p *pair) notice(t *testing.T, w way, connection string, silence time.Duration) string {
	start := time.Now()
	w.happen(p)
	for range cap(p.ends) - 1 {
		select {
		case err := <-p.ends:
			if rpc.CodeOf(err) != codes.Unavailable {
				t.Errorf("%s, %s: a call ends with %v", w.name, connection, err)
			}
			if limited := connection == "relayed (TCP)"; limited && w.name == "meets the relay's limit" && !strings.Contains(fmt.Sprint(err), "limited") {
				t.Errorf("%s: no word of the relay: %v", w.name, err)
			}
		case <-time.After(3*silence + rig.Late):
			t.Errorf("%s, %s: a call has not ended", w.name, connection)
		}
	}
	took := time.Since(start)
	if w.name == "closes its host" && connection == "WebRTC-direct" && took < silence*5/4+rig.Late {
		return "at once, or by silence" // whether its last packets get out is chance
	}
	switch {
	case took < silence/2:
		return "at once"
	case took < silence*5/4+rig.Late:
		return "by silence"
	default:
		return fmt.Sprint("after ", took)
	}
}

// isInDocument reports whether the document has the lines of a table.
func isInDocument(t *testing.T, path string, lines []string) bool {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Contains(string(b), "\n"+strings.Join(lines, "\n")+"\n\n")
}

// inDocument fails the test unless the document has the lines of a table, or writes them:
// the first is where it begins.
func inDocument(t *testing.T, path string, lines []string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(string(b), "\n")
	at := slices.Index(all, lines[0])
	if at < 0 {
		t.Fatalf("%s has no table that begins with\n%s", path, lines[0])
	}
	end := at
	for end < len(all) && strings.HasPrefix(all[end], "|") {
		end++
	}
	if isInDocument(t, path, lines) {
		return
	}
	if !*update {
		t.Errorf("%s is to say (go test -run %s -update):\n%s", path, t.Name(), strings.Join(lines, "\n"))
		return
	}
	if err := os.WriteFile(path, []byte(strings.Join(slices.Replace(all, at, end, lines...), "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}
