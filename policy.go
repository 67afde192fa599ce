package rpc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"
)

// Policy says which peers may call which methods, for [WithPolicy]:
//
//	rpc.Policy{
//		Version.ID():     rpc.AllowEveryone(), // a method value
//		{Name: "Pins"}:   rpc.AllowTrusted(members.Contains), // all methods of a service
//		{Name: "Pins", Method: "Purge"}: rpc.AllowPeers(operator), // but this one
//		{Name: "Debug"}:  rpc.AllowNobody(),
//	}
//
// A key names a method, or, with an empty Method, all methods of a service for
// which there is no key of their own. What no key names, nobody may call.
// Local calls are not asked about: they are never authorized.
//
// [Policy.Report] tells what holds for each method that a server has, so that a
// test can see to it that none was forgotten.
type Policy map[ServiceID]Rule

// Rule says which peers may call a method. The zero Rule allows nobody.
type Rule struct {
	who    string
	allows func(caller peer.ID) bool
}

// AllowEveryone allows every peer.
func AllowEveryone() Rule { return Rule{"everyone", func(peer.ID) bool { return true }} }

// AllowNobody allows no peer: only local calls are served.
func AllowNobody() Rule { return Rule{} }

// AllowTrusted allows the peers for which trusted returns true. It is asked once
// a call, by several goroutines at once, and so may change its mind. It panics
// if trusted is nil.
func AllowTrusted(trusted func(caller peer.ID) bool) Rule {
	if trusted == nil {
		panic("rpc: AllowTrusted of a nil function: pass one, or use AllowNobody")
	}
	return Rule{"trusted peers", trusted}
}

// AllowPeers allows the given peers.
func AllowPeers(peers ...peer.ID) Rule {
	set := make(map[peer.ID]bool, len(peers))
	names := make([]string, len(peers))
	for i, p := range peers {
		set[p], names[i] = true, p.String()
	}
	if len(peers) == 0 {
		return Rule{}
	}
	return Rule{strings.Join(names, ", "), func(caller peer.ID) bool { return set[caller] }}
}

// Allows reports whether the peer may call what the rule is for.
func (r Rule) Allows(caller peer.ID) bool { return r.allows != nil && r.allows(caller) }

// String says whom the rule allows: "everyone", "nobody", "trusted peers", or
// the peers.
func (r Rule) String() string {
	if r.allows == nil {
		return "nobody"
	}
	return r.who
}

// WithPolicy makes a server serve the remote calls that p allows, and refuse all
// others. p is copied. It takes the place of [WithAuthorizeFunc], whose rules
// hold otherwise: of the two the last given counts.
func WithPolicy(p Policy) ServerOption { return WithAuthorizeFunc(maps.Clone(p).Authorize) }

// Authorize reports whether the policy allows the call. It is a function for
// [WithAuthorizeFunc]; the policy must not change while it is used as one.
func (p Policy) Authorize(caller peer.ID, svc, method string) bool {
	rule, _ := p.rule(ServiceID{svc, method})
	return rule.Allows(caller)
}

// rule returns the rule for a method, and whether there is one.
func (p Policy) rule(id ServiceID) (Rule, bool) {
	if id.Method == "" {
		return Rule{}, false // no method: not what a service's key is for
	}
	if rule, ok := p[id]; ok {
		return rule, true
	}
	rule, ok := p[ServiceID{Name: id.Name}]
	return rule, ok
}

// PolicyReport is what a [Policy] says of the methods of a server.
type PolicyReport struct {
	// Methods are all that are registered, sorted by service and method.
	Methods []MethodPolicy
	// Unused are the policy's keys that no registered method has: mistyped, or
	// of something that is gone.
	Unused []ServiceID
}

// MethodPolicy is what a [Policy] says of one method.
type MethodPolicy struct {
	Method ServiceID
	Rule   Rule
	// Stated is whether the policy names the method or its service. Where it
	// does not, nobody may call it.
	Stated bool
}

// Report compares the policy with what is registered at s, which need not be
// the server that it is used for.
func (p Policy) Report(s *Server) PolicyReport {
	var report PolicyReport
	used := make(map[ServiceID]bool)
	for _, svc := range s.Services() {
		for _, m := range svc.Methods {
			id := ServiceID{svc.Name, m.Name}
			rule, stated := p.rule(id)
			report.Methods = append(report.Methods, MethodPolicy{id, rule, stated})
			used[id], used[ServiceID{Name: svc.Name}] = true, true
		}
	}
	for id := range p {
		if !used[id] {
			report.Unused = append(report.Unused, id)
		}
	}
	slices.SortFunc(report.Unused, func(a, b ServiceID) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Method, b.Method))
	})
	return report
}

// Err returns nil if the policy names every registered method, or its service,
// and nothing else, and otherwise an error that lists what was forgotten.
func (r PolicyReport) Err() error {
	var errs []error
	for _, m := range r.Methods {
		if !m.Stated {
			errs = append(errs, fmt.Errorf("rpc: the policy says nothing of %v: nobody may call it", m.Method))
		}
	}
	for _, id := range r.Unused {
		if id.Method == "" {
			errs = append(errs, fmt.Errorf("rpc: the policy has a rule for the service %q, which is not registered", id.Name))
		} else {
			errs = append(errs, fmt.Errorf("rpc: the policy has a rule for %v, which is not registered", id))
		}
	}
	return errors.Join(errs...)
}

// String lists the methods, one a line, with whom the policy allows to call
// them.
func (r PolicyReport) String() string {
	var b strings.Builder
	for _, m := range r.Methods {
		fmt.Fprintf(&b, "%v: %v", m.Method, m.Rule)
		if !m.Stated {
			b.WriteString(" (not stated)")
		}
		b.WriteByte('\n')
	}
	return b.String()
}
