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
	c := collector[T]{r: r, seen: []T{t}}
	for _, option := range structOptions(r, t) {
		switch option {
		case "omitempty":
			c.omitEmpty = true
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
	c.collect(t, nil)
	s.Fields, s.Lost = c.shallowest(), c.lost
	return s
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

// collector finds the fields of a struct.
type collector[T comparable] struct {
	r         Reader[T]
	all       []Field[T]
	lost      []Loss[T]
	seen      []T // the struct, and those that it embeds
	omitEmpty bool
}

// mostEmbedded is how often a struct may be embedded in itself, by pointers.
const mostEmbedded = 2

func (c *collector[T]) collect(t T, within []Step[T]) {
	for i := range c.r.NumField(t) {
		f, of := c.r.Field(t, i), c.r.FieldType(t, i)
		kind := c.r.Kind(of)
		if kind == reflect.Func || kind == reflect.UnsafePointer || !f.Exported && !f.Embedded || f.stays() {
			continue
		}
		found := Field[T]{
			Name: f.name(), Type: of, Path: append(slices.Clone(within), Step[T]{t, i, f.Name}),
			OmitEmpty: c.omitEmpty || slices.Contains(strings.Split(f.tag(), ",")[1:], "omitempty"),
		}
		if f.Embedded && kind != reflect.Interface {
			if !f.Exported && kind != reflect.Struct {
				if to := pointed(c.r, of); kind == reflect.Pointer && c.r.Kind(to) == reflect.Struct {
					c.lost = append(c.lost, Loss[T]{found.Path, of, "an embedded pointer to the unexported type " + c.r.String(to) +
						", which a receiver cannot set; embed the type itself, or name the field"})
				}
				continue
			}
			if found.Name == "" && c.r.Kind(pointed(c.r, of)) == reflect.Struct {
				c.embed(pointed(c.r, of), found.Path)
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
func (c *collector[T]) embed(t T, path []Step[T]) {
	times := 0
	for _, other := range c.seen {
		if other == t {
			times++
		}
	}
	if times < mostEmbedded {
		c.seen = append(c.seen, t)
		c.collect(t, path)
	}
}

// shallowest returns one field of each name: the one that is embedded least
// deep, and of several the first.
func (c *collector[T]) shallowest() (fields []Field[T]) {
	best := make(map[string]int)
	for i, f := range c.all {
		j, ok := best[f.Name]
		if !ok || len(f.Path) < len(c.all[j].Path) {
			best[f.Name] = i
		}
	}
	for i, f := range c.all {
		j := best[f.Name]
		if j == i {
			fields = append(fields, f)
		} else if len(f.Path) == len(c.all[j].Path) {
			c.lost = append(c.lost, Loss[T]{f.Path, f.Type, "of the same name as another field, " + f.Name + ", and only one of them travels; give one a tag"})
		}
	}
	return fields
}
