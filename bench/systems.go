package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

const (
	protocol      = "/bench/rpc"
	bufferedProto = "/bench/buffered" // the same, with buffers for streams
)

// What the contestants are called.
const (
	nameRawCall = "stream of raw bytes a call"
	namePool    = "floor: pool of open streams"
	nameTagged  = "floor: tagged frames, coalesced"
	nameSession = "this library, session"
	nameWire    = "this library, wire"
	nameGRPC    = "gRPC"
	nameDRPC    = "DRPC, pool of streams"
	nameNetRPC  = "net/rpc"
)

// message is a payload with its length before it, as the floors send it.
type message []byte

// body is what the RPC systems send.
func (m message) body() []byte { return m[4:] }

// newMessage makes one of random bytes, which asks for an echo.
func newMessage(size int) message {
	m := binary.BigEndian.AppendUint32(make([]byte, 0, 4+size), uint32(size))
	m = m[:4+size]
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(m[4:])
	m[4] = askEcho
	return m
}

// ask makes a small message that asks for something else.
func ask(what byte, size int) message {
	m := newMessage(size)
	m[4] = what
	return m
}

// system is a way to make calls to one peer.
type system struct {
	name  string
	floor bool // moves bytes, and is no RPC
	// echo makes a call. check sees the reply, which is not touched later.
	echo  func(ctx context.Context, m message, check func(reply []byte) error) error
	close func()
}

// openSystem connects a system from one host to a peer.
type openSystem func(ctx context.Context, from host.Host, to peer.ID) (system, error)

var (
	floors = []openSystem{newRawCalls, newStreamPool, newTagged}
	ours   = []openSystem{newSession, newWire}
	theirs = []openSystem{newGRPC, newDRPC, newNetRPC}
)

// newSystems makes all of those given.
func newSystems(ctx context.Context, from host.Host, to peer.ID, lists ...[]openSystem) ([]system, func(), error) {
	var all []system
	done := func() {
		for _, s := range all {
			s.close()
		}
	}
	for _, list := range lists {
		for _, open := range list {
			s, err := open(ctx, from, to)
			if err != nil {
				done()
				return nil, nil, err
			}
			all = append(all, s)
		}
	}
	return all, done, nil
}

// contestant makes calls by so many callers, and sees that the right answers
// come: of a first call the whole of it, of those that are measured the length
// and both ends, so that no time goes there.
func (s system) contestant(callers int, m message) contestant {
	want := m.body()
	quick := func(reply []byte) error {
		n := min(len(want), 16)
		if len(reply) != len(want) || !bytes.Equal(reply[:n], want[:n]) || !bytes.Equal(reply[len(reply)-n:], want[len(want)-n:]) {
			return fmt.Errorf("a wrong reply of %d bytes", len(reply))
		}
		return nil
	}
	return contestant{
		name: s.name, floor: s.floor,
		run: rig.Parallel(callers, func(ctx context.Context) error { return s.echo(ctx, m, quick) }),
		verify: func(ctx context.Context) error {
			seen := false
			err := s.echo(ctx, m, func(reply []byte) error {
				if seen = bytes.Equal(reply, want); !seen {
					return errors.New("the reply is not what was sent")
				}
				return nil
			})
			if err == nil && !seen {
				err = errors.New("the reply was not looked at")
			}
			return err
		},
	}
}

// serveRPC serves this library: as it is, and with buffers for streams.
func serveRPC(h host.Host) (func(), error) {
	server := rpc.NewServer(h, protocol, rpc.WithServerLimits(raised), rpc.WithDescriptions(true))
	buffered := rpc.NewServer(h, bufferedProto, rpc.WithStreamBufferSize(64))
	return func() {
		_ = server.Close()
		_ = buffered.Close()
	}, errors.Join(server.Register(Echo{}), handleTyped(server), buffered.Register(Echo{}))
}

func newSession(_ context.Context, from host.Host, to peer.ID) (system, error) {
	return ourSystem(nameSession, rpc.NewClient(from, protocol, rpc.WithClientLimits(raised)), to), nil
}

func newWire(_ context.Context, from host.Host, to peer.ID) (system, error) {
	return ourSystem(nameWire, rpc.NewClient(from, protocol, rpc.WithClientLimits(raised), rpc.WithClientSessions(false)), to), nil
}

func ourSystem(name string, client *rpc.Client, to peer.ID) system {
	return system{
		name: name,
		echo: func(ctx context.Context, m message, check func([]byte) error) error {
			var out []byte
			if err := client.CallContext(ctx, to, "Echo", "Bytes", m.body(), &out); err != nil {
				return err
			}
			return check(out)
		},
		close: func() { _ = client.Close() },
	}
}
