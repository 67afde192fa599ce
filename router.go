package rpc

import (
	"context"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/session"
	"github.com/libp2p/go-libp2p-gorpc/internal/carry/wire"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	msg "github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// router carries the calls of other peers: on a session, if they are unary and the
// peer has sessions, and else each on a stream of its own. A client asks for all
// protocols at once, and the one that was negotiated decides. Nothing else knows
// which carriers there are.
type router struct {
	client   *Client
	wire     *wire.Client
	sessions *session.Pool
}

func newRouter(c *Client) *router {
	memory := account.NewPeers(c.limits.MessageSize)
	return &router{
		client: c,
		wire: wire.NewClient(wire.ClientConfig{
			Host: c.host, Plain: c.protocol, Closed: c.over, Limits: &c.limits, Decoded: &c.decoded, Memory: memory,
		}),
		sessions: session.NewPool(session.PoolConfig{Host: c.host, Limits: &c.limits, Decoded: &c.decoded, Memory: memory}),
	}
}

func (r *router) close() {
	r.wire.Close()
	r.sessions.Close()
}

// extended is the protocol that says more than v0.6's.
func extended(p protocol.ID) protocol.ID { return p + "/2" }

// sessions is the protocol of sessions.
func sessions(p protocol.ID) protocol.ID { return p + "/session/1" }

// once makes a call of another peer, or one attempt of it. It returns [call.ErrPending] for one with a Done.
func (r *router) once(ctx context.Context, c *clientCall) error {
	k := &c.remote
	k.ID, k.Peer, k.Metadata = call.ID(c.ID()), c.Peer, outgoing(ctx)
	if c.stats != nil {
		k.Observer = c.stats
	}
	size := msgpack.StringMapSize(k.Metadata)
	if most := r.client.limits.MetadataSize; size > most {
		return call.Fail(call.OfClient, codes.ResourceExhausted, "metadata of %d bytes, and %d may be", size, most).Limited("Limits.MetadataSize")
	}
	if c.Kind == Streaming {
		hooks := c.hooks(recovered)
		k.Kind, k.In, k.Out = msg.Kind(Streaming), hooks.Source(c.stream.in, true), hooks.Sink(c.stream.out, false)
		k.Fresh, k.Item = c.stream.fresh, c.stream.replies
		return r.alone(ctx, k, r.client.extended, r.client.protocol)
	}
	body, err := r.encode(c)
	if err != nil {
		return err
	}
	k.Kind, k.Body, k.Args, k.NoArg, k.Reply = msg.Kind(Unary), &body, c.Args, isNil(c.Args), c.Reply
	share := !r.client.noSessions && size <= session.MaxMetadata
	if k.Done != nil {
		r.start(ctx, k, share)
		return call.ErrPending
	}
	defer body.Done()
	return r.unary(ctx, k, share)
}

// encode returns the encoded argument of a unary call, checked against the
// limits.
func (r *router) encode(c *clientCall) (body codec.Encoded, err error) {
	switch {
	case c.encoded != nil:
		body.Head, err = c.encoded.bytes, c.encoded.err
	case isNil(c.Args):
		body.Head = call.NoArgument
	default:
		body, err = codec.Encode(c.Args, c.stats != nil)
	}
	switch n, most := body.Len(), r.client.limits.MessageSize; {
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

// unary makes a unary call and waits for it. With share it may be on a session.
func (r *router) unary(ctx context.Context, k *call.Call, share bool) error {
	for try := 1; share; try++ {
		s := r.sessions.Current(k.Peer)
		if s == nil {
			var st network.Stream
			var err error
			if s, st, err = r.session(ctx, k); err != nil {
				return err
			}
			if st != nil { // of another protocol
				return r.again(ctx, k, r.wire.Carry(ctx, st, k))
			}
			if s == nil {
				break
			}
		}
		if try == 1 {
			k.Sent()
		}
		next, err := s.Carry(ctx, k, try == maxTries)
		if next == session.Over {
			return err
		}
		share = next == session.Again
	}
	return r.again(ctx, k, r.alone(ctx, k, r.client.extended, r.client.protocol))
}

// start makes a unary call that nobody waits for: without a goroutine, if there is a
// session.
func (r *router) start(ctx context.Context, k *call.Call, share bool) {
	done := func(err error) {
		k.Body.Done()
		k.Done(err)
	}
	if share {
		if s := r.sessions.Current(k.Peer); s != nil {
			s.Start(ctx, k, func(next session.Next, err error) {
				if next != session.Over {
					err = r.unary(ctx, k, next == session.Again)
				}
				done(err)
			})
			return
		}
	}
	go func() { done(r.unary(ctx, k, share)) }()
}

// session returns the peer's session, which it opens if there is none, or a stream
// of another protocol if the peer has no sessions. Without either the call is to be
// made alone.
func (r *router) session(ctx context.Context, k *call.Call) (s *session.Session, st network.Stream, err error) {
	s, opener, err := r.sessions.Find(ctx, k.Peer)
	if opener == nil || err != nil {
		return s, nil, err
	}
	defer func() { opener.Close(err != nil && ctx.Err() == nil) }()
	c := r.client
	st, err = c.newStream(ctx, k.Peer, sessions(c.protocol), c.extended, c.protocol)
	switch {
	case err != nil:
		return nil, nil, err
	case st.Protocol() == sessions(c.protocol):
		s, err = opener.Adopt(st)
		return s, nil, err
	}
	opener.None()
	return nil, st, nil
}

// alone makes a call on a stream of its own.
func (r *router) alone(ctx context.Context, k *call.Call, protocols ...protocol.ID) error {
	st, err := r.client.newStream(ctx, k.Peer, protocols...)
	if err != nil {
		return err
	}
	return r.wire.Carry(ctx, st, k)
}

// again makes a call once more that the peer has not seen: libp2p may remember what
// the peer served before it was restarted as v0.6.
func (r *router) again(ctx context.Context, k *call.Call, err error) error {
	if wire.NotServed(err) {
		err = r.alone(ctx, k, r.client.protocol)
	}
	return err
}
