package rpc

import (
	"context"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// This file calls methods without reflect.Call, which takes longer than all
// the rest of a local call. It rests on one fact of Go's calling convention:
// an argument is passed as the machine words it is made of, in order, whatever
// their types. So a method whose argument is a pointer, or is made of whole
// words and few enough to be passed in registers, can be called as a function
// of so many uintptrs. The types have been checked by then, as for reflect.Call,
// and passedInWords tries the fact out before it is relied upon; where it does
// not hold, and for all other arguments, reflect.Call does the work.

// direct is a method func (*T) M(context.Context, A, *R) error as code to jump
// to.
type direct struct {
	code  unsafe.Pointer
	form  directForm
	words int // of which A is made, unless it is a pointer
}

type directForm uint8

const (
	notDirect directForm = iota
	byPointer
	byWords
)

// maxWords is how many the convention has registers for, beside the receiver,
// the context and the reply, where it has the fewest: nine on amd64.
const maxWords = 5

func directOf(m *method) direct {
	if m.kind != Unary || !passedInWords() {
		return direct{}
	}
	return directTo(m.fn, m.arg)
}

func directTo(fn reflect.Value, arg reflect.Type) direct {
	d := direct{code: fn.UnsafePointer()}
	if arg.Kind() == reflect.Pointer {
		d.form = byPointer
	} else if n, ok := wordsOf(arg); ok && n <= maxWords && behindInterface(arg) {
		d.form, d.words = byWords, n
	}
	return d
}

const wordSize = unsafe.Sizeof(uintptr(0))

// behindInterface reports whether an interface that holds a t points to it,
// rather than being it. Which types it is has changed between versions of Go
// (since 1.26 also a struct or an array of one pointer beside what takes no
// room), so it is seen from a value: where it is the zero value that the
// interface holds, its word is nil.
func behindInterface(t reflect.Type) bool {
	if t.Kind() == reflect.Interface {
		return false
	}
	zero := reflect.Zero(t).Interface()
	return (*[2]unsafe.Pointer)(unsafe.Pointer(&zero))[1] != nil
}

// wordsOf returns how many words a t is made of, and whether it is made of
// nothing else.
func wordsOf(t reflect.Type) (n int, ok bool) {
	switch t.Kind() {
	case reflect.Pointer, reflect.UnsafePointer, reflect.Map, reflect.Chan, reflect.Func:
		return 1, true
	case reflect.Int, reflect.Uint, reflect.Uintptr, reflect.Int32, reflect.Uint32, reflect.Int64, reflect.Uint64:
		return 1, t.Size() == wordSize
	case reflect.String, reflect.Interface:
		return 2, true
	case reflect.Slice:
		return 3, true
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			w, ok := wordsOf(f.Type)
			if !ok || w == 0 || f.Name == "_" {
				return 0, false
			}
			n += w
		}
		return n, true
	}
	return 0, false
}

// call calls the method with an argument and a reply of exactly its types. The
// words of an argument are not known to be pointers while they are on their
// way; arg keeps what they point to.
func (d *direct) call(rcvr unsafe.Pointer, ctx context.Context, arg any, reply unsafe.Pointer) error {
	code := d.code
	fn := unsafe.Pointer(&code) // a func value is a pointer to its code's address
	data := (*[2]unsafe.Pointer)(unsafe.Pointer(&arg))[1]
	if d.form == byPointer {
		f := *(*func(unsafe.Pointer, context.Context, unsafe.Pointer, unsafe.Pointer) error)(unsafe.Pointer(&fn))
		return f(rcvr, ctx, data, reply)
	}
	err := callWords(fn, d.words, rcvr, ctx, data, reply)
	runtime.KeepAlive(arg)
	return err
}

// boxed returns a new argument as an interface's value, without the copy that
// reflection makes of it.
func (m *method) boxed(arg item) any {
	if m.zero == nil {
		return arg.value.Interface()
	}
	v := m.zero
	(*[2]unsafe.Pointer)(unsafe.Pointer(&v))[1] = (*[2]unsafe.Pointer)(unsafe.Pointer(&arg.ptr))[1]
	return v
}

func callWords(fn unsafe.Pointer, n int, rcvr unsafe.Pointer, ctx context.Context, data, reply unsafe.Pointer) error {
	type (
		p = unsafe.Pointer
		c = context.Context
		w = uintptr
	)
	f := p(&fn)
	switch n {
	case 0:
		return (*(*func(p, c, p) error)(f))(rcvr, ctx, reply)
	case 1:
		a := *(*w)(data)
		return (*(*func(p, c, w, p) error)(f))(rcvr, ctx, a, reply)
	case 2:
		a := *(*[2]w)(data)
		return (*(*func(p, c, w, w, p) error)(f))(rcvr, ctx, a[0], a[1], reply)
	case 3:
		a := *(*[3]w)(data)
		return (*(*func(p, c, w, w, w, p) error)(f))(rcvr, ctx, a[0], a[1], a[2], reply)
	case 4:
		a := *(*[4]w)(data)
		return (*(*func(p, c, w, w, w, w, p) error)(f))(rcvr, ctx, a[0], a[1], a[2], a[3], reply)
	default:
		a := *(*[maxWords]w)(data)
		return (*(*func(p, c, w, w, w, w, w, p) error)(f))(rcvr, ctx, a[0], a[1], a[2], a[3], a[4], reply)
	}
}

// passedInWords tries out that arguments are passed as this file takes for
// granted.
var passedInWords = sync.OnceValue(func() (holds bool) {
	defer func() {
		if recover() != nil {
			holds = false
		}
	}()
	p, m := new(probe), reflect.TypeFor[*probe]()
	try := func(name string, arg any) bool {
		rm, ok := m.MethodByName(name)
		if !ok {
			return false
		}
		d, reply := directTo(rm.Func, reflect.TypeOf(arg)), new(probeReply)
		return d.form != notDirect &&
			d.call(unsafe.Pointer(p), context.Background(), arg, unsafe.Pointer(reply)) == errStopped &&
			reply.rcvr == p && reply.arg == arg
	}
	return try("Pointer", new(int)) && try("None", struct{}{}) && try("One", 7) && try("Two", "two") &&
		try("Five", probeFive{"five", 1, new(int), 2})
})

type probe struct{ _ int }

type probeReply struct {
	rcvr *probe
	arg  any
}

type probeFive struct {
	s string
	n int
	p *int
	u uint
}

func (p *probe) note(arg any, reply *probeReply) error {
	reply.rcvr, reply.arg = p, arg
	return errStopped
}

func (p *probe) Pointer(_ context.Context, arg *int, reply *probeReply) error {
	return p.note(arg, reply)
}
func (p *probe) None(_ context.Context, arg struct{}, reply *probeReply) error {
	return p.note(arg, reply)
}
func (p *probe) One(_ context.Context, arg int, reply *probeReply) error { return p.note(arg, reply) }
func (p *probe) Two(_ context.Context, arg string, reply *probeReply) error {
	return p.note(arg, reply)
}
func (p *probe) Five(_ context.Context, arg probeFive, reply *probeReply) error {
	return p.note(arg, reply)
}
