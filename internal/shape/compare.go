package shape

import (
	"fmt"
	"strconv"
	"strings"
)

// Direction is one in which values travel: they are written as types of one
// Description and read as types of another.
type Direction struct {
	From, To       *Description
	Writer, Reader string
	Left           *int // of MaxCompared
}

// pair is a type that is written, and the one that it is read as.
type pair struct {
	path    string
	written int
	read    int
}

// MaxCompared is how many types and fields of all methods together are compared: a
// peer says how many there are.
const MaxCompared = 1 << 23

const (
	maxPairs    = 1 << 15 // that are compared: each once
	maxFindings = 64      // that are told of one method
	maxPath     = 256
)

// comparison is one of two types and all that they are made of. It does not
// recurse: a peer says what types are made of.
type comparison struct {
	Direction
	into  *Findings
	queue []pair
	seen  map[[2]int]bool
	count map[Rule]int
}

// Rule is one that a comparison found to be broken.
type Rule string

// The rules. Of the first three values fail or are misread; of the others values may be
// lost or fail.
const (
	Misfit     Rule = "type"       // what is written is not what is taken
	Renamed    Rule = "renamed"    // each side has fields that the other lacks
	Place      Rule = "place"      // of structs as arrays: another field at a place
	Dropped    Rule = "dropped"    // the reader lacks a field
	Missing    Rule = "missing"    // the writer lacks a field
	Sign       Rule = "sign"       // negative numbers fail
	Range      Rule = "range"      // large numbers fail
	Length     Rule = "length"     // lists of another length fail
	BinaryForm Rule = "form"       // bytes for a type with a binary form, or the other way round
	Unknown    Rule = "any"        // the writer may send anything
	Uncompared Rule = "uncompared" // it is not compared
)

// Finding is what a comparison found, in words.
type Finding struct {
	Rule Rule
	Path string // of the value: argument.Lines[].Quantity
	Text string
}

// Findings are what a comparison found.
type Findings []Finding

// Problems are those of which values fail or are misread.
func (f Findings) Problems() []string {
	return f.of(func(r Rule) bool { return r == Misfit || r == Renamed || r == Place })
}

// Notes are those of which values may be lost, or fail. What an interface holds is
// known when it is sent.
func (f Findings) Notes() []string {
	return f.of(func(r Rule) bool { return r != Misfit && r != Renamed && r != Place && r != Unknown })
}

func (f Findings) of(counts func(Rule) bool) (all []string) {
	for _, one := range f {
		switch {
		case !counts(one.Rule):
		case len(all) < maxFindings:
			all = append(all, one.Path+": "+one.Text)
		case len(all) == maxFindings:
			all = append(all, "and more")
		}
	}
	return all
}

// Compare compares what is written as one type with the type that it is read as,
// by their numbers in the two descriptions, and adds what it finds. what names
// the value.
func Compare(into *Findings, d Direction, what string, written, read int) {
	c := &comparison{Direction: d, into: into, seen: make(map[[2]int]bool), count: make(map[Rule]int)}
	c.push(what, written, read)
	for len(c.queue) > 0 {
		p := c.queue[0]
		c.queue = c.queue[1:]
		w, r := &d.From.Types[p.written], &d.To.Types[p.read]
		if *d.Left -= 1 + len(w.Fields) + len(r.Fields); *d.Left < 0 {
			c.tooLarge(p.path)
			return
		}
		c.compare(p.path, w, r)
	}
}

func (c *comparison) push(path string, written, read int) {
	key := [2]int{written, read}
	if c.seen[key] {
		return
	}
	if len(c.seen) >= maxPairs || len(path) > maxPath {
		c.tooLarge(path)
		return
	}
	c.seen[key] = true
	c.queue = append(c.queue, pair{path, written, read})
}

func (c *comparison) tooLarge(path string) {
	c.found(Uncompared, path, "what it is made of is not compared: it is too large")
}

