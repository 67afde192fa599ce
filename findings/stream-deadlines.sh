#!/bin/bash
# go-libp2p v0.51.0: an expired deadline of a stream is os.ErrDeadlineExceeded over
# QUIC, WebTransport and WebRTC-direct, and is not over TCP and WebSocket (yamux).
#
# Whom it surprises: whoever writes errors.Is(err, os.ErrDeadlineExceeded), as one does
# with a net.Conn, and tries it over QUIC. Over yamux it is never true. None of them is
# context.DeadlineExceeded. What holds for all: errors.As a net.Error whose Timeout()
# is true.
#
# And a deadline in the past, with which one interrupts readers, does not stop reads over
# yamux and WebRTC-direct while data waits: they return the data. Over QUIC and
# WebTransport, as with a net.Conn, the read fails and the data stays.
#
# The output that was seen is $want below.
set -euo pipefail

want='tcp: past deadline, data waits: 1 byte, <nil>
tcp: past deadline, nothing waits: i/o deadline reached; os.ErrDeadlineExceeded false, context.DeadlineExceeded false, Timeout() true
websocket: past deadline, data waits: 1 byte, <nil>
websocket: past deadline, nothing waits: i/o deadline reached; os.ErrDeadlineExceeded false, context.DeadlineExceeded false, Timeout() true
quic-v1: past deadline, data waits: 0 byte, deadline exceeded
quic-v1: past deadline, nothing waits: deadline exceeded; os.ErrDeadlineExceeded true, context.DeadlineExceeded false, Timeout() true
webtransport: past deadline, data waits: 0 byte, deadline exceeded
webtransport: past deadline, nothing waits: deadline exceeded; os.ErrDeadlineExceeded true, context.DeadlineExceeded false, Timeout() true
webrtc-direct: past deadline, data waits: 1 byte, <nil>
webrtc-direct: past deadline, nothing waits: read deadline exceeded: i/o timeout; os.ErrDeadlineExceeded true, context.DeadlineExceeded false, Timeout() true'

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	ctx := context.Background()
	for _, addr := range []string{"tcp/0", "tcp/0/ws", "udp/0/quic-v1", "udp/0/quic-v1/webtransport", "udp/0/webrtc-direct"} {
		a := must(libp2p.New(libp2p.NoListenAddrs))
		b := must(libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/" + addr)))
		b.SetStreamHandler("/finding", func(s network.Stream) { s.Write([]byte("two")) })
		if err := a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()}); err != nil {
			panic(err)
		}
		s := must(a.NewStream(ctx, b.ID(), "/finding"))
		name := s.Conn().ConnState().Transport
		must(io.ReadFull(s, make([]byte, 2))) // one byte is left
		time.Sleep(200 * time.Millisecond)

		s.SetReadDeadline(time.Now().Add(-time.Second))
		n, err := s.Read(make([]byte, 1))
		fmt.Printf("%s: past deadline, data waits: %d byte, %v\n", name, n, err)

		s.SetReadDeadline(time.Time{})
		if n == 0 {
			must(io.ReadFull(s, make([]byte, 1)))
		}
		s.SetReadDeadline(time.Now().Add(-time.Second))
		_, err = s.Read(make([]byte, 1))
		var timeout net.Error
		fmt.Printf("%s: past deadline, nothing waits: %v; os.ErrDeadlineExceeded %v, context.DeadlineExceeded %v, Timeout() %v\n",
			name, err, errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded),
			errors.As(err, &timeout) && timeout.Timeout())
	}
}
GO
export GOWORK=off
go mod init finding 2>log && go get github.com/libp2p/go-libp2p@v0.51.0 2>>log && go build -o finding . || { cat log; exit 1; }
got=$(./finding 2>log) || { cat log; exit 1; }
echo "$got"
diff <(echo "$want") <(echo "$got") || { echo "the behaviour is another"; exit 1; }
