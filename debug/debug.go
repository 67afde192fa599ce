// Package debug shows what a server and a client are doing (package state): to other
// peers as a service, and to people as a page.
//
// [Serve] answers peers whom its own rule allows, which is nobody unless it is told;
// gorpc top asks it. [Handler] is for the program's own HTTP server, on the loopback.
package debug

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/state"
	"github.com/libp2p/go-libp2p-gorpc/watch"
)

// ServiceName is the name of the service that [Serve] registers, for policies. Its methods
// are Get and Watch.
const ServiceName = "rpc.Debug"

// Snapshot is what a peer shows of itself. What it does not have is nil.
type Snapshot struct {
	Server *state.Server `json:"server,omitempty"`
	Client *state.Client `json:"client,omitempty"`
}

// Rule says who may see what. Its functions are called by several goroutines at once.
type Rule struct {
	// Allow says who may ask at all. nil: nobody may. A server's authorization is asked
	// beside it, as of any call.
	Allow func(peer.ID) bool
	// ShowPeers says who may know which other peers there are. nil: nobody. Others see
	// names in their place, which are the same for as long as the process runs.
	ShowPeers func(peer.ID) bool
}

var (
	getting  = rpc.NewMethod[struct{}, Snapshot](ServiceName, "Get")
	watching = rpc.NewServerStream[time.Duration, Snapshot](ServiceName, "Watch")
)

// least is how often a Snapshot is sent at most.
const least = 100 * time.Millisecond

// Serve makes s show what it does, and what c does, if it is not nil, to the peers that
// the rule allows: others get codes.PermissionDenied whatever s allows them, and do not
// see the service in descriptions. It returns an error if s does so already.
func Serve(s *rpc.Server, c *rpc.Client, r Rule) error {
	if s == nil {
		return errors.New("rpc: debug.Serve needs a server to answer")
	}
	admit.Guard(s, ServiceName, func(p peer.ID) bool { return r.Allow != nil && r.Allow(p) })
	salt := make([]byte, 32)
	_, _ = rand.Read(salt)
	show := func(ctx context.Context) (Snapshot, error) {
		p, err := rpc.GetRequestSender(ctx)
		if err != nil {
			return Snapshot{}, err
		}
		all := Take(s, c)
		if p != s.ID() && (r.ShowPeers == nil || !r.ShowPeers(p)) {
			all.redact(p, salt)
		}
		return all, nil
	}
	if err := getting.Handle(s, func(ctx context.Context, _ struct{}) (Snapshot, error) { return show(ctx) }); err != nil {
		return err
	}
	return watching.Handle(s, func(ctx context.Context, every time.Duration, out *rpc.Sender[Snapshot]) error {
		tick := time.NewTicker(max(every, least))
		defer tick.Stop()
		for {
			all, err := show(ctx)
			if err != nil {
				return err
			}
			if err := out.Send(ctx, all); err != nil {
				return err
			}
			select {
			case <-tick.C:
			case <-watch.Stopping(ctx):
				return watch.ErrStopping
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	})
}

// Take returns what the server and the client, either of which may be nil, are doing.
func Take(s *rpc.Server, c *rpc.Client) (all Snapshot) {
	if s != nil {
		st := s.State()
		all.Server = &st
	}
	if c != nil {
		st := c.State()
		all.Client = &st
	}
	return all
}

// Get asks the server on dest for a [Snapshot]. dest and ctx mean what they do for a call.
func Get(ctx context.Context, c *rpc.Client, dest peer.ID, opts ...rpc.CallOption) (Snapshot, error) {
	return getting.Call(ctx, c, dest, struct{}{}, opts...)
}

// Watch asks the server on dest for a [Snapshot] every so often, at most ten times a
// second, until ctx ends or the loop is left.
func Watch(ctx context.Context, c *rpc.Client, dest peer.ID, every time.Duration, opts ...rpc.CallOption) iter.Seq2[Snapshot, error] {
	return watching.Call(ctx, c, dest, every, opts...)
}

// redact puts names in the place of all peers but who asks, and the own.
func (s *Snapshot) redact(asks peer.ID, salt []byte) {
	known := []string{asks.String(), state.Other, ""}
	name := func(id *string) {
		if !slices.Contains(known, *id) {
			mac := hmac.New(sha256.New, salt)
			mac.Write([]byte(*id))
			*id = "peer-" + hex.EncodeToString(mac.Sum(nil)[:4])
		}
	}
	side := func(st *state.Side) {
		for i := range st.Peers {
			name(&st.Peers[i].ID)
		}
		slices.SortFunc(st.Peers, func(a, b state.Peer) int { return strings.Compare(a.ID, b.ID) })
		for i := range st.Links {
			name(&st.Links[i].Peer)
		}
		for i := range st.Calls {
			name(&st.Calls[i].Peer)
		}
	}
	if s.Server != nil {
		side(&s.Server.Side)
	}
	if s.Client != nil {
		side(&s.Client.Side)
	}
}
