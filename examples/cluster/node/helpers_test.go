package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/net/conngater"
	"go.uber.org/goleak"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/restapi"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/tracker"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const anywhere = "/ip4/127.0.0.1/tcp/0"

// member is a peer under test.
type member struct {
	*node.Node
	host   host.Host
	gater  *conngater.BasicConnectionGater
	rest   restapi.Client
	killed bool
}

// kill makes a peer vanish without a word.
func (m *member) kill() {
	if !m.killed {
		m.killed = true
		_ = m.host.Close()
		_ = m.Close()
	}
}

// newHost returns a host that knows the secret, and where the given hosts are,
// which it tells where it is.
func newHost(t *testing.T, secret string, know ...host.Host) (host.Host, *conngater.BasicConnectionGater) {
	t.Helper()
	gater, err := conngater.NewBasicConnectionGater(nil)
	if err != nil {
		t.Fatal(err)
	}
	h, err := node.NewHost(anywhere, secret, "", libp2p.ConnectionGater(gater))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	for _, other := range know {
		h.Peerstore().AddAddrs(other.ID(), other.Addrs(), peerstore.PermanentAddrTTL)
		other.Peerstore().AddAddrs(h.ID(), h.Addrs(), peerstore.PermanentAddrTTL)
	}
	return h, gater
}

// newMember starts a peer with the times that tests use.
func newMember(t *testing.T, h host.Host, gater *conngater.BasicConnectionGater, cfg node.Config) *member {
	t.Helper()
	cfg.Interval, cfg.Timeout = 300*time.Millisecond, 500*time.Millisecond
	n, err := node.New(h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	m := &member{Node: n, host: h, gater: gater, rest: restapi.Client{URL: n.URL()}}
	t.Cleanup(m.kill)
	return m
}

// newCluster starts n peers, with both kinds of tracker among them, and waits
// until they have a leader and have heard of each other. configure, if it is
// not nil, is called for each.
func newCluster(t *testing.T, n int, configure func(i int, cfg *node.Config)) []*member {
	t.Helper()
	secret := node.NewSecret()
	var hosts []host.Host
	var gaters []*conngater.BasicConnectionGater
	var founders []peer.ID
	for range n {
		h, g := newHost(t, secret, hosts...)
		hosts, gaters, founders = append(hosts, h), append(gaters, g), append(founders, h.ID())
	}
	var members []*member
	for i, h := range hosts {
		cfg := node.Config{Name: fmt.Sprint("peer", i), Founders: founders}
		cfg.Tracker = []string{tracker.Map, tracker.Stateless}[i%2]
		if configure != nil {
			configure(i, &cfg)
		}
		members = append(members, newMember(t, h, gaters[i], cfg))
	}
	waitLeader(t, members)
	waitHeard(t, members, n)
	return members
}

// testContext ends with the test, and before it would be taken for hung.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// until tries until it succeeds.
func until(t *testing.T, try func(context.Context) error) {
	t.Helper()
	ctx := testContext(t)
	ticks := time.NewTicker(20 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// waitLeader waits until the members agree on one of them, and returns it and
// the others.
func waitLeader(t *testing.T, members []*member) (leader *member, followers []*member) {
	t.Helper()
	until(t, func(ctx context.Context) error {
		leader = nil
		for _, m := range members {
			p, err := api.Consensus.Leader.Call(ctx, m.Client(), "", api.Nothing{})
			if err != nil {
				return err
			}
			i := slices.IndexFunc(members, func(m *member) bool { return m.ID() == p })
			if i < 0 || leader != nil && members[i] != leader {
				return errors.New("no agreement on a leader")
			}
			leader = members[i]
		}
		return nil
	})
	for _, m := range members {
		if m != leader {
			followers = append(followers, m)
		}
	}
	return leader, followers
}

// waitHeard waits until all members have heard of n living ones.
func waitHeard(t *testing.T, members []*member, n int) {
	t.Helper()
	for _, m := range members {
		until(t, func(ctx context.Context) error {
			metrics, err := api.Monitor.Metrics.Call(ctx, m.Client(), "", api.Nothing{})
			metrics = slices.DeleteFunc(metrics, func(m api.Metric) bool { return m.Expired })
			if err == nil && len(metrics) != n {
				err = fmt.Errorf("%d peers are alive, want %d", len(metrics), n)
			}
			return err
		})
	}
}

// including lets there be more pins than waitPins is told.
const including = true

// waitPins waits until the members have these pins, and no others.
func waitPins(t *testing.T, members []*member, want []cid.Cid, more ...bool) {
	t.Helper()
	for _, m := range members {
		until(t, func(ctx context.Context) error {
			pins, err := api.Consensus.Pins.Call(ctx, m.Client(), "", api.Nothing{})
			if err != nil {
				return err
			}
			got := make(map[cid.Cid]bool)
			for _, pin := range pins {
				got[pin.Cid] = true
			}
			for _, root := range want {
				if !got[root] {
					return fmt.Errorf("%v is not pinned", root)
				}
				delete(got, root)
			}
			if len(more) == 0 && len(got) > 0 {
				return fmt.Errorf("%d more pins", len(got))
			}
			return nil
		})
	}
}

// waitPinned waits until, by what the member says, n peers keep a DAG, and
// returns them.
func waitPinned(t *testing.T, m *member, root string, n int) (keepers []string) {
	t.Helper()
	until(t, func(ctx context.Context) error {
		status, err := m.rest.Status(ctx, root)
		if err != nil {
			return err
		}
		keepers = nil
		for id, p := range status.Peers {
			if p.Status == api.Pinned {
				keepers = append(keepers, id)
			}
		}
		if len(keepers) != n {
			return fmt.Errorf("pinned on %d peers, want %d: %v", len(keepers), n, status)
		}
		return nil
	})
	return keepers
}

// add adds a file at a member.
func add(t *testing.T, m *member, name string, replicas int, data io.ReadSeeker) *restapi.Pin {
	t.Helper()
	var pin *restapi.Pin
	until(t, func(ctx context.Context) (err error) {
		if _, err := data.Seek(0, io.SeekStart); err != nil {
			return err
		}
		pin, err = m.rest.Add(ctx, name, replicas, io.NopCloser(data), nil)
		return err
	})
	return pin
}

// randomFile returns the same bytes for the same seed.
func randomFile(seed byte, size int) []byte {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data)
	return data
}

// read reads a file at a member.
func read(t *testing.T, m *member, root string) []byte {
	t.Helper()
	file, err := m.rest.Read(testContext(t), root)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	data, err := io.ReadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decode(t *testing.T, root string) cid.Cid {
	t.Helper()
	id, err := cid.Decode(root)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// text is a small file of its own.
func text(format string, args ...any) *strings.Reader {
	return strings.NewReader(fmt.Sprintf(format, args...))
}

func sameBytes(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Fatalf("%d bytes, want %d, or others", len(got), len(want))
	}
}
