package codec

import (
	"reflect"
	"strconv"
	"unsafe"

	ugorji "github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// structPlan is how structs of one type travel.
type structPlan struct {
	typ     reflect.Type
	fields  []fieldPlan
	byName  map[string]int
	keys    reflect.Kind // see travels.Struct
	array   bool
	omits   bool // some of the fields may be left out
	plain   bool // all are written with their names, and none is behind a pointer
	others  bool // a MissingFielder
	promise []guard
	bad     error // names that are no numbers, where keys are
}

type fieldPlan struct {
	name      string
	key       [2]string // the name, encoded, in each Form
	short     shortKey  // the same, if it is short, and the same in both
	of        *plan
	offset    uintptr
	within    []step
	omitEmpty bool
	isString  bool
}

// guard is a part of a struct that must be zero, because it does not travel.
type guard struct {
	name   string
	typ    reflect.Type
	within []step
	offset uintptr
	why    string
}

var missingFielder = reflect.TypeFor[ugorji.MissingFielder]()

// structure makes the plan of a type of structs.
func (pl planner) structure(p *plan) {
	t := p.typ
	info := travels.StructOf(Types, t)
	s := &structPlan{typ: t, byName: make(map[string]int), keys: info.Keys, array: info.Array, promise: guardsOf(t)}
	s.others = reflect.PointerTo(t).Implements(missingFielder)
	s.array = s.array && !s.others
	s.plain = !s.array
	for i, f := range info.Fields {
		within, offset := memory(f.Path)
		fp := fieldPlan{name: f.Name, of: pl.plan(f.Type), within: within, offset: offset, omitEmpty: f.OmitEmpty}
		fp.isString = f.Type == reflect.TypeFor[string]()
		s.plain = s.plain && !f.OmitEmpty && within == nil
		for form := range fp.key {
			b, err := appendKey(nil, Form(form), f.Name, s.keys)
			fp.key[form] = string(b)
			if err != nil {
				s.bad = err
			}
		}
		fp.short = shorten(fp.key)
		s.omits = s.omits || f.OmitEmpty
		s.fields = append(s.fields, fp)
		s.byName[f.Name] = i
	}
	p.enc, p.dec = s.encode, s.decode
}

// at returns where the field is, or nil if an embedded pointer on the way is nil.
func (f *fieldPlan) at(p unsafe.Pointer) unsafe.Pointer {
	for _, s := range f.within {
		if p = *(*unsafe.Pointer)(unsafe.Add(p, s.offset)); p == nil {
			return nil
		}
	}
	return unsafe.Add(p, f.offset)
}

// make is at, and makes the embedded structs.
func (f *fieldPlan) make(d *decoder, p unsafe.Pointer) (unsafe.Pointer, bool) {
	for _, s := range f.within {
		to := (*unsafe.Pointer)(unsafe.Add(p, s.offset))
		if *to == nil {
			if !d.add(allocated(s.ptr.Size())) {
				return nil, false
			}
			*to = reflect.New(s.ptr).UnsafePointer()
		}
		p = *to
	}
	return unsafe.Add(p, f.offset), true
}

// isEmpty reports whether omitempty leaves a field out: all of its memory is zero.
func (f *fieldPlan) isEmpty(p unsafe.Pointer) bool {
	return p == nil || zeroBytes(p, f.of.typ.Size())
}

func (s *structPlan) encode(e *encoder, b []byte, p unsafe.Pointer) []byte {
	for i := range s.promise {
		if g := &s.promise[i]; !g.holds(p) {
			e.lost(g.why)
			if g.name != "" {
				e.within(g.name)
			}
			return b
		}
	}
	if s.bad != nil {
		e.err = s.bad
		return b
	}
	n := len(s.fields)
	if s.omits && !s.array {
		for i := range s.fields {
			if f := &s.fields[i]; f.omitEmpty && f.isEmpty(f.at(p)) {
				n--
			}
		}
	}
	var others map[string]any
	if s.others {
		others = missing(s.typ, p)
		n += len(others)
	}
	if !e.open(n) {
		return b
	}
	if s.array {
		b = msgpack.AppendArray(b, n)
	} else {
		b = msgpack.AppendMap(b, n)
	}
	if b = s.encodeFields(e, b, p); e.err != nil {
		return b
	}
	if len(others) > 0 {
		b = encodeOthers(e, b, others)
	}
	e.close()
	return b
}

func encodeOthers(e *encoder, b []byte, others map[string]any) []byte {
	for name, v := range others {
		if b = e.dynamic(e.form.appendString(b, name), v); e.err != nil {
			e.within(name)
			break
		}
	}
	return b
}

// encodePlain is encodeFields of the most common structs.
func (s *structPlan) encodePlain(e *encoder, b []byte, p unsafe.Pointer) []byte {
	for i := range s.fields {
		f := &s.fields[i]
		b = f.appendKey(b, e.form)
		at := unsafe.Add(p, f.offset)
		if f.isString {
			b = e.form.appendString(b, *(*string)(at))
		} else if b = f.of.enc(e, b, at); e.err != nil {
			e.within(f.name)
			return b
		}
	}
	return b
}

func (s *structPlan) encodeFields(e *encoder, b []byte, p unsafe.Pointer) []byte {
	if s.plain {
		return s.encodePlain(e, b, p)
	}
	for i := range s.fields {
		f := &s.fields[i]
		at := unsafe.Add(p, f.offset)
		if f.within != nil {
			at = f.at(p)
		}
		if f.omitEmpty && f.isEmpty(at) && !s.array {
			continue
		}
		if !s.array {
			b = f.appendKey(b, e.form)
		}
		if at == nil || s.array && f.omitEmpty && isEmptyElement(e.form, f.of.typ, at) {
			b = append(b, msgpack.Nil)
			continue
		}
		if b = f.of.enc(e, b, at); e.err != nil {
			e.within(f.name)
			return b
		}
	}
	return b
}

// isEmptyElement reports whether omitempty writes nil in place of an element of
// an array. v0.6 does so with empty slices and maps, too, which then arrive as nil.
func isEmptyElement(form Form, t reflect.Type, at unsafe.Pointer) bool {
	v := reflect.NewAt(t, at).Elem()
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return v.IsNil() || form == Plain && v.Len() == 0
	case reflect.Chan:
		return v.Len() == 0
	case reflect.Struct, reflect.Array, reflect.Interface, reflect.Pointer:
		return zeroBytes(at, t.Size())
	}
	return false
}

