package travels

import (
	"reflect"
	"slices"
	"strings"
)

// Struct is how a struct travels. The rules are the codec library's, because they
// are v0.6's.
type Struct[T any] struct {
	Fields []Field[T]
	Array  bool         // it is written as an array of the fields' values
	Keys   reflect.Kind // how names are written: String, Int64, Uint64 or Float64
	Lost   []Loss[T]    // the fields that the rules leave behind although nobody said so
}

// Field is a field that travels, of the struct or of one that it embeds.
type Field[T any] struct {
	Name      string // as it is written
	Type      T
	OmitEmpty bool
	Path      []Step[T] // through the embedded structs to the field
}

// Loss is a part of a struct that does not travel: it must be zero.
type Loss[T any] struct {
	Path []Step[T] // through the embedded structs to the field; none for the struct itself
	Type T         // of the part
	Why  string
}

// StructOf returns how a struct travels.
func StructOf[T comparable](r Reader[T], t T) *Struct[T] {
	s := &Struct[T]{Keys: reflect.String}
	omitEmpty := false
	for _, option := range structOptions(r, t) {
		switch option {
		case "omitempty":
			omitEmpty = true
		case "toarray":
			s.Array = true
		case "int":
			s.Keys = reflect.Int64
		case "uint":
			s.Keys = reflect.Uint64
		case "float":
			s.Keys = reflect.Float64
		case "string":
			s.Keys = reflect.String
		}
	}
	c := collected(r, t, omitEmpty)
	for _, f := range c.shallowest() {
		f.Path = f.at.steps()
		s.Fields = append(s.Fields, f.Field)
	}
	s.Lost = c.lost
	return s
}

// collected returns the fields of a struct, and those that it embeds.
func collected[T comparable](r Reader[T], t T, omitEmpty bool) *collector[T] {
	c := &collector[T]{r: r, seen: map[T]int{t: 1}, omitEmpty: omitEmpty}
	c.collect(t, nil)
	return c
}

// structOptions are those of the tag of a field _struct, of the struct or of the one
// that it embeds least deep.
func structOptions[T comparable](r Reader[T], t T) []string {
	seen := make(map[T]bool)
	for level := []T{t}; len(level) > 0; {
		var found []Part
		var next []T
		for _, s := range level {
			if seen[s] {
				continue
			}
			seen[s] = true
			for i := range r.NumField(s) {
				f := r.Field(s, i)
				if f.Name == "_struct" {
					found = append(found, f)
				}
				if embedded := pointed(r, r.FieldType(s, i)); f.Embedded && r.Kind(embedded) == reflect.Struct {
					next = append(next, embedded)
				}
			}
		}
		if len(found) == 1 {
			return strings.Split(found[0].tag(), ",")[1:]
		}
		if len(found) > 1 {
			return nil
		}
		level = next
	}
	return nil
}

// pointed is what t points to, or t.
func pointed[T any](r Reader[T], t T) T {
	if r.Kind(t) == reflect.Pointer {
		return r.Elem(t)
	}
	return t
}

// way is the last step to a field, and what is before it. Many fields share the first
// steps of theirs.
type way[T any] struct {
	before *way[T]
	last   Step[T]
	length int
}

func (w *way[T]) then(s Step[T]) *way[T] {
	n := &way[T]{w, s, 1}
	if w != nil {
		n.length += w.length
	}
	return n
}

func (w *way[T]) steps() []Step[T] {
	all := make([]Step[T], w.length)
	for at := w; at != nil; at = at.before {
		all[at.length-1] = at.last
	}
	return all
}

// candidate is a field that travels if no other hides it.
type candidate[T any] struct {
	Field[T]
	at *way[T]
}

// collector finds the fields of a struct.
type collector[T comparable] struct {
	r         Reader[T]
	all       []candidate[T]
	lost      []Loss[T]
	seen      map[T]int // how often the struct, and those that it embeds, are there
	omitEmpty bool
}

// mostEmbedded is how often a struct may be embedded in itself, by pointers.
const mostEmbedded = 2

func (c *collector[T]) collect(t T, within *way[T]) {
	for i := range c.r.NumField(t) {
		f, of := c.r.Field(t, i), c.r.FieldType(t, i)
		kind := c.r.Kind(of)
		if kind == reflect.Func || kind == reflect.UnsafePointer || !f.Exported && !f.Embedded || f.stays() {
			continue
		}
		found := candidate[T]{at: within.then(Step[T]{t, i, f.Name}), Field: Field[T]{
			Name: f.name(), Type: of, OmitEmpty: c.omitEmpty || slices.Contains(strings.Split(f.tag(), ",")[1:], "omitempty"),
		}}
		if f.Embedded && kind != reflect.Interface {
			if !f.Exported && kind != reflect.Struct {
				if to := pointed(c.r, of); kind == reflect.Pointer && c.r.Kind(to) == reflect.Struct {
					c.lost = append(c.lost, Loss[T]{found.at.steps(), of, "an embedded pointer to the unexported type " + c.r.String(to) +
						", which a receiver cannot set; embed the type itself, or name the field"})
				}
				continue
			}
			if found.Name == "" && c.r.Kind(pointed(c.r, of)) == reflect.Struct {
				c.embed(pointed(c.r, of), found.at)
				continue
			}
		}
		if !f.Exported || f.Name == "_struct" {
			continue
		}
		if found.Name == "" {
			found.Name = f.Name
		}
		c.all = append(c.all, found)
	}
}

// embed collects the fields of an embedded struct.
func (c *collector[T]) embed(t T, at *way[T]) {
	if c.seen[t] < mostEmbedded {
		c.seen[t]++
		c.collect(t, at)
	}
}

// shallowest returns one field of each name: the one that is embedded least
// deep, and of several the first.
func (c *collector[T]) shallowest() (fields []candidate[T]) {
	best := make(map[string]int)
	for i, f := range c.all {
		j, ok := best[f.Name]
		if !ok || f.at.length < c.all[j].at.length {
			best[f.Name] = i
		}
	}
	for i, f := range c.all {
		j := best[f.Name]
		if j == i {
			fields = append(fields, f)
		} else if f.at.length == c.all[j].at.length {
			c.lost = append(c.lost, Loss[T]{f.at.steps(), f.Type, "of the same name as another field, " + f.Name + ", and only one of them travels; give one a tag"})
		}
	}
	return fields
}
