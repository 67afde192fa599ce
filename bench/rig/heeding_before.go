//go:build before

package rig

import rpc "github.com/libp2p/go-libp2p-gorpc"

// heeding is nothing that a server could declare.
func heeding() []rpc.ServerOption { return nil }
