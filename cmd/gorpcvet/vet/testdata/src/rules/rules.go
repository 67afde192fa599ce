package rules

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/policy"
	"github.com/libp2p/go-libp2p/core/peer"
)

type Pins struct{}

func (Pins) Get(ctx context.Context, a string, r *int) error { return nil }

func serve(s *rpc.Server) { _ = s.Register(Pins{}) }

var rules = policy.Rules{
	{Name: "Pins"}:                  policy.Everyone(),
	{Name: "Pins", Method: "Get"}:   policy.Everyone(),
	{"Pins", "Gett"}:                policy.Everyone(), // want `policy: the rule is for no method: service Pins has no method Gett: is Get meant`
	{Name: "Pinz", Method: "Get"}:   policy.Everyone(), // want `policy: the rule is for no method: no service Pinz`
	{Name: "Pins", Method: dynamic}: policy.Everyone(),
	get.ID():                        policy.Everyone(),
}

var dynamic string

func init() { dynamic = "Get" }

var get = rpc.NewMethod[string, int]("Pins", "Get")

var authorized = rpc.AuthorizeWithMap(map[peer.ID]map[string]bool{
	"a": {"Pins.Get": true, "Pins.Put": true}, // want `policy: the rule is for no method: service Pins has no method Put`
	"b": {"Get": true},                        // want `policy: the rule is for no method: "Get" is not of the form Service.Method`
})