func (c *comparison) found(r Rule, path, format string, args ...any) {
	if c.count[r]++; c.count[r] <= maxFindings+1 {
		*c.into = append(*c.into, Finding{r, path, fmt.Sprintf(format, args...)})
	}
}

// differ adds that what is written is not what is taken, or not always; then what says
// more.
func (c *comparison) differ(r Rule, path string, written, read *Type, then string) {
	c.found(r, path, "%s sends %s, and %s takes %s%s", c.Writer, written.words(), c.Reader, read.words(), then)
}

// compare compares two types, and leaves their parts for later.
func (c *comparison) compare(path string, w, r *Type) {
	switch {
	case r.Kind == KindAny:
	case w.Kind == KindAny:
		c.differ(Unknown, path, w, r, ": it may be something else")
	case isOwn(w) || isOwn(r):
		c.compareOwn(path, w, r)
	case isNumber(w) && isNumber(r):
		c.compareNumbers(path, w, r)
	case w.Kind == KindMap && r.Kind == KindStruct:
		c.mapToStruct(path, w, r)
	case w.Kind == KindStruct && r.Kind == KindMap && !w.Array:
		c.structToMap(path, w, r)
	case isRaw(w) && isRaw(r):
		c.compareLengths(path, w, r)
	case w.Kind != r.Kind || w.Kind == KindOther && w.Name != r.Name:
		c.differ(Misfit, path, w, r, "")
	case w.Kind == KindStruct && w.Array:
		c.comparePlaces(path, w, r)
	case w.Kind == KindStruct:
		c.compareFields(path, w, r)
	case w.Kind == KindMap:
		c.push(path+" (key)", w.Key, r.Key)
		c.push(path+"[]", w.Elem, r.Elem)
	case w.Kind == KindList:
		c.push(path+"[]", w.Elem, r.Elem)
		c.compareLengths(path, w, r)
	}
}

func (c *comparison) compareLengths(path string, w, r *Type) {
	switch {
	case w.Len == r.Len || r.Len == 0:
	case w.Len != 0:
		c.differ(Misfit, path, w, r, "")
	default:
		c.differ(Length, path, w, r, ": another length fails")
	}
}

func (c *comparison) compareOwn(path string, w, r *Type) {
	switch {
	case w.Kind == r.Kind && w.Name == r.Name:
	case isRaw(w) || isRaw(r):
		c.differ(BinaryForm, path, w, r, ": what the binary form is must be known to it")
	default:
		c.differ(Misfit, path, w, r, "")
	}
}

func isNumber(t *Type) bool { return isInt(t) || t.Kind == KindUint || t.Kind == KindFloat }

func isInt(t *Type) bool { return t.Kind == KindInt || t.Kind == KindDuration }

func isRaw(t *Type) bool { return t.Kind == KindString || t.Kind == KindBytes }

func isOwn(t *Type) bool {
	switch t.Kind {
	case KindOwn, KindTime, KindPeer, KindCID, KindMultiaddr:
		return true
	}
	return false
}

func (c *comparison) compareNumbers(path string, w, r *Type) {
	bits := func(t *Type) int { // for what is not negative
		if isInt(t) {
			return t.Bits - 1
		}
		return t.Bits
	}
	switch {
	case w.Kind == KindFloat && r.Kind != KindFloat:
		c.differ(Misfit, path, w, r, "")
	case r.Kind == KindFloat && w.Kind != KindFloat:
	case isInt(w) && r.Kind == KindUint:
		c.differ(Sign, path, w, r, ": negative numbers fail")
	case bits(w) > bits(r):
		c.differ(Range, path, w, r, ": large numbers fail")
	}
}

