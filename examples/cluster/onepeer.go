package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/node"
)

// secretVar is the environment's variable for the secret.
const secretVar = "CLUSTER_SECRET"

// options are the flags of a process that is one peer.
type options struct {
	node.Config
	listen, bootstrap, secret, trusted string
}

func (o *options) flags() *flag.FlagSet {
	f := flag.NewFlagSet("cluster", flag.ContinueOnError)
	f.StringVar(&o.listen, "listen", "/ip4/127.0.0.1/tcp/0", "the `multiaddress` to listen on, of TCP")
	f.StringVar(&o.bootstrap, "bootstrap", "", "`multiaddresses` of peers to join, with their IDs, separated by commas; none begins a cluster")
	f.StringVar(&o.secret, "secret", "", "the cluster's `secret`, 32 bytes in hexadecimal; better in the environment, as "+secretVar+", for other users see command lines. Who begins a cluster needs none, and makes one")
	f.StringVar(&o.trusted, "trusted", "", "the `IDs` of the peers that may be members, separated by commas; default all that know the secret")
	f.StringVar(&o.Dir, "data", "", "the `directory` for all that is to survive; default memory")
	f.StringVar(&o.API, "api", "127.0.0.1:0", "the TCP `address` of the REST API and the web page")
	f.StringVar(&o.Name, "name", "", "a `name` for people")
	f.StringVar(&o.Tracker, "tracker", "map", "the `kind` of pin tracker, map or stateless")
	f.IntVar(&o.Replicas, "replicas", 3, "how `many` peers keep a file, unless it is said")
	f.DurationVar(&o.RemoveAfter, "remove-after", 10*time.Minute, "after what `time` a dead peer is a member no more, until it comes back; 0 is never")
	f.Uint64Var(&o.Capacity, "capacity", 1<<30, "for how many `bytes` of blocks there is room")
	return f
}

// onePeer is a peer until ctx ends. What keeps it from being a member goes to
// trouble.
func onePeer(ctx context.Context, o options, out, trouble io.Writer) error {
	if err := o.complete(); err != nil {
		return err
	}
	h, err := node.NewHost(o.listen, o.secret, o.Dir)
	if err != nil {
		return err
	}
	defer h.Close()
	if len(o.Bootstrap) == 0 {
		o.Founders = []peer.ID{h.ID()} // if it has been a member before, that counts
	}
	news := make(chan error, 1)
	o.Member = func(err error) { // there is one caller at a time, who must not wait
		select {
		case <-news:
		default:
		}
		news <- err
	}
	n, err := node.New(h, o.Config)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "I am %s\n", peerName(o.Name, h.ID()))
	fmt.Fprintf(out, "API and web page: %s\n", n.URL())
	for {
		select {
		case err := <-news:
			if err != nil {
				fmt.Fprintf(trouble, "not a member yet: %v\n", err)
				if strings.Contains(err.Error(), "negotiate security protocol") {
					fmt.Fprintln(trouble, "is it the right -secret?")
				}
				continue
			}
			if err := o.keepSecret(); err != nil {
				fmt.Fprintf(trouble, "the secret is not kept: %v\n", err)
			}
			fmt.Fprintf(out, "To join me: go run ./examples/cluster -secret %s -bootstrap %s\n", o.secret, address(h))
		case <-ctx.Done():
			return n.Close()
		}
	}
}

func peerName(name string, id peer.ID) string {
	if name == "" {
		return id.String()
	}
	return fmt.Sprintf("%s (%v)", name, id)
}

func address(h host.Host) string {
	for _, a := range h.Addrs() {
		return fmt.Sprintf("%v/p2p/%v", a, h.ID())
	}
	return "?"
}

// complete reads the lists, and sees to the secret. What makes no sense it says, instead
// of taking a default for it.
func (o *options) complete() error {
	switch {
	case o.Replicas < 1:
		return usage{fmt.Errorf("-replicas %d: a file is kept by 1 peer at least", o.Replicas)}
	case o.RemoveAfter < 0:
		return usage{fmt.Errorf("-remove-after %v is negative; 0 is never", o.RemoveAfter)}
	case o.Capacity == 0:
		return usage{errors.New("-capacity 0 leaves no room for anything")}
	}
	for _, text := range split(o.bootstrap) {
		info, err := peer.AddrInfoFromString(text)
		if err != nil {
			return fmt.Errorf("-bootstrap: %w", err)
		}
		o.Bootstrap = append(o.Bootstrap, *info)
	}
	for _, text := range split(o.trusted) {
		p, err := peer.Decode(text)
		if err != nil {
			return fmt.Errorf("-trusted: %w", err)
		}
		o.Trusted = append(o.Trusted, p)
	}
	return o.findSecret()
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
}

// findSecret takes the secret from the flag, the environment or the directory, or makes
// one. What the directory has stays: another is a mistake.
func (o *options) findSecret() error {
	file := filepath.Join(o.Dir, "secret")
	o.secret = cmp.Or(o.secret, os.Getenv(secretVar))
	if o.Dir != "" {
		kept, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if o.secret != "" && len(kept) > 0 && o.secret != string(kept) {
			return fmt.Errorf("this is not the secret in %s; delete that file if the cluster has another now", file)
		}
		o.secret = cmp.Or(o.secret, string(kept))
	}
	if o.secret == "" && len(o.Bootstrap) > 0 {
		return errors.New("-bootstrap needs the cluster's -secret")
	}
	if o.secret == "" {
		o.secret = node.NewSecret()
	}
	return nil
}

// keepSecret writes the secret into the directory, when it is known to be the right one:
// the peer is a member.
func (o *options) keepSecret() error {
	if o.Dir == "" {
		return nil
	}
	return os.WriteFile(filepath.Join(o.Dir, "secret"), []byte(o.secret), 0o600)
}
