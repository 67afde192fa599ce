//go:build !before

package rig

import rpc "github.com/libp2p/go-libp2p-gorpc"

// heeding are the options of a server whose methods heed their contexts.
func heeding() []rpc.ServerOption {
	return []rpc.ServerOption{rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{HeedsContext: true})}
}