// missing returns what a MissingFielder has beside its fields.
func missing(t reflect.Type, p unsafe.Pointer) map[string]any {
	m := make(map[string]any)
	for name, v := range reflect.NewAt(t, p).Interface().(ugorji.MissingFielder).CodecMissingFields() {
		if name != "" {
			m[name] = v
		}
	}
	return m
}

func (s *structPlan) decode(d *decoder, p unsafe.Pointer) bool {
	if d.pos < len(d.b) && d.b[d.pos]&0xf0 != 0x80 {
		if d.isNil() {
			reflect.NewAt(s.typ, p).Elem().SetZero()
			return true
		}
		if h, ok := msgpack.Parse(d.b[d.pos:]); ok && h.Kind == msgpack.KindArray {
			return s.decodeArray(d, p)
		}
	}
	n, ok := d.container(msgpack.KindMap, "a map")
	if !ok {
		return false
	}
	next := 0 // the field that comes next, most likely
	for range n {
		if next < len(s.fields) {
			f := &s.fields[next]
			if f.begins(d.b[d.pos:]) {
				d.pos += len(f.key[Plain])
				next++
				if f.within == nil {
					if !f.of.dec(d, unsafe.Add(p, f.offset)) {
						return d.within(f.name)
					}
				} else if !s.field(d, f, p) {
					return false
				}
				continue
			}
		}
		name, ok := s.name(d)
		if !ok {
			return false
		}
		if i, known := s.byName[string(name)]; known {
			next = i + 1
			ok = s.field(d, &s.fields[i], p)
		} else {
			ok = s.other(d, name, p)
		}
		if !ok {
			return false
		}
	}
	d.close()
	return true
}

func (s *structPlan) field(d *decoder, f *fieldPlan, p unsafe.Pointer) bool {
	at := unsafe.Add(p, f.offset)
	if f.within != nil {
		if d.pos < len(d.b) && d.b[d.pos] == msgpack.Nil && f.at(p) == nil {
			d.pos++ // nothing has to be made for it
			return true
		}
		var ok bool
		if at, ok = f.make(d, p); !ok {
			return false
		}
	}
	if !f.of.dec(d, at) {
		return d.within(f.name)
	}
	return true
}

// name reads the name of a field.
func (s *structPlan) name(d *decoder) (name []byte, ok bool) {
	if d.isNil() {
		return nil, true
	}
	switch s.keys {
	case reflect.Int64:
		n, ok := d.int64(64, "an int64")
		return strconv.AppendInt(nil, n, 10), ok
	case reflect.Uint64:
		n, ok := d.uint64(64, "a uint64")
		return strconv.AppendUint(nil, n, 10), ok
	case reflect.Float64:
		f, ok := d.float(64)
		return strconv.AppendFloat(nil, f, 'f', -1, 64), ok
	}
	if name, ok = d.str("the name of a field"); !ok {
		d.within("[key]")
	}
	return name, ok
}

// other takes a field that the struct does not have.
func (s *structPlan) other(d *decoder, name []byte, p unsafe.Pointer) bool {
	for i := range s.promise { // a func cannot come
		if g := &s.promise[i]; g.name != "" && g.name == string(name) {
			if d.isNil() { // nothing is lost
				return true
			}
			d.lost(g.why)
			return d.within(g.name)
		}
	}
	if !s.others {
		if !d.skip() {
			return d.within(string(name))
		}
		return true
	}
	v, ok := d.any()
	if !ok || !d.add(allocated(uintptr(len(name)))) {
		return d.within(string(name))
	}
	reflect.NewAt(s.typ, p).Interface().(ugorji.MissingFielder).CodecMissingField(append([]byte(nil), name...), v)
	return true
}

// decodeArray decodes the fields' values in their order. Those that the struct does
// not have are passed over.
func (s *structPlan) decodeArray(d *decoder, p unsafe.Pointer) bool {
	n, ok := d.container(msgpack.KindArray, "an array")
	if !ok {
		return false
	}
	for i := range n {
		if i >= len(s.fields) {
			ok = d.skip()
		} else {
			ok = s.field(d, &s.fields[i], p)
		}
		if !ok {
			if !s.array {
				d.path = nil // it is the array that does not fit
			}
			return false
		}
	}
	d.close()
	return true
}
