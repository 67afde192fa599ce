package codec

import (
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Fields are the fields of a struct that travel.
type Fields struct {
	ByName map[string]reflect.Type
	Order  []reflect.Type
	Names  []string // in the same order
}

// FieldsOf returns the fields of a struct type.
func FieldsOf(t reflect.Type) *Fields {
	s := structOf(t)
	f := &Fields{ByName: make(map[string]reflect.Type)}
	for _, field := range s.fields {
		f.ByName[field.name] = field.typ
		f.Order, f.Names = append(f.Order, field.typ), append(f.Names, field.name)
	}
	return f
}

// WrittenAsArray reports whether a struct is written as the library's toarray
// says.
func WrittenAsArray(t reflect.Type) bool { return structOf(t).array }

// structInfo is how a struct travels. The rules are the codec library's, because
// they are v0.6's.
type structInfo struct {
	fields []field
	array  bool         // as an array of the fields' values
	keys   reflect.Kind // how names are written: String, Int64, Uint64 or Float64
	lost   []lostField
}

// field is a field that travels, of the struct or of one that it embeds.
type field struct {
	name      string
	goName    string
	typ       reflect.Type
	omitEmpty bool
	within    []step  // from the struct to the struct that has the field
	offset    uintptr // in the last of them
}

// step leads to an embedded struct.
type step struct {
	offset uintptr
	ptr    reflect.Type // of the pointer's target; nil if the struct itself is embedded
}

// lostField is a field that the rules leave behind although nobody said so.
type lostField struct {
	field
	why string
}

var structs sync.Map // reflect.Type to *structInfo

func structOf(t reflect.Type) *structInfo {
	if s, ok := structs.Load(t); ok {
		return s.(*structInfo)
	}
	s, _ := structs.LoadOrStore(t, newStructInfo(t))
	return s.(*structInfo)
}

func newStructInfo(t reflect.Type) *structInfo {
	s := &structInfo{keys: reflect.String}
	c := collector{seen: []reflect.Type{t}}
	if of, ok := t.FieldByName("_struct"); ok {
		_, options, _ := strings.Cut(tagOf(of), ",")
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "omitempty":
				c.omitEmpty = true
			case "toarray":
				s.array = true
			case "int":
				s.keys = reflect.Int64
			case "uint":
				s.keys = reflect.Uint64
			case "float":
				s.keys = reflect.Float64
			case "string":
				s.keys = reflect.String
			}
		}
	}
	c.collect(t, nil)
	s.fields, s.lost = c.shallowest(), c.lost
	return s
}

// tagOf returns the tag that says how a field travels.
func tagOf(f reflect.StructField) string {
	if tag := f.Tag.Get("codec"); tag != "" {
		return tag
	}
	return f.Tag.Get("json")
}

// collector finds the fields of a struct.
type collector struct {
	all       []field
	lost      []lostField
	seen      []reflect.Type // the struct, and those that it embeds
	omitEmpty bool
}

// mostEmbedded is how often a struct may be embedded in itself, by pointers.
const mostEmbedded = 2

func (c *collector) collect(t reflect.Type, within []step) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := tagOf(f)
		hidden := !f.IsExported()
		kind := f.Type.Kind()
		if kind == reflect.Func || kind == reflect.UnsafePointer || hidden && !f.Anonymous || tag == "-" {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		found := field{
			name: name, goName: f.Name, typ: f.Type, within: within, offset: f.Offset,
			omitEmpty: c.omitEmpty || slices.Contains(strings.Split(options, ","), "omitempty"),
		}
		if f.Anonymous && kind != reflect.Interface {
			if hidden && (kind != reflect.Struct) {
				if kind == reflect.Pointer && f.Type.Elem().Kind() == reflect.Struct {
					c.lost = append(c.lost, lostField{found, "an embedded pointer to the unexported type " + f.Type.Elem().String() +
						", which a receiver cannot set; embed the type itself, or name the field"})
				}
				continue
			}
			if name == "" && isStruct(f.Type) {
				c.embed(f, within)
				continue
			}
		}
		if hidden || f.Name == "_struct" {
			continue
		}
		if name == "" {
			found.name = f.Name
		}
		c.all = append(c.all, found)
	}
}

func isStruct(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// embed collects the fields of an embedded struct.
func (c *collector) embed(f reflect.StructField, within []step) {
	t, next := f.Type, step{offset: f.Offset}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
		next.ptr = t
	}
	times := 0
	for _, other := range c.seen {
		if other == t {
			times++
		}
	}
	if times >= mostEmbedded {
		return
	}
	c.seen = append(c.seen, t)
	c.collect(t, append(slices.Clone(within), next))
}

// shallowest returns one field of each name: the one that is embedded least
// deep, and of several the first.
func (c *collector) shallowest() []field {
	best := make(map[string]int)
	for i, f := range c.all {
		j, ok := best[f.name]
		if !ok || len(f.within) < len(c.all[j].within) {
			best[f.name] = i
		}
	}
	var fields []field
	for i, f := range c.all {
		j := best[f.name]
		if j == i {
			fields = append(fields, f)
		} else if len(f.within) == len(c.all[j].within) {
			c.lost = append(c.lost, lostField{f, "of the same name as another field, " + f.name + ", and only one of them travels; give one a tag"})
		}
	}
	return fields
}
