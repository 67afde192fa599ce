package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/restapi"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/tracker"
)

// member is one of the five.
type member struct {
	name string
	host host.Host
	node *node.Node
	rest restapi.Client
}

// cast are the five peers of the story.
type cast struct {
	out     io.Writer
	begun   time.Time
	members []*member // those that are alive
	names   map[string]string
}

// story has five peers live through what a cluster is for.
func story(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	c := &cast{out: out, begun: time.Now(), names: make(map[string]string)}
	defer c.close()
	if err := c.start("anna", "bert", "carl", "dora", "emil"); err != nil {
		return err
	}
	leader, err := c.leader(ctx)
	if err != nil {
		return err
	}
	c.say("%s is elected the leader", leader.name)

	report := make([]byte, 3<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(report)
	pin, err := c.add(ctx, c.other(leader), "report.pdf", report)
	if err != nil {
		return err
	}
	if err := c.kill(ctx, leader); err != nil {
		return err
	}
	if leader, err = c.leader(ctx); err != nil {
		return err
	}
	c.say("%s is elected the leader, and the cluster goes on", leader.name)
	if err := c.whole(ctx, pin); err != nil {
		return err
	}
	if _, err := c.add(ctx, c.other(leader), "letter.txt", []byte("Dear all, nothing is lost.\n")); err != nil {
		return err
	}
	if err := c.readBack(ctx, pin, report); err != nil {
		return err
	}
	return errors.Join(c.listPeers(ctx, c.other(leader)), c.listPins(ctx, c.other(leader)))
}

// say prints a line of the story.
func (c *cast) say(format string, args ...any) {
	fmt.Fprintf(c.out, "%5.1fs  %s\n", time.Since(c.begun).Seconds(), fmt.Sprintf(format, args...))
}

// start makes the peers, which know the same secret and where the others are.
func (c *cast) start(names ...string) error {
	secret := node.NewSecret()
	var founders []peer.ID
	for _, name := range names {
		h, err := node.NewHost("/ip4/127.0.0.1/tcp/0", secret, "")
		if err != nil {
			return err
		}
		for _, m := range c.members {
			h.Peerstore().AddAddrs(m.host.ID(), m.host.Addrs(), peerstore.PermanentAddrTTL)
			m.host.Peerstore().AddAddrs(h.ID(), h.Addrs(), peerstore.PermanentAddrTTL)
		}
		c.members = append(c.members, &member{name: name, host: h})
		c.names[h.ID().String()] = name
		founders = append(founders, h.ID())
	}
	kinds := []string{tracker.Map, tracker.Stateless}
	for i, m := range c.members {
		var err error
		m.node, err = node.New(m.host, node.Config{
			Name: m.name, Tracker: kinds[i%2], Founders: founders, Interval: 500 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		m.rest.URL = m.node.URL()
		c.say("%s is there: a %s pin tracker, and %s", m.name, kinds[i%2], m.rest.URL)
	}
	return nil
}

func (c *cast) close() {
	for _, m := range c.members {
		if m.node != nil {
			_ = m.node.Close()
		}
		_ = m.host.Close()
	}
}

// leader waits until all the living agree on a living leader.
func (c *cast) leader(ctx context.Context) (leader *member, err error) {
	err = until(ctx, func() error {
		leader = nil
		for _, m := range c.members {
			p, err := api.Consensus.Leader.Call(ctx, m.node.Client(), "", api.Nothing{})
			if err != nil {
				return err
			}
			i := slices.IndexFunc(c.members, func(m *member) bool { return m.host.ID() == p })
			if i < 0 || leader != nil && leader != c.members[i] {
				return errors.New("there is no agreement on a leader")
			}
			leader = c.members[i]
		}
		return nil
	})
	return leader, err
}

// other returns a peer that is not the one given.
func (c *cast) other(than *member) *member {
	i := slices.Index(c.members, than)
	return c.members[(i+1)%len(c.members)]
}

// add adds a file at a peer, and waits until it is pinned where it is to be.
func (c *cast) add(ctx context.Context, at *member, name string, data []byte) (pin *restapi.Pin, err error) {
	c.say("%s is given %s, %d bytes", at.name, name, len(data))
	var last restapi.Added
	err = until(ctx, func() (err error) { // as soon as enough peers have been heard of
		pin, err = at.rest.Add(ctx, name, 3, bytes.NewReader(data), func(a restapi.Added) { last = a })
		return err
	})
	if err != nil {
		return nil, err
	}
	c.say("%s is stored, each block %d times, and its pin is agreed upon: %s", name, last.Stored/last.Blocks, pin.Cid)
	return pin, c.whole(ctx, pin)
}

// whole waits until as many peers as wanted keep a pin.
func (c *cast) whole(ctx context.Context, pin *restapi.Pin) error {
	return until(ctx, func() error {
		status, err := c.members[0].rest.Status(ctx, pin.Cid)
		if err != nil {
			return err
		}
		keep := c.keepers(status)
		if len(keep) < pin.Replicas {
			return fmt.Errorf("%s is pinned on %d peers", pin.Name, len(keep))
		}
		c.say("%s is pinned on %s", pin.Name, list(keep))
		return nil
	})
}

// keepers returns the names of the peers that keep a pin.
func (c *cast) keepers(status restapi.Status) (names []string) {
	for id, p := range status.Peers {
		if p.Status == api.Pinned {
			names = append(names, c.names[id])
		}
	}
	slices.Sort(names)
	return names
}

// kill has a peer vanish without a word.
func (c *cast) kill(ctx context.Context, m *member) error {
	c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
	c.say("%s, the leader, is killed", m.name)
	return errors.Join(m.host.Close(), m.node.Close(), ctx.Err())
}

// readBack reads a file from a peer that does not keep it.
func (c *cast) readBack(ctx context.Context, pin *restapi.Pin, want []byte) error {
	status, err := c.members[0].rest.Status(ctx, pin.Cid)
	if err != nil {
		return err
	}
	for _, m := range c.members {
		if slices.Contains(c.keepers(status), m.name) {
			continue
		}
		file, err := m.rest.Read(ctx, pin.Cid)
		if err != nil {
			return err
		}
		defer file.Close()
		got, err := io.ReadAll(file)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s is not what was added", pin.Name)
		}
		c.say("%s, who does not keep %s, reads it whole from the others", m.name, pin.Name)
		return nil
	}
	return errors.New("everybody keeps it")
}

// noAnswer is what both lists say of a peer that is dead.
const noAnswer = "does not answer"

func (c *cast) listPeers(ctx context.Context, at *member) error {
	peers, err := at.rest.Peers(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\n%s: peers ls\n", at.name)
	for _, p := range peers {
		if p.Error != "" {
			fmt.Fprintf(c.out, "  %-5s  %s  %s\n", c.names[p.ID], p.ID, noAnswer)
			continue
		}
		fmt.Fprintf(c.out, "  %-5s  %s  %-9s  %4d MiB free, follows %s\n", p.Name, p.ID, p.Tracker, p.Free>>20, c.names[p.Leader])
	}
	return nil
}

func (c *cast) listPins(ctx context.Context, at *member) error {
	pins, err := at.rest.StatusAll(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "\n%s: status\n", at.name)
	for _, pin := range pins {
		fmt.Fprintf(c.out, "  %-10s  %s\n", pin.Name, pin.Cid)
		var lines []string
		for id, p := range pin.Peers {
			state := string(p.Status)
			if p.Status == api.Unreachable {
				state = noAnswer
			}
			lines = append(lines, fmt.Sprintf("    %-5s  %s\n", c.names[id], state))
		}
		slices.Sort(lines)
		for _, line := range lines {
			fmt.Fprint(c.out, line)
		}
	}
	return nil
}

func list(names []string) string {
	var b bytes.Buffer
	for i, name := range names {
		switch {
		case i > 0 && i == len(names)-1:
			b.WriteString(" and ")
		case i > 0:
			b.WriteString(", ")
		}
		b.WriteString(name)
	}
	return b.String()
}

// until tries until it succeeds, or ctx ends.
func until(ctx context.Context, try func() error) error {
	ticks := time.NewTicker(50 * time.Millisecond)
	defer ticks.Stop()
	for {
		err := try()
		if err == nil {
			return nil
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
