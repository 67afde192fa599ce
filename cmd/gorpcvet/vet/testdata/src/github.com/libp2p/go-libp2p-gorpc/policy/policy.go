package policy

import rpc "github.com/libp2p/go-libp2p-gorpc"

type (
	Rules map[rpc.ServiceID]Rule
	Rule  struct{}
)

func Everyone() Rule { return Rule{} }
