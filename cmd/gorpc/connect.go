package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/multiformats/go-multiaddr"
	"github.com/spf13/cobra"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry"
)

// target is what the flags say about reaching a peer.
type target struct {
	protocol string
	timeout  time.Duration
	key      string
	psk      string
	relay    string
}

// flags are those of every command that reaches a peer.
func (t *target) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVarP(&t.protocol, "protocol", "p", "", "the server's protocol ID; by default the only one that the peer serves")
	f.DurationVarP(&t.timeout, "timeout", "t", 30*time.Second, "how long all of it may take; 0 is for ever")
	f.StringVar(&t.key, "key", "", "a file with the private key to be known by; by default a new one each time")
	f.StringVar(&t.psk, "psk", "", "a file with the pre-shared key of a private network")
	f.StringVar(&t.relay, "relay", "", "the multiaddr, with /p2p/, of a relay through which to reach the peer")
	_ = cmd.MarkFlagFilename("key")
	_ = cmd.MarkFlagFilename("psk")
	_ = cmd.RegisterFlagCompletionFunc("protocol", cobra.NoFileCompletions)
}

// relayed returns ctx for calls to which relayed connections will do.
func (t *target) relayed(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "gorpc")
}

// within is relayed, with the timeout.
func (t *target) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx = t.relayed(ctx)
	if t.timeout <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, t.timeout)
}

// connection is a peer that has been reached. Close ends it.
type connection struct {
	host     host.Host
	peer     peer.ID
	protocol protocol.ID // empty if the peer serves none, or several
	client   *rpc.Client
}

func (c *connection) Close() error {
	if c.client == nil {
		return c.host.Close()
	}
	return errors.Join(c.client.Close(), c.host.Close())
}

// reach connects to the peer that a command line names.
func (t *target) reach(ctx context.Context, name string) (*connection, error) {
	to, err := parsePeer(name)
	if err != nil {
		return nil, err
	}
	opts, err := t.options()
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, fmt.Errorf("cannot make a libp2p host: %w", err)
	}
	c := &connection{host: h, peer: to.ID}
	if err := t.connect(ctx, h, to); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return c, nil
}

// serving is reach, and a client of the peer's server.
func (t *target) serving(ctx context.Context, name string) (*connection, error) {
	c, err := t.reach(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.protocol, err = t.pick(c); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	c.client = rpc.NewClient(c.host, c.protocol)
	return c, nil
}

func (t *target) connect(ctx context.Context, h host.Host, to *peer.AddrInfo) error {
	if t.relay != "" {
		relay, err := multiaddr.NewMultiaddr(t.relay + "/p2p-circuit")
		if err != nil {
			return usagef("--relay: %v", err)
		}
		to.Addrs = append(to.Addrs, relay)
	}
	if len(to.Addrs) == 0 {
		found, err := findByMDNS(ctx, to.ID)
		if err != nil {
			return err
		}
		to = found
	}
	if err := h.Connect(ctx, *to); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("cannot reach peer %v: %w", to.ID, ctx.Err())
		}
		return &rpc.Error{Code: codes.Unavailable, Message: fmt.Sprintf("cannot reach peer %v: %v", to.ID, err)}
	}
	return nil
}

// parsePeer reads a multiaddr with /p2p/, or a peer ID.
func parsePeer(s string) (*peer.AddrInfo, error) {
	if !strings.HasPrefix(s, "/") {
		id, err := peer.Decode(s)
		if err != nil {
			return nil, usagef("%q is neither a multiaddr, which begins with /, nor a peer ID: %v", s, err)
		}
		return &peer.AddrInfo{ID: id}, nil
	}
	addr, err := multiaddr.NewMultiaddr(s)
	if err != nil {
		return nil, usagef("%q is no multiaddr: %v", s, err)
	}
	to, err := peer.AddrInfoFromP2pAddr(addr)
	if err != nil {
		return nil, usagef("%q names no peer: a multiaddr ends with /p2p/ and the peer's ID", s)
	}
	return to, nil
}

// isPeer reports whether a word of the command line is meant to name a peer, not a file.
func isPeer(s string) bool {
	if _, err := os.Stat(s); err == nil {
		return false
	}
	if _, err := parsePeer(s); err == nil {
		return true
	}
	return strings.HasPrefix(s, "/ip") || strings.HasPrefix(s, "/dns")
}

func (t *target) options() ([]libp2p.Option, error) {
	opts := []libp2p.Option{libp2p.NoListenAddrs, libp2p.EnableRelay()}
	if t.key != "" {
		key, err := readKey(t.key)
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.Identity(key))
	}
	if t.psk != "" {
		f, err := os.Open(t.psk)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		psk, err := pnet.DecodeV1PSK(f)
		if err != nil {
			return nil, usagef("--psk: %s is no pre-shared key: %v", t.psk, err)
		}
		opts = append(opts, libp2p.PrivateNetwork(psk))
	}
	return opts, nil
}

// readKey reads a private key as libp2p marshals it, or that in base64.
func readKey(file string) (crypto.PrivKey, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b))); err == nil {
		b = text
	}
	key, err := crypto.UnmarshalPrivateKey(b)
	if err != nil { // which says nothing of the bytes
		return nil, usagef("--key: %s is no private key as libp2p writes them, nor that in base64", file)
	}
	return key, nil
}

// pick returns the protocol ID to speak.
func (t *target) pick(c *connection) (protocol.ID, error) {
	if t.protocol != "" {
		return protocol.ID(t.protocol), nil
	}
	all, err := c.host.Peerstore().GetProtocols(c.peer) // Connect has waited for them
	if err != nil {
		return "", err
	}
	served := make(map[protocol.ID]bool)
	for _, p := range all {
		served[p] = true
	}
	var found []string
	for p := range served {
		if served[carry.Extended(p)] || served[carry.Sessions(p)] {
			found = append(found, string(p))
		}
	}
	switch len(found) {
	case 1:
		return protocol.ID(found[0]), nil
	case 0:
		return "", usagef("peer %v announces no protocol of this library; a peer of v0.6 needs --protocol. It has %v", c.peer, all)
	}
	return "", usagef("peer %v serves several protocols: say --protocol, one of %s", c.peer, strings.Join(found, ", "))
}
