package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/zeroconf/v2"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// patience is how long a peer is looked for: they answer in less than a second.
const patience = 5 * time.Second

// findByMDNS looks for a peer in the local network. libp2p's own service would announce
// this process, too, and wants it to listen.
func findByMDNS(ctx context.Context, id peer.ID) (*peer.AddrInfo, error) {
	looking, stop := context.WithTimeout(ctx, patience)
	defer stop()
	entries := make(chan *zeroconf.ServiceEntry, 16)
	ended := make(chan error, 1)
	go func() { ended <- zeroconf.Browse(looking, mdns.ServiceName, "local", entries) }()
	for {
		select {
		case e, ok := <-entries:
			if !ok {
				entries = nil // Browse says why
			} else if p := announced(e, id); p != nil {
				return p, nil
			}
		case err := <-ended:
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			why := ""
			if err != nil && looking.Err() == nil {
				why = fmt.Sprintf(" (%v)", err)
			}
			return nil, &rpc.Error{Code: codes.Unavailable, Message: fmt.Sprintf(
				"peer %v is not found by mDNS in the local network%s: give its multiaddr, with /p2p/. mDNS announces TCP and QUIC only, and only if the peer runs it", id, why)}
		}
	}
}

// announced is what an entry says of a peer, if it does.
func announced(e *zeroconf.ServiceEntry, id peer.ID) *peer.AddrInfo {
	found := &peer.AddrInfo{ID: id}
	for _, text := range e.Text {
		addr, ok := strings.CutPrefix(text, "dnsaddr=")
		if !ok {
			continue
		}
		if p, err := peer.AddrInfoFromString(addr); err == nil && p.ID == id {
			found.Addrs = append(found.Addrs, p.Addrs...)
		}
	}
	if len(found.Addrs) == 0 {
		return nil
	}
	return found
}
