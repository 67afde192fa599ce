// Package policy says which peers may call which methods of a server:
//
//	rules := policy.Rules{
//		Version.ID():     policy.Everyone(), // a method value
//		{Name: "Pins"}:   policy.Trusted(members.Contains), // all methods of a service
//		{Name: "Pins", Method: "Purge"}: policy.Peers(operator), // but this one
//		{Name: "Debug"}:  policy.Nobody(),
//	}
//	server := rpc.NewServer(host, protocolID, policy.With(rules))
//
// [Rules.Report] tells what holds for each method that a server has, so that a
// test can see to it that none was forgotten.
package policy

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Rules says which peers may call which methods. A key names a method, or, with
// an empty Method, all methods of a service for which there is no key of their
// own. What no key names, nobody may call. Local calls are always served.
type Rules map[rpc.ServiceID]Rule

// Rule says which peers may call a method. The zero Rule allows nobody.
type Rule struct {
	who    string
	allows func(caller peer.ID) bool
}

// Everyone allows every peer.
func Everyone() Rule { return Rule{"everyone", func(peer.ID) bool { return true }} }

// Nobody allows no peer: only local calls are served.
func Nobody() Rule { return Rule{} }

// Trusted allows the peers for which trusted returns true. It is asked once
// a call, by several goroutines at once, and so may change its mind. It panics
// if trusted is nil.
func Trusted(trusted func(caller peer.ID) bool) Rule {
	if trusted == nil {
		panic("policy.Trusted: nil function: pass one, or use Nobody")
	}
	return Rule{"trusted peers", trusted}
}

// Peers allows the given peers.
func Peers(peers ...peer.ID) Rule {
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

// With makes a server serve the remote calls that the rules allow, and refuse all
// others. The rules are copied. It takes the place of [rpc.WithAuthorizeFunc]:
// of the two the last given counts.
func With(r Rules) rpc.ServerOption { return rpc.WithAuthorizeFunc(maps.Clone(r).Authorize) }

// Authorize reports whether the rules allow the call. It is a function for
// [rpc.WithAuthorizeFunc]; the rules must not change while it is used as one.
func (r Rules) Authorize(caller peer.ID, svc, method string) bool {
	rule, _ := r.rule(rpc.ServiceID{Name: svc, Method: method})
	return rule.Allows(caller)
}

// rule returns the rule for a method, and whether there is one.
func (r Rules) rule(id rpc.ServiceID) (Rule, bool) {
	if id.Method == "" {
		return Rule{}, false // an empty name is no method: the service's key is not meant for it
	}
	if rule, ok := r[id]; ok {
		return rule, true
	}
	rule, ok := r[rpc.ServiceID{Name: id.Name}]
	return rule, ok
}

// Report is what the rules say of the methods of a server.
type Report struct {
	// Methods are all that are registered, sorted by service and method.
	Methods []MethodReport
	// Unused are the keys that fit no registered method: a mistyped name, or one
	// that has been removed.
	Unused []rpc.ServiceID
}

// MethodReport is what the rules say of one method.
type MethodReport struct {
	Method rpc.ServiceID
	Rule   Rule
	// Stated is whether the rules name the method or its service. Where they do
	// not, nobody may call it.
	Stated bool
}

// Report compares the rules with what is registered at s, which need not be
// the server that they are used for.
func (r Rules) Report(s *rpc.Server) Report {
	var report Report
	used := make(map[rpc.ServiceID]bool)
	for _, svc := range s.Services() {
		for _, m := range svc.Methods {
			id := rpc.ServiceID{Name: svc.Name, Method: m.Name}
			rule, stated := r.rule(id)
			report.Methods = append(report.Methods, MethodReport{id, rule, stated})
			used[id], used[rpc.ServiceID{Name: svc.Name}] = true, true
		}
	}
	for id := range r {
		if !used[id] {
			report.Unused = append(report.Unused, id)
		}
	}
	slices.SortFunc(report.Unused, func(a, b rpc.ServiceID) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Method, b.Method))
	})
	return report
}

// Err returns nil if the rules name every registered method, or its service,
// and nothing else, and otherwise an error that lists what was forgotten.
func (r Report) Err() error {
	var errs []error
	for _, m := range r.Methods {
		if !m.Stated {
			errs = append(errs, fmt.Errorf("policy: no rule names %v: nobody may call it", m.Method))
		}
	}
	for _, id := range r.Unused {
		if id.Method == "" {
			errs = append(errs, fmt.Errorf("policy: there is a rule for the service %q, which is not registered", id.Name))
		} else {
			errs = append(errs, fmt.Errorf("policy: there is a rule for %v, which is not registered", id))
		}
	}
	return errors.Join(errs...)
}

// String lists the methods, one a line, with whom the rules allow to call
// them.
func (r Report) String() string {
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
