package rpc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// shareOf returns what the messages of a stream share with the others of its
// peer. They may wait for one another only where a muxer has a window for each
// stream alone: on QUIC, streams that nobody reads hold up their connection.
func shareOf(p *account.Peers, st network.Stream) account.Share {
	c := st.Conn()
	return p.Of(string(c.RemotePeer()), c.ConnState().StreamMultiplexer != "")
}

// scopes are libp2p's, by how their names begin and, of those of one peer, what
// follows. A name has the IDs of peers and streams.
var scopes = []struct{ prefix, infix, what, field string }{
	{"stream-", "", "one stream", "Stream"},
	{"service:", ".peer:", "the service and one peer", "ServicePeer"},
	{"service:", "", "the service", "Service"},
	{"protocol:", ".peer:", "the protocol and one peer", "ProtocolPeer"},
	{"protocol:", "", "the protocol", "Protocol"},
	{"peer:", "", "one peer", "Peer"},
	{"system", "", "all together", "System"},
}

// limitOfScope says which limit a refusal of memory is about: libp2p's text names
// the scopes, and the one that refused last.
func limitOfScope(text string) string {
	words := strings.Split(text, ": ")
	for _, name := range slices.Backward(words) {
		for _, s := range scopes {
			if strings.HasPrefix(name, s.prefix) && strings.Contains(name, s.infix) {
				return "its limit for " + s.what + " sets it (" + s.field + " of rcmgr's limits)"
			}
		}
	}
	return fmt.Sprintf("its limits for the service %q or the protocol set it", ServiceName)
}
