#!/bin/bash
# go-libp2p v0.51.0: what somebody who only writes learns when the peer's stream ends
# depends on the transport.
#
# Whom it surprises: whoever sends for long without reading (a log, a feed, an upload).
# - The peer calls Close or CloseRead, in good order: over QUIC and WebTransport writes
#   fail with network.ErrReset, though nobody reset anything. Over the others they go
#   on succeeding, into nowhere; over TCP and WebSocket until a window of 256 KiB is full.
# - The peer calls Reset: over WebRTC-direct writes go on succeeding (some 32 KB did)
#   until the writer reads, which finds the reset. Over the others the next writes fail.
# For CloseRead the documentation allows differences ("implementation defined"), for Reset
# ("use this to tell the remote side to hang up and go away") it names none.
# What helps: read each stream on which one writes, and have the peer answer how much it
# took; a Write that succeeds says nothing.
#
# The output that was seen is $want below.
set -euo pipefail

want='tcp: Close: 20 writes; CloseRead: 20 writes; Reset: ErrReset, after a read ErrReset
websocket: Close: 20 writes; CloseRead: 20 writes; Reset: ErrReset, after a read ErrReset
quic-v1: Close: ErrReset; CloseRead: ErrReset; Reset: ErrReset, after a read ErrReset
webtransport: Close: ErrReset; CloseRead: ErrReset; Reset: ErrReset, after a read ErrReset
webrtc-direct: Close: 20 writes; CloseRead: 20 writes; Reset: 20 writes, after a read ErrReset'

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// write tells what becomes of 20 bytes, written one by one.
func write(s network.Stream) string {
	s.SetWriteDeadline(time.Now().Add(5 * time.Second))
	for range 20 {
		if _, err := s.Write([]byte("2")); errors.Is(err, network.ErrReset) {
			return "ErrReset"
		} else if err != nil {
			return err.Error()
		}
		time.Sleep(30 * time.Millisecond)
	}
	return "20 writes"
}

func main() {
	ctx := context.Background()
	for _, addr := range []string{"tcp/0", "tcp/0/ws", "udp/0/quic-v1", "udp/0/quic-v1/webtransport", "udp/0/webrtc-direct"} {
		a, _ := libp2p.New(libp2p.NoListenAddrs)
		b, _ := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/" + addr))
		accepted := make(chan network.Stream)
		b.SetStreamHandler("/finding", func(s network.Stream) {
			s.Read(make([]byte, 1))
			accepted <- s
		})
		open := func() (ours, theirs network.Stream) {
			ours, _ = a.NewStream(ctx, b.ID(), "/finding")
			ours.Write([]byte("1"))
			return ours, <-accepted
		}
		a.Connect(ctx, peer.AddrInfo{ID: b.ID(), Addrs: b.Addrs()})
		ours, theirs := open()
		theirs.Close()
		fmt.Printf("%s: Close: %s; ", ours.Conn().ConnState().Transport, write(ours))
		ours, theirs = open()
		theirs.CloseRead()
		fmt.Printf("CloseRead: %s; ", write(ours))
		ours, theirs = open()
		theirs.Reset()
		fmt.Printf("Reset: %s, ", write(ours))
		ours.Read(make([]byte, 1))
		fmt.Printf("after a read %s\n", write(ours))
	}
}
GO
export GOWORK=off
go mod init finding 2>log && go get github.com/libp2p/go-libp2p@v0.51.0 2>>log && go build -o finding . || { cat log; exit 1; }
got=$(./finding 2>log) || { cat log; exit 1; }
echo "$got"
diff <(echo "$want") <(echo "$got") || { echo "the behaviour is another"; exit 1; }
