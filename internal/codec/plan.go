package codec

import (
	"reflect"
	"sync"
	"unsafe"

	"github.com/libp2p/go-libp2p-gorpc/internal/direct"
	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// plan is how values of one type are encoded and decoded. It is immutable once it
// is in plans, but for size.
type plan struct {
	typ  reflect.Type
	enc  encodeFunc
	dec  decodeFunc
	size sizeHint

	word      bool // an interface holds the value itself, not a pointer to it
	addressed bool // encoding calls methods that could write to the value
}

var plans sync.Map // reflect.Type to *plan

// planOf returns the plan of a type.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	pl := planner{made: make(map[reflect.Type]*plan)}
	pl.plan(t)
	for t, p := range pl.made { // none before all are whole: they refer to each other
		plans.LoadOrStore(t, p)
	}
	p, _ := plans.Load(t)
	return p.(*plan)
}

// planner makes the plan of a type, and of those that it consists of.
type planner struct{ made map[reflect.Type]*plan }

// plan returns the plan of t. It may still be without functions if t is part of
// itself: use them when values are encoded or decoded, not before.
func (pl planner) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p, ok := pl.made[t]; ok {
		return p
	}
	p := &plan{typ: t, word: t.Kind() != reflect.Interface && !direct.BehindInterface(t), addressed: callsByAddress(t)}
	pl.made[t] = p
	pl.fill(p)
	return p
}

// fill makes the functions of p, by its type.
func (pl planner) fill(p *plan) {
	t := p.typ
	switch kind := t.Kind(); {
	case kind == reflect.Pointer:
		pl.pointer(p)
	case kind == reflect.Interface:
		pl.iface(p)
	case t == typeTime:
		p.enc, p.dec = encodeTime, decodeTime
	case goesToLibrary(t):
		p.fallBack()
	case hasOwnForm(t):
		p.ownForm()
	case kind == reflect.Slice:
		pl.slice(p)
	case kind == reflect.Array:
		pl.array(p)
	case kind == reflect.Map:
		pl.mapping(p)
	case kind == reflect.Struct:
		pl.structure(p)
	case scalars[kind].enc != nil:
		s := scalars[kind]
		p.enc, p.dec = s.enc, s.dec
	default: // Chan, Func, UnsafePointer
		p.onlyNil(travels.Lost(Types, t))
	}
}

// pointers is the type *T as an interface has it: reflect.NewAt would look it up
// each time.
type pointers struct{ word unsafe.Pointer }

func pointersTo(t reflect.Type) pointers {
	p := reflect.Zero(reflect.PointerTo(t)).Interface()
	return pointers{(*eface)(unsafe.Pointer(&p)).typ}
}

// value is reflect.NewAt.
func (p pointers) value(at unsafe.Pointer) reflect.Value {
	e := eface{p.word, at}
	return reflect.ValueOf(*(*any)(unsafe.Pointer(&e)))
}

// pointer makes the plan of a type of pointers.
func (pl planner) pointer(p *plan) {
	elem := p.typ.Elem()
	to := pl.plan(elem)
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		target := *(*unsafe.Pointer)(at)
		if target == nil {
			return append(b, 0xc0)
		}
		if !e.follow() {
			return b
		}
		b = to.enc(e, b, target)
		e.hops--
		return b
	}
	size := allocated(elem.Size())
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		if d.isNil() {
			*(*unsafe.Pointer)(at) = nil
			return true
		}
		if d.hops >= 2*MaxDepth { // a pointer type may lead to itself without a container
			return d.misfit("the type has more than %d pointers in a row", 2*MaxDepth)
		}
		if !d.add(size) {
			return false
		}
		v := reflect.New(elem).UnsafePointer()
		*(*unsafe.Pointer)(at) = v
		d.hops++
		ok := to.dec(d, v)
		d.hops--
		return ok
	}
}

// onlyNil makes the plan of a type that has no form. why says so.
func (p *plan) onlyNil(why string) {
	isNil := func(at unsafe.Pointer) bool { return *(*unsafe.Pointer)(at) == nil }
	if p.typ.Kind() == reflect.UnsafePointer { // v0.6 takes none, not even nil
		isNil = func(unsafe.Pointer) bool { return false }
	}
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		if !isNil(at) {
			e.lost(why)
		}
		return append(b, 0xc0)
	}
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		if !d.isNil() {
			return d.lost(why)
		}
		*(*unsafe.Pointer)(at) = nil
		return true
	}
}

// iface makes the plan of a type of interfaces. With methods it is encoded as what
// it holds, and nothing says what to decode into.
func (pl planner) iface(p *plan) {
	if p.typ.NumMethod() == 0 {
		p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte { return e.dynamic(b, *(*any)(at)) }
		p.dec = func(d *decoder, at unsafe.Pointer) bool {
			v, ok := d.any()
			if ok {
				*(*any)(at) = v
			}
			return ok
		}
		return
	}
	t, why := p.typ, travels.Lost(Types, p.typ)
	p.enc = func(e *encoder, b []byte, at unsafe.Pointer) []byte {
		v := reflect.NewAt(t, at).Elem()
		if v.IsNil() {
			return append(b, 0xc0)
		}
		b = e.dynamic(b, v.Elem().Interface())
		if _, lost := e.err.(*PartError); lost { // what it holds is not what has to be mended
			e.lost(why)
		}
		return b
	}
	p.dec = func(d *decoder, at unsafe.Pointer) bool {
		if !d.isNil() {
			return d.lost(why)
		}
		reflect.NewAt(t, at).Elem().SetZero()
		return true
	}
}
