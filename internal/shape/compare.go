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
}

// Findings are what a comparison found.
type Findings struct {
	Problems []string // values fail, or are misread
	Notes    []string // values may be lost, or fail
}

// Compare compares what is written as one type with the type that it is read as,
// by their numbers in the two descriptions, and adds what it finds. what names
// the value.
func Compare(into *Findings, d Direction, what string, written, read int) {
	c := &comparison{Direction: d, into: into, seen: make(map[[2]int]bool)}
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
	c.note(path, "what it is made of is not compared: it is too large")
}

func (c *comparison) problem(path, format string, args ...any) {
	c.into.Problems = found(c.into.Problems, path, format, args)
}

func (c *comparison) note(path, format string, args ...any) {
	c.into.Notes = found(c.into.Notes, path, format, args)
}

func found(all []string, path, format string, args []any) []string {
	switch {
	case len(all) < maxFindings:
		return append(all, path+": "+fmt.Sprintf(format, args...))
	case len(all) == maxFindings:
		return append(all, "and more")
	}
	return all
}

func (c *comparison) mismatch(path string, w, r *Type) {
	c.problem(path, "%s sends %s, and %s takes %s", c.Writer, w.words(), c.Reader, r.words())
}

// compare compares two types, and leaves their parts for later.
func (c *comparison) compare(path string, w, r *Type) {
	switch {
	case w.Kind == kindAny || r.Kind == kindAny:
	case w.Kind == kindOwn || r.Kind == kindOwn:
		c.compareOwn(path, w, r)
	case isNumber(w) && isNumber(r):
		c.compareNumbers(path, w, r)
	case w.Kind == kindMap && r.Kind == kindStruct:
		c.mapToStruct(path, w, r)
	case w.Kind == kindStruct && r.Kind == kindMap && !w.Array:
		c.structToMap(path, w, r)
	case w.Kind != r.Kind || w.Kind == kindOther && w.Name != r.Name:
		c.mismatch(path, w, r)
	case w.Kind == kindStruct && w.Array:
		c.comparePlaces(path, w, r)
	case w.Kind == kindStruct:
		c.compareFields(path, w, r)
	case w.Kind == kindMap:
		c.push(path+" (key)", w.Key, r.Key)
		c.push(path+"[]", w.Elem, r.Elem)
	case w.Kind == kindList:
		c.push(path+"[]", w.Elem, r.Elem)
		fallthrough
	case w.Kind == kindRaw:
		switch {
		case w.Len == r.Len || r.Len == 0:
		case w.Len != 0:
			c.mismatch(path, w, r)
		default:
			c.note(path, "%s sends %s, and %s takes %s: another length fails", c.Writer, w.words(), c.Reader, r.words())
		}
	}
}

func (c *comparison) compareOwn(path string, w, r *Type) {
	switch {
	case w.Kind == r.Kind && w.Name == r.Name:
	case w.Kind == kindRaw || r.Kind == kindRaw:
		c.note(path, "%s sends %s, and %s takes %s: what the binary form is must be known to it", c.Writer, w.words(), c.Reader, r.words())
	default:
		c.mismatch(path, w, r)
	}
}

func isNumber(t *Type) bool {
	return t.Kind == kindInt || t.Kind == kindUint || t.Kind == kindFloat
}

func (c *comparison) compareNumbers(path string, w, r *Type) {
	bits := func(t *Type) int { // for what is not negative
		if t.Kind == kindInt {
			return t.Bits - 1
		}
		return t.Bits
	}
	switch {
	case w.Kind == kindFloat && r.Kind != kindFloat:
		c.mismatch(path, w, r)
	case r.Kind == kindFloat && w.Kind != kindFloat:
	case w.Kind == kindInt && r.Kind == kindUint:
		c.note(path, "%s sends %s, and %s takes %s: negative numbers fail", c.Writer, w.words(), c.Reader, r.words())
	case bits(w) > bits(r):
		c.note(path, "%s sends %s, and %s takes %s: large numbers fail", c.Writer, w.words(), c.Reader, r.words())
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
		c.problem(path, "%s sends %s, which %s does not have; it has %s instead", c.Writer, listed(unread), c.Reader, listed(unwritten))
	case len(unread) > 0:
		c.note(path, "%s sends %s, which %s does not have: it is dropped", c.Writer, listed(unread), c.Reader)
	case len(unwritten) > 0:
		c.note(path, "%s does not send %s, which %s has: it stays zero", c.Writer, listed(unwritten), c.Reader)
	}
}

// comparePlaces compares a struct that is written as an array: its fields are
// read in order.
func (c *comparison) comparePlaces(path string, w, r *Type) {
	n := min(len(w.Fields), len(r.Fields))
	for i := range n {
		a, b := w.Fields[i], r.Fields[i]
		if a.Name != b.Name {
			c.problem(path, "at place %d %s sends %s, and %s takes %s", i+1, c.Writer, Word(a.Name), c.Reader, Word(b.Name))
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
	if key := &c.From.Types[w.Key]; key.Kind != kindRaw && key.Kind != kindAny {
		c.mismatch(path, w, r)
		return
	}
	for _, f := range r.Fields {
		c.push(path+"."+Word(f.Name), w.Elem, f.Type)
	}
}

func (c *comparison) structToMap(path string, w, r *Type) {
	if key := &c.To.Types[r.Key]; key.Kind != kindRaw && key.Kind != kindAny {
		c.mismatch(path, w, r)
		return
	}
	for _, f := range w.Fields {
		c.push(path+"."+Word(f.Name), f.Type, r.Elem)
	}
}

// words describes the type for people.
func (t *Type) words() string {
	what := map[string]string{
		kindBool: "a bool", kindInt: "a number", kindUint: "a number", kindFloat: "a float", kindRaw: "a string or bytes",
		kindList: "a list", kindMap: "a map", kindStruct: "a struct", kindOwn: "a binary form of its own",
	}[t.Kind]
	if t.Kind == kindStruct && t.Array {
		what = "a struct as an array"
	}
	if what == "" {
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
