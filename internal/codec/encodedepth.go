package codec

import (
	"fmt"
	"reflect"
	"strconv"
	"sync"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// The codec recurses into what it encodes, and a stack that overflows ends the
// process. It finds cycles by pointers only: those by maps, slices and
// interfaces, and values that merely nest very deep, are found here, before it
// sees them. So are parts that would be lost (see travels.Obstacle). Most types nest no
// deeper than they are written and have no such parts, and are not looked at.

// maxEncoded is the most values that one message may hold in types of
// unbounded depth: parts that are shared can multiply without end, though each
// is small. It is far beyond what Limits.MessageValues lets a receiver take.
const maxEncoded = 1 << 26

var (
	errNestsDeep = fmt.Errorf("it nests deeper than %d: is it cyclic?", MaxDepth)
	errHoldsMany = fmt.Errorf("it holds more than %d values, which is the most that one message may", maxEncoded)
)

// checkValue refuses a value in which the codec would get lost, or of which it
// would lose a part. It reports whether the codec would misread it (see
// isMisread).
func checkValue(v any) (misread bool, err error) {
	w := walker{left: maxEncoded}
	if err := w.dynamic(v, 0); err != nil {
		if part, ok := err.(*PartError); ok && part.Of == reflect.TypeOf(v) {
			return false, err // which names the type
		}
		return false, fmt.Errorf("cannot encode %T: %w", v, err)
	}
	return w.misread, nil
}

// walker visits what the codec would, as far as its types say that there may be
// something to find.
type walker struct {
	left    int  // values that may still come
	misread bool // an interface held what isMisread tells of
}

// open accounts for a container of n parts, within depth others.
func (w *walker) open(n, depth int) error {
	if n > 0 && depth >= MaxDepth {
		return errNestsDeep
	}
	if w.left -= n; w.left < 0 {
		return errHoldsMany
	}
	return nil
}

// dynamic is value for what an interface holds; the types that generic data
// consists of need no reflection.
func (w *walker) dynamic(v any, depth int) error {
	switch v := v.(type) {
	case nil, string, bool, []byte, int, int64, uint64, float64:
		return nil
	case map[string]any:
		if err := w.open(len(v), depth); err != nil {
			return err
		}
		for _, elem := range v {
			if err := w.dynamic(elem, depth+1); err != nil {
				return err
			}
		}
		return nil
	case []any:
		if err := w.open(len(v), depth); err != nil {
			return err
		}
		for _, elem := range v {
			if err := w.dynamic(elem, depth+1); err != nil {
				return err
			}
		}
		return nil
	default:
		return w.value(reflect.ValueOf(v), depth, true)
	}
}

// value visits v; held says that an interface holds it.
func (w *walker) value(v reflect.Value, depth int, held bool) error {
	of := v.Type()  // what an error says of v, where only v itself says what it is
	unknown := held // to those who looked at types only
	for hops := 0; v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface; hops++ {
		if v.IsNil() {
			return nil
		}
		if hops == MaxDepth { // a pointer can lead to itself, with no container between
			return errNestsDeep
		}
		held = v.Kind() == reflect.Interface
		v = v.Elem()
		if held {
			unknown, of = true, v.Type()
		}
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.Array, reflect.Struct, reflect.Chan, reflect.Func, reflect.UnsafePointer:
	default:
		return nil
	}
	n := nestingOf(v.Type())
	w.misread = w.misread || held && n.misread
	if !n.walked {
		return nil
	}
	err := w.parts(v, n, depth)
	if part, ok := err.(*PartError); ok && unknown && part.Of == nil {
		part.Of = of
	}
	return err
}

// parts visits v, which is no pointer, and what it is made of.
func (w *walker) parts(v reflect.Value, n *nesting, depth int) error {
	if n.why != "" && loses(v) {
		return &PartError{why: n.why}
	}
	switch v.Kind() {
	case reflect.Map:
		return w.pairs(v, n, depth)
	case reflect.Struct:
		if err := w.open(len(n.fields), depth); err != nil {
			return err
		}
		for _, i := range n.fields {
			if err := w.value(v.Field(i), depth+1, false); err != nil {
				return within(err, v.Type().Field(i).Name)
			}
		}
	case reflect.Slice, reflect.Array:
		if err := w.open(v.Len(), depth); err != nil {
			return err
		}
		for i := range v.Len() {
			if err := w.value(v.Index(i), depth+1, false); err != nil {
				return within(err, "["+strconv.Itoa(i)+"]")
			}
		}
	}
	return nil
}

// within names the part of a value that err is of.
func within(err error, part string) error {
	if e, ok := err.(*PartError); ok {
		e.within(part)
	}
	return err
}

func (w *walker) pairs(v reflect.Value, n *nesting, depth int) error {
	if err := w.open(v.Len(), depth); err != nil {
		return err
	}
	key, elem := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
	for it := v.MapRange(); it.Next(); {
		if n.key {
			key.SetIterKey(it)
			if err := w.value(key, depth+1, false); err != nil {
				return within(err, "[key]")
			}
		}
		if n.elem {
			elem.SetIterValue(it)
			if err := w.value(elem, depth+1, false); err != nil {
				return within(err, "[]")
			}
		}
	}
	return nil
}

// nesting is what the walker needs to know of a type.
type nesting struct {
	unbounded bool   // its values may nest deeper than the type is written
	walked    bool   // that, or they may have parts that are lost
	misread   bool   // see isMisread
	why       string // they are lost themselves; see cannotTravel
	key, elem bool   // a map's keys, or elements, are walked
	fields    []int  // the fields of a struct that are
}

var nestings sync.Map // reflect.Type to *nesting

func nestingOf(t reflect.Type) *nesting {
	if n, ok := nestings.Load(t); ok {
		return n.(*nesting)
	}
	n := &nesting{unbounded: unbounded(t), misread: isMisread(t), walked: walked(t), why: cannotTravel(t)}
	if n.walked {
		switch t.Kind() {
		case reflect.Map:
			n.key, n.elem = walked(t.Key()), walked(t.Elem())
		case reflect.Struct:
			for i := range t.NumField() {
				if f := t.Field(i); isEncoded(f) && walked(f.Type) {
					n.fields = append(n.fields, i)
				}
			}
		}
	}
	stored, _ := nestings.LoadOrStore(t, n)
	return stored.(*nesting)
}

// walked reports whether there may be something to find in values of t.
func walked(t reflect.Type) bool {
	if unbounded(t) {
		return true
	}
	_, why := travels.Obstacle(Types, t)
	return why != ""
}

// isEncoded reports whether the codec encodes a field, or those of the struct
// that it embeds.
func isEncoded(f reflect.StructField) bool { return travels.Encoded(travels.PartOf(f), f.Type.Kind()) }

// unbounded reports whether t leads to an interface or back to itself.
func unbounded(t reflect.Type) bool {
	return leadsOn(t, make(map[reflect.Type]bool))
}

// leadsOn is unbounded; seen has true for the types that t is part of, and
// false for those that are known to end.
func leadsOn(t reflect.Type, seen map[reflect.Type]bool) bool {
	switch t.Kind() {
	case reflect.Interface:
		// What says itself how it travels is bytes to the codec, but may be misread.
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map, reflect.Chan, reflect.Struct:
	default:
		return false
	}
	if around, known := seen[t]; known {
		return around
	}
	if t.Kind() != reflect.Pointer && Marshals(t) {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Map:
		if leadsOn(t.Key(), seen) || leadsOn(t.Elem(), seen) {
			return true
		}
	case reflect.Struct:
		for i := range t.NumField() {
			if f := t.Field(i); isEncoded(f) && leadsOn(f.Type, seen) {
				return true
			}
		}
	default:
		if leadsOn(t.Elem(), seen) {
			return true
		}
	}
	seen[t] = false
	return false
}
