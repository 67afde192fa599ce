#!/bin/bash
# go-libp2p v0.51.0: libp2p.New that fails because its address is in use leaves eight
# goroutines behind, for good, and returns nothing that could be closed.
#
# Whom it surprises: whoever calls New until a port is free (a restart beside the old
# process), and whoever looks for leaked goroutines in tests of such errors. What stays
# is what New had made before it listened: peerstore, resource manager, connection
# manager, swarm, and the relay's listener.
#
# What helps: New with NoListenAddrs, then host.Network().Listen, and host.Close if
# that fails. It leaves nothing.
#
# The output that was seen is $want below; the goroutines are those of five hosts.
set -euo pipefail

want='New and Close: <nil>; goroutines left: 0
New with a port in use: failed to listen on any addresses; goroutines left: 40
NoListenAddrs, Listen, Close: failed to listen on any addresses; goroutines left: 0'

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >main.go <<'GO'
package main

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/multiformats/go-multiaddr"
)

func main() {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	used := fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", l.Addr().(*net.TCPAddr).Port)

	count := func(what string, f func() error) {
		before := runtime.NumGoroutine()
		for range 5 {
			err = f()
		}
		left := 0
		for range 50 { // what ends, ends within 5 seconds
			time.Sleep(100 * time.Millisecond)
			if left = runtime.NumGoroutine() - before; left == 0 {
				break
			}
		}
		text, _, _ := strings.Cut(fmt.Sprint(err), ":")
		fmt.Printf("%s: %s; goroutines left: %d\n", what, text, left)
	}
	count("New and Close", func() error {
		h, err := libp2p.New(libp2p.ListenAddrStrings("/ip4/127.0.0.1/tcp/0"))
		if err != nil {
			return err
		}
		return h.Close()
	})
	count("New with a port in use", func() error {
		_, err := libp2p.New(libp2p.ListenAddrStrings(used))
		return err
	})
	count("NoListenAddrs, Listen, Close", func() error {
		h, err := libp2p.New(libp2p.NoListenAddrs)
		if err != nil {
			return err
		}
		defer h.Close()
		return h.Network().Listen(multiaddr.StringCast(used))
	})
}
GO
export GOWORK=off
go mod init finding 2>log && go get github.com/libp2p/go-libp2p@v0.51.0 2>>log && go build -o finding . || { cat log; exit 1; }
got=$(./finding 2>log) || { cat log; exit 1; }
echo "$got"
diff <(echo "$want") <(echo "$got") || { echo "the behaviour is another"; exit 1; }
