package rpctest

import rpc "github.com/libp2p/go-libp2p-gorpc"

type (
	Server  struct{ *rpc.Server }
	Methods map[string]any
)

func (s *Server) Mock(service string, methods Methods) {}
