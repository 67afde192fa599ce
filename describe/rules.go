package describe

import (
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// Rule is one of the rules by which [Compare] judges what changed. docs/evolving.md
// has them as a table.
type Rule struct {
	Name     string
	Change   string // what is different in the new version
	Breaking bool   // peers of the version before fail, or lose or misread something
	Then     string // what they meet
	Mend     string // of a breaking change
}

// The rules that are about methods.
const (
	ruleMethodRemoved = "method-removed"
	ruleMethodAdded   = "method-added"
	ruleKind          = "kind"
	ruleLost          = "lost"
	ruleLimit         = "limit"
)

// The rules that depend on who writes: the version before writes arguments, the new
// one replies.
const (
	ruleArgumentRemoved = "argument-field-removed"
	ruleArgumentAdded   = "argument-field-added"
	ruleReplyRemoved    = "reply-field-removed"
	ruleReplyAdded      = "reply-field-added"
)

const (
	mendBeside = "give the new one another name, and keep both until no peer has the old one"
	mendMethod = "keep the method as it is, and add another for the new types"
)

// wholeMends are those where it is all of an argument or a reply that has changed.
var wholeMends = map[string]string{
	string(shape.Misfit): mendMethod, string(shape.Range): mendMethod, string(shape.Sign): mendMethod,
	string(shape.Length): mendMethod, string(shape.BinaryForm): mendMethod,
}

var rules = []Rule{
	{ruleMethodAdded, "a method or a service was added", false, "they do not call it", ""},
	{ruleMethodRemoved, "a method or a service is gone, or has another name", true, "their calls fail with Unimplemented", "keep the method until nobody calls it"},
	{ruleKind, "a unary method became a streaming one, or the other way round", true, "their calls fail with Unimplemented", "keep the method, and add another"},
	{ruleArgumentAdded, "the argument has another field", false, "they do not send it: it is zero", ""},
	{ruleReplyAdded, "the reply has another field", false, "they drop it", ""},
	{ruleArgumentRemoved, "the argument lacks a field", true, "what they send in it is dropped", "keep the field until nobody sends it"},
	{ruleReplyRemoved, "the reply lacks a field", true, "they read zero", "keep the field, and set it"},
	{string(shape.Renamed), "a struct lost fields and got others: one was renamed, or it is another struct", true, "what is sent in the old ones is dropped, and the new ones are zero", mendBeside},
	{string(shape.Place), "a struct that travels as an array has another field at a place", true, "fields are taken for others", "add fields at the end, and keep the places of those that are no longer used"},
	{string(shape.Misfit), "a value is written in another way than the reader takes", true, "calls fail with InvalidArgument, or replies do not decode", mendBeside},
	{string(shape.Range), "a number is read into fewer bits than it is written from", true, "large numbers fail", mendBeside},
	{string(shape.Sign), "a number that may be negative is read into an unsigned one", true, "negative numbers fail", mendBeside},
	{string(shape.Length), "a list of any length is read into an array", true, "lists of another length fail", mendBeside},
	{string(shape.BinaryForm), "bytes or a string became a type with a binary form of its own, or the other way round", true, "the bytes are misread, or refused", mendBeside},
	{string(shape.Unknown), "what was of any type, or becomes it, is read into a type that not all of it fits", true, "what does not fit fails", mendMethod},
	{ruleLost, "a part of the reply cannot travel", true, "calls fail in which it is not nil or zero", "use a type that travels, or tag the field codec:\"-\""},
	{string(shape.Uncompared), "the types are too large to be compared", true, "not known", "describe smaller types"},
	{ruleLimit, "a limit is narrower", false, "calls over it fail with ResourceExhausted, or end with DeadlineExceeded", ""},
}

// Rules returns the rules, in the order of docs/evolving.md.
func Rules() []Rule { return append([]Rule(nil), rules...) }

func ruleNamed(name string) Rule {
	for _, r := range rules {
		if r.Name == name {
			return r
		}
	}
	panic("describe: no rule " + name)
}
