package carry

import (
	"context"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/session"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/wire"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/live"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	msg "github.com/libp2p/go-libp2p-gorpc/internal/wire"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Router carries the calls of other peers: on a session, if the peer has sessions, and
// else each on a stream of its own. A client asks for all protocols at once, and the one
// that was negotiated decides.
type Router struct {
	RouterConfig
	extended protocol.ID
	wire     *wire.Client
	sessions *session.Pool
	long     transfers
	memory   *account.Peers
	monitor  *live.Monitor
}

// RouterConfig is what a router has of its client.
type RouterConfig struct {
	Host       host.Host
	Plain      protocol.ID     // v0.6's
	Over       context.Context // ends when the client is closed
	Limits     *call.Limits
	Decoded    *account.Decoded
	Tally      *tally.Side
	NoSessions bool
	NoProtect  bool
}

// NewRouter returns a router, which Close ends.
func NewRouter(c RouterConfig) *Router {
	memory := account.NewPeers(c.Limits.MessageSize)
	var protect *call.Protector
	if !c.NoProtect {
		protect = call.NewProtector(c.Host.ConnManager())
	}
	monitor := live.New(c.Over, c.Limits.SilenceTimeout)
	r := &Router{
		RouterConfig: c,
		monitor:      monitor,
		extended:     Extended(c.Plain),
		wire: wire.NewClient(wire.ClientConfig{
			Host: c.Host, Plain: c.Plain, Closed: c.Over, Limits: c.Limits, Decoded: c.Decoded, Memory: memory, Tally: c.Tally, Protect: protect, Monitor: monitor,
		}),
		memory: memory,
	}
	r.sessions = session.NewPool(session.PoolConfig{Host: c.Host, Limits: c.Limits, Decoded: c.Decoded, Memory: memory, Tally: c.Tally, Protect: protect, Long: r.long.isLong})
	return r
}

// Close ends the calls under way.
func (r *Router) Close() {
	r.wire.Close()
	r.sessions.Close()
	r.monitor.Close()
}

// State adds to st what calls run on, and what they hold.
func (r *Router) State(st *state.Client) {
	sum := r.Tally.Links()
	r.wire.Links(sum)
	r.sessions.Links(sum)
	st.Links, st.Memory, st.Fallbacks = sum.All(), tally.Memory(r.memory, r.Decoded), codec.Fallbacks()
	st.Retries, st.Redials, st.Resent = r.Tally.Retries.Load(), r.Tally.Redials.Load(), r.Tally.Resent.Load()
	st.Draining = int(r.Tally.Draining.Load())
}

// Waiting is how many calls of each peer wait for a place there.
func (r *Router) Waiting() map[peer.ID]int { return r.sessions.Waiting() }

// Extended is the protocol that says more than v0.6's.
func Extended(p protocol.ID) protocol.ID { return p + "/3" }

// Sessions is the protocol of sessions.
func Sessions(p protocol.ID) protocol.ID { return p + "/session/2" }

// once makes a call, or one attempt of it. It returns [call.ErrPending] for one with a Done.
func (r *Router) once(ctx context.Context, k *call.Call) error {
	size := msgpack.StringMapSize(k.Metadata)
	if most := r.Limits.MetadataSize; size > most {
		return call.Fail(call.OfClient, codes.ResourceExhausted, "metadata of %d bytes, and %d may be", size, most).Limited("Limits.MetadataSize")
	}
	share := !r.NoSessions && size <= session.MaxMetadata
	if k.Kind == msg.KindStreaming {
		if share && k.Carried == nil && r.long.begin(k) {
			defer r.long.end(k)
			share = false
		}
		return r.carry(ctx, k, share)
	}
	var err error
	if k.Body, err = r.encode(k); err != nil {
		return err
	}
	k.Live.Sends(k.Body.Len())
	if k.Done != nil {
		r.start(ctx, k, share)
		return call.ErrPending
	}
	defer k.Body.Done()
	return r.carry(ctx, k, share)
}

// encode returns the encoded argument of a unary call, checked against the
// limits.
func (r *Router) encode(k *call.Call) (body codec.Encoded, err error) {
	switch {
	case k.Encoded != nil:
		body.Head, err = k.Encoded.Bytes, k.Encoded.Err
	case k.NoArg:
		body.Head = call.NoArgument
	default:
		body, err = codec.Encode(k.Args, codec.Modern, k.Observer != nil)
	}
	switch n, most := body.Len(), r.Limits.MessageSize; {
	case err != nil:
		err = call.Fail(call.OfClient, codes.InvalidArgument, "the argument: %w", err)
	case n > most:
		err = call.Fail(call.OfClient, codes.ResourceExhausted, "the argument is %d bytes long, and %d may be", n, most).
			LimitedBy("Limits.MessageSize", "client")
	default:
		return body, nil
	}
	body.Done()
	return body, err
}

// maxTries is how often a call is made that is known not to have been sent.
const maxTries = 3

// carry makes a call and waits for it. With share it may be on a session.
func (r *Router) carry(ctx context.Context, k *call.Call, share bool) error {
	for try := 1; share; try++ {
		s := r.sessions.Current(k.Peer)
		if s == nil {
			var st network.Stream
			var err error
			if s, st, err = r.session(ctx, k); err != nil {
				return err
			}
			if st != nil { // of another protocol
				return r.apart(ctx, k, st)
			}
			if s == nil {
				break
			}
		}
		if try == 1 && k.Kind == msg.KindUnary {
			k.Sent()
		}
		next, err := s.Carry(ctx, k, try == maxTries)
		if next == session.Over {
			return err
		}
		r.Tally.Resent.Add(1)
		share = next == session.Again
	}
	if k.Carried != nil {
		return stranded(k)
	}
	return r.again(ctx, k, r.alone(ctx, k, r.extended, r.Plain))
}

// apart makes a call on a stream that was opened for a session, of a peer that has
// none.
func (r *Router) apart(ctx context.Context, k *call.Call, st network.Stream) error {
	if k.Carried != nil {
		_ = st.Reset()
		return stranded(k)
	}
	return r.again(ctx, k, r.wire.Carry(ctx, st, k))
}

// stranded is the fault of a call whose arguments have been taken for a session, and
// whose peer has no other.
func stranded(k *call.Call) error {
	return call.Fail(call.OfClient, codes.Unavailable, "peer %v ended its session, and has no other", k.Peer).Named().Of(call.Transport).NotSent(true)
}

// start makes a unary call that nobody waits for: without a goroutine, if there is a
// session.
func (r *Router) start(ctx context.Context, k *call.Call, share bool) {
	done := func(err error) {
		k.Body.Done()
		k.Done(err)
	}
	if share {
		if s := r.sessions.Current(k.Peer); s != nil {
			s.Start(ctx, k, func(next session.Next, err error) {
				if next == session.Over {
					done(err)
					return
				}
				r.Tally.Resent.Add(1)
				call.Outcome(call.OfClient, func() error { return r.carry(ctx, k, next == session.Again) }, done)
			})
			return
		}
	}
	go call.Outcome(call.OfClient, func() error { return r.carry(ctx, k, share) }, done)
}

// session returns the peer's session, which it opens if there is none, or a stream
// of another protocol if the peer has no sessions. Without either the call is to be
// made alone.
func (r *Router) session(ctx context.Context, k *call.Call) (s *session.Session, st network.Stream, err error) {
	if err := r.reachable(ctx, k.Peer); err != nil {
		return nil, nil, err
	}
	k.Live.Enters(tally.Connecting)
	defer k.Live.Enters(tally.Carried)
	s, opener, err := r.sessions.Find(ctx, k.Peer)
	if opener == nil || err != nil {
		return s, nil, err
	}
	defer func() {
		if ctx.Err() != nil {
			opener.Close(nil)
		} else {
			opener.Close(err)
		}
	}()
	st, err = r.newStream(ctx, k.Peer, Sessions(r.Plain), r.extended, r.Plain)
	switch {
	case err != nil:
		return nil, nil, err
	case st.Protocol() == Sessions(r.Plain):
		s, err = opener.Adopt(st)
		return s, nil, err
	}
	opener.None()
	return nil, st, nil
}

// alone makes a call on a stream of its own.
func (r *Router) alone(ctx context.Context, k *call.Call, protocols ...protocol.ID) error {
	if err := r.reachable(ctx, k.Peer); err != nil {
		return err
	}
	k.Live.Enters(tally.Connecting)
	st, err := r.newStream(ctx, k.Peer, protocols...)
	k.Live.Enters(tally.Carried)
	if err != nil {
		return err
	}
	return r.wire.Carry(ctx, st, k)
}

// again makes a call once more that the peer has not seen: libp2p may remember what
// the peer served before it was restarted as v0.6. The arguments of a stream are gone.
func (r *Router) again(ctx context.Context, k *call.Call, err error) error {
	if wire.NotServed(err) && k.Kind == msg.KindUnary {
		err = r.alone(ctx, k, r.Plain)
	}
	return err
}