// compareFields compares two structs by the names of their fields.
func (c *comparison) compareFields(path string, w, r *Type) {
	read := make(map[string]int, len(r.Fields))
	for _, f := range r.Fields {
		read[f.Name] = f.Type
	}
	var unread []string
	for _, f := range w.Fields {
		if t, ok := read[f.Name]; ok {
			c.push(path+"."+Word(f.Name), f.Type, t)
			delete(read, f.Name)
		} else {
			unread = append(unread, f.Name)
		}
	}
	var unwritten []string
	for _, f := range r.Fields {
		if _, ok := read[f.Name]; ok {
			unwritten = append(unwritten, f.Name)
			delete(read, f.Name)
		}
	}
	c.missing(path, unread, unwritten)
}

func (c *comparison) missing(path string, unread, unwritten []string) {
	switch {
	case len(unread) > 0 && len(unwritten) > 0:
		c.found(Renamed, path, "%s sends %s, which %s does not have; it has %s instead", c.Writer, listed(unread), c.Reader, listed(unwritten))
	case len(unread) > 0:
		c.found(Dropped, path, "%s sends %s, which %s does not have: it is dropped", c.Writer, listed(unread), c.Reader)
	case len(unwritten) > 0:
		c.found(Missing, path, "%s does not send %s, which %s has: it stays zero", c.Writer, listed(unwritten), c.Reader)
	}
}

// comparePlaces compares a struct that is written as an array: its fields are
// read in order.
func (c *comparison) comparePlaces(path string, w, r *Type) {
	n := min(len(w.Fields), len(r.Fields))
	for i := range n {
		a, b := w.Fields[i], r.Fields[i]
		if a.Name != b.Name {
			c.found(Place, path, "at place %d %s sends %s, and %s takes %s", i+1, c.Writer, Word(a.Name), c.Reader, Word(b.Name))
			continue
		}
		c.push(path+"."+Word(a.Name), a.Type, b.Type)
	}
	c.missing(path, fieldNames(w.Fields[n:]), fieldNames(r.Fields[n:]))
}

func fieldNames(fields []Field) (names []string) {
	for _, f := range fields {
		names = append(names, f.Name)
	}
	return names
}

// mapToStruct: which keys there will be is known when they are sent.
func (c *comparison) mapToStruct(path string, w, r *Type) {
	if key := &c.From.Types[w.Key]; !isRaw(key) && key.Kind != KindAny {
		c.differ(Misfit, path, w, r, "")
		return
	}
	for _, f := range r.Fields {
		c.push(path+"."+Word(f.Name), w.Elem, f.Type)
	}
}

func (c *comparison) structToMap(path string, w, r *Type) {
	if key := &c.To.Types[r.Key]; !isRaw(key) && key.Kind != KindAny {
		c.differ(Misfit, path, w, r, "")
		return
	}
	for _, f := range w.Fields {
		c.push(path+"."+Word(f.Name), f.Type, r.Elem)
	}
}

var kindWords = map[string]string{
	KindBool: "a bool", KindInt: "a number", KindUint: "a number", KindFloat: "a float", KindDuration: "nanoseconds",
	KindString: "a string", KindBytes: "bytes", KindList: "a list", KindMap: "a map", KindStruct: "a struct",
	KindOwn: "a binary form of its own", KindTime: "a time", KindPeer: "a peer ID", KindCID: "a CID", KindMultiaddr: "a multiaddr",
}

// words describes the type for people.
func (t *Type) words() string {
	what := kindWords[t.Kind]
	if t.Kind == KindStruct && t.Array {
		what = "a struct as an array"
	}
	if what == "" || what == "a "+t.Name {
		return Word(t.Name)
	}
	return Word(t.Name) + " (" + what + ")"
}

// Word makes what a peer sent fit for a line of text.
func Word(s string) string {
	s = Trimmed(s)
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) || r == '\ufffd' }) {
		return strconv.Quote(s)
	}
	return s
}

// listed is a list of names.
func listed(names []string) string {
	const most = 8
	words := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		words = append(words, Word(n))
	}
	text := strings.Join(words, ", ")
	if more := len(names) - most; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
