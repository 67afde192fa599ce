package describe

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// Change is one between two versions of a server.
type Change struct {
	Method   string `json:"method"` // "Service.Method"
	Rule     string `json:"rule"`   // the name of the [Rule]
	Breaking bool   `json:"breaking"`
	Text     string `json:"text"` // with the mend, if it is breaking
}

// String is a line: whether it is breaking, the method, and the text.
func (c Change) String() string {
	word := "compatible"
	if c.Breaking {
		word = "breaking"
	}
	return fmt.Sprintf("%s: %s: %s", word, c.Method, c.Text)
}

// Changes are those between two versions of a server, by method.
type Changes []Change

// Breaking returns those that break peers of the version before.
func (c Changes) Breaking() (all Changes) {
	for _, one := range c {
		if one.Breaking {
			all = append(all, one)
		}
	}
	return all
}

// Err returns nil if nothing is breaking, and otherwise an error that lists what is.
func (c Changes) Err() error {
	var errs []error
	for _, one := range c.Breaking() {
		errs = append(errs, errors.New(one.String()))
	}
	return errors.Join(errs...)
}

// String lists the changes, one a line.
func (c Changes) String() string {
	var b strings.Builder
	for _, one := range c {
		fmt.Fprintln(&b, one)
	}
	return b.String()
}

// Compare says what of a new version of a server is different for those who call it
// as the old version describes it: their arguments are read as the new types, and the
// new version's replies as theirs. Lines of documentation and names of Go types are
// no changes, but for types with a binary form, which are known by their names.
// It returns an error if a description is not valid.
func Compare(old, new Description) (Changes, error) {
	before, err := private(&old)
	if err != nil {
		return nil, fmt.Errorf("describe: the old description: %w", err)
	}
	after, err := private(&new)
	if err != nil {
		return nil, fmt.Errorf("describe: the new description: %w", err)
	}
	c := comparing{before: before, after: after, left: shape.MaxCompared}
	now := make(map[rpc.ServiceID]*shape.Method)
	services := make(map[string]bool)
	for i := range after.Methods {
		m := &after.Methods[i]
		now[idOf(m)], services[m.Service] = m, true
	}
	for i := range before.Methods {
		m := &before.Methods[i]
		switch n := now[idOf(m)]; {
		case n != nil:
			c.method(m, n)
			delete(now, idOf(m))
		case services[m.Service]:
			c.add(idOf(m), ruleMethodRemoved, "the method is gone")
		default:
			c.add(idOf(m), ruleMethodRemoved, "the service is gone")
		}
	}
	for i := range after.Methods {
		if m := &after.Methods[i]; now[idOf(m)] == m {
			c.add(idOf(m), ruleMethodAdded, "the method is new")
		}
	}
	if before.More || after.More {
		c.add(rpc.ServiceID{}, string(shape.Uncompared), "there are more methods than are described")
	}
	return c.changes, nil
}

type comparing struct {
	before, after *shape.Description
	left          int // of shape.MaxCompared
	changes       Changes
}

func idOf(m *shape.Method) rpc.ServiceID { return rpc.ServiceID{Name: m.Service, Method: m.Name} }

func (c *comparing) add(id rpc.ServiceID, rule, text string) { c.addWith(id, rule, text, "") }

// addWith adds a change whose mend may be another than the rule's.
func (c *comparing) addWith(id rpc.ServiceID, rule, text, mend string) {
	r := ruleNamed(rule)
	if r.Breaking {
		text += "; " + cmp.Or(mend, r.Mend)
	}
	method := shape.Word(id.Name) + "." + shape.Word(id.Method)
	c.changes = append(c.changes, Change{Method: method, Rule: rule, Breaking: r.Breaking, Text: text})
}

func (c *comparing) method(old, new *shape.Method) {
	id := idOf(old)
	if old.Kind != new.Kind {
		c.add(id, ruleKind, fmt.Sprintf("the method was %v, and is %v", rpc.Kind(old.Kind), rpc.Kind(new.Kind)))
		return
	}
	if old.State != shape.Here || new.State != shape.Here {
		c.add(id, string(shape.Uncompared), "the types are too large to be described")
		return
	}
	if old.LostReply == "" && new.LostReply != "" { // of arguments peers send what they had
		c.add(id, ruleLost, "reply: a part does not travel: "+shape.Word(new.LostReply))
	}
	var args, replies shape.Findings
	const oldVersion, newVersion = "the old version", "the new version"
	shape.Compare(&args, shape.Direction{From: c.before, To: c.after, Writer: oldVersion, Reader: newVersion, Left: &c.left}, "argument", old.Args, new.Args)
	shape.Compare(&replies, shape.Direction{From: c.after, To: c.before, Writer: newVersion, Reader: oldVersion, Left: &c.left}, "reply", new.Reply, old.Reply)
	c.findings(id, args, ruleArgumentRemoved, ruleArgumentAdded)
	c.findings(id, replies, ruleReplyAdded, ruleReplyRemoved)
	c.limits(id, old.Limits, new.Limits)
}

func (c *comparing) findings(id rpc.ServiceID, all shape.Findings, dropped, missing string) {
	for _, f := range all {
		rule := string(f.Rule)
		switch f.Rule {
		case shape.Dropped:
			rule = dropped
		case shape.Missing:
			rule = missing
		}
		mend := ""
		if f.Path == "argument" || f.Path == "reply" { // which has no name of its own
			mend = wholeMends[rule]
		}
		c.addWith(id, rule, f.Path+": "+f.Text, mend)
	}
}

// limits tells of those that are narrower.
func (c *comparing) limits(id rpc.ServiceID, old, new shape.Limits) {
	narrower(c, id, "messages have at most %v bytes", old.MessageSize, new.MessageSize)
	narrower(c, id, "a call may take at most %v", time.Duration(old.Timeout), time.Duration(new.Timeout))
	narrower(c, id, "a peer may make at most %v calls at once", old.CallsPerPeer, new.CallsPerPeer)
	narrower(c, id, "a peer may make at most %v calls a second", old.Rate, new.Rate)
}

func narrower[T int | float64 | time.Duration](c *comparing, id rpc.ServiceID, format string, old, new T) {
	if new > 0 && (old == 0 || new < old) {
		was := "any number before"
		if old > 0 {
			was = fmt.Sprintf("%v before", old)
		}
		c.add(id, ruleLimit, fmt.Sprintf(format, new)+", and "+was)
	}
}
