// Symmetric is two peers that are each a server and a client of the other,
// under a policy that says who may call what.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const protocol = "/examples/symmetric/1.0"

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "symmetric:", err)
		os.Exit(1)
	}
}

// node is one peer: a host, what it serves, and a client for its own methods
// and for those of others.
type node struct {
	name   string
	host   host.Host
	server *rpc.Server
	client *rpc.Client
}

func (n *node) close() {
	_ = n.client.Close()
	_ = n.server.Close()
	_ = n.host.Close()
}

// newNode starts a peer whose policy allows everyone the methods of open, and
// nobody else's calls.
func newNode(name string, names *sync.Map, open ...string) (*node, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
	if err != nil {
		return nil, err
	}
	allowed := make(map[string]bool)
	for _, method := range open {
		allowed[method] = true
	}
	policy := func(_ peer.ID, svc, method string) bool { return allowed[svc+"."+method] }
	s := rpc.NewServer(h, protocol, rpc.WithAuthorizeFunc(policy))
	n := &node{name, h, s, rpc.NewClientWithServer(h, protocol, s)}
	names.Store(h.ID(), name)
	if err := s.Register(&Notes{names: names}); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	names := new(sync.Map) // who is behind a peer ID
	// Everybody may read from both; only alice lets others write.
	alice, err := newNode("alice", names, "Notes.Read", "Notes.Write")
	if err != nil {
		return err
	}
	defer alice.close()
	bob, err := newNode("bob", names, "Notes.Read")
	if err != nil {
		return err
	}
	defer bob.close()
	if err := alice.host.Connect(ctx, peer.AddrInfo{ID: bob.host.ID(), Addrs: bob.host.Addrs()}); err != nil {
		return err
	}
	return story(ctx, out, alice, bob)
}

func story(ctx context.Context, out io.Writer, alice, bob *node) error {
	write := func(from, to *node, text string) error {
		var n int
		err := from.client.CallContext(ctx, to.host.ID(), "Notes", "Write", text, &n)
		switch {
		case rpc.IsAuthorizationError(err):
			fmt.Fprintf(out, "%s writes to %s: refused (%v)\n", from.name, to.name, rpc.CodeOf(err))
			return nil
		case err != nil:
			return err
		}
		fmt.Fprintf(out, "%s writes to %s: note %d\n", from.name, to.name, n)
		return nil
	}
	// The same line of code for one's own peer, which is asked directly and
	// under no policy, and for the other.
	err := errors.Join(
		write(alice, alice, "buy bread"),
		write(bob, alice, "buy butter"),
		write(bob, bob, "sleep"),
		write(alice, bob, "wake up"),
	)
	if err != nil {
		return err
	}
	return readAll(ctx, out, bob, alice, bob)
}

// readAll asks several peers at once, each with its own time.
func readAll(ctx context.Context, out io.Writer, reader *node, from ...*node) error {
	ctxs := make([]context.Context, len(from))
	dests := make([]peer.ID, len(from))
	notes := make([][]Note, len(from))
	replies := make([]any, len(from))
	for i, n := range from {
		c, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		ctxs[i], dests[i], replies[i] = c, n.host.ID(), &notes[i]
	}
	errs := reader.client.MultiCall(ctxs, dests, "Notes", "Read", struct{}{}, replies)
	for i, n := range from {
		if errs[i] != nil {
			return fmt.Errorf("reading from %s: %w", n.name, errs[i])
		}
		for _, note := range notes[i] {
			fmt.Fprintf(out, "%s reads from %s: %q by %s\n", reader.name, n.name, note.Text, note.Author)
		}
	}
	return nil
}
