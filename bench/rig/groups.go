package rig

// groups are all that is compared.
func groups() []group {
	all := []group{localGroup()}
	for _, over := range []struct{ name, addr string }{{"TCP", OverTCP}, {"QUIC", OverQUIC}} {
		all = append(all, unaryGroup(over.name, over.addr), streamGroup(over.name, over.addr), listGroup(over.name, over.addr))
	}
	all = append(all, spanGroup("TCP", OverTCP))
	return append(all, fanGroup(10), fanGroup(100))
}
