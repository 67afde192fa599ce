package tally

import (
	"cmp"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Links adds up what calls run on, as carriers show it.
type Links struct {
	peers map[peer.ID]*Peer // those that are listed
	of    map[linkKey]*state.Link
}

type linkKey struct {
	peer, protocol, transport string
	session, relayed          bool
}

// Links returns a sum of nothing.
func (s *Side) Links() *Links {
	return &Links{peers: s.Peers.all(), of: make(map[linkKey]*state.Link)}
}

// Add adds a stream, of a session or of one call, with what l says of its calls, places
// and bytes.
func (s *Links) Add(st network.Stream, session bool, l state.Link) {
	conn := st.Conn()
	key := linkKey{peer: state.Other, session: session}
	if id := conn.RemotePeer(); s.peers[id] != nil {
		_, err := conn.RemoteMultiaddr().ValueForProtocol(ma.P_CIRCUIT)
		key = linkKey{id.String(), string(st.Protocol()), conn.ConnState().Transport, session, err == nil}
	}
	sum := s.of[key]
	if sum == nil {
		sum = &state.Link{Peer: key.peer, Protocol: key.protocol, Transport: key.transport, Session: session, Relayed: key.relayed}
		s.of[key] = sum
	}
	sum.Count++
	sum.Age = max(sum.Age, time.Since(st.Stat().Opened))
	sum.UnderWay += l.UnderWay
	sum.Places += l.Places
	sum.Waiting += l.Waiting
	sum.In += l.In
	sum.Out += l.Out
}

// All returns the sums.
func (s *Links) All() (all []state.Link) {
	for _, l := range s.of {
		all = append(all, *l)
	}
	slices.SortFunc(all, func(a, b state.Link) int {
		return cmp.Or(cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Transport, b.Transport), cmp.Compare(a.Protocol, b.Protocol), b.Count-a.Count)
	})
	return all
}

// Memory returns what calls hold.
func Memory(p *account.Peers, d *account.Decoded) (m state.Memory) {
	m.Reserved, m.Lent, m.Waiting = p.Held()
	m.Decoded = int64(d.Held())
	return m
}
