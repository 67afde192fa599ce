#!/bin/bash
# go-libp2p v0.51.0: after one failed dial, a peer that has come up is refused
# for 5 seconds without being tried.
#
# Whom it surprises: whoever restarts a peer, or starts two programs at once, and
# has the other side try again each second. Tries within 5 seconds of the failed one
# return within microseconds, and count for nothing; the next failed dial makes it 6
# seconds (by the source 5 + n*n after n before, at most 5 minutes). A few retries with
# short pauses fail one and all. network.WithForceDirectDial passes it by, which
# its documentation does not say: that speaks of proxied connections.
# What helps: errors.Is(err, swarm.ErrDialBackoff) tells such an error, and a connection
# that the peer makes ends the waiting (by the source).
# The output that was seen is $want below.
set -euo pipefail

want='nobody listens: all dials failed, backoff false
seconds until the next dial: 5, connected false
the peer listens now: all dials failed, backoff true
seconds until the next dial: 6, connected true
gone: all dials failed, backoff false
the peer listens now: all dials failed, backoff true
WithForceDirectDial: <nil>'

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
)

func main() {
	ctx := context.Background()
	key, _, _ := crypto.GenerateEd25519Key(rand.Reader)
	id, _ := peer.IDFromPrivateKey(key)
	l, _ := net.Listen("tcp4", "127.0.0.1:0")
	l.Close() // a port that is free
	addr := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)
	info, _ := peer.AddrInfoFromString(addr + "/p2p/" + id.String())
	a, _ := libp2p.New(libp2p.NoListenAddrs)
	dial := func(what string, ctx context.Context) {
		err := a.Connect(ctx, *info)
		text := fmt.Sprint(err)
		if errors.Is(err, swarm.ErrAllDialsFailed) {
			text = fmt.Sprint("all dials failed, backoff ", errors.Is(err, swarm.ErrDialBackoff))
		}
		fmt.Println(what+":", text)
	}
	untilDialled := func() {
		start, err := time.Now(), swarm.ErrDialBackoff
		for ; errors.Is(err, swarm.ErrDialBackoff); time.Sleep(20 * time.Millisecond) {
			err = a.Connect(ctx, *info)
		}
		fmt.Printf("seconds until the next dial: %.0f, connected %v\n", time.Since(start).Seconds(), err == nil)
	}
	var b host.Host
	up := func() {
		b, _ = libp2p.New(libp2p.Identity(key), libp2p.ListenAddrStrings(addr))
		dial("the peer listens now", ctx)
	}
	dial("nobody listens", ctx)
	untilDialled()
	up()
	untilDialled()
	b.Close()
	a.Network().ClosePeer(id)
	dial("gone", ctx)
	up()
	dial("WithForceDirectDial", network.WithForceDirectDial(ctx, "finding"))
}
GO
export GOWORK=off
go mod init finding 2>log && go get github.com/libp2p/go-libp2p@v0.51.0 2>>log && go build -o finding . || { cat log; exit 1; }
got=$(./finding 2>log) || { cat log; exit 1; }
echo "$got"
diff <(echo "$want") <(echo "$got") || { echo "the behaviour is another"; exit 1; }
