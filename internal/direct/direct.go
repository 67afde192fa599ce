// Package direct calls methods whose types are known only at run time.
//
// reflect.Call takes longer than all the rest of a local call. Go's calling
// convention passes an argument as the machine words that it consists of, in
// order, whatever their types. A method whose argument is a pointer, or consists
// of whole words that fit into registers, can therefore be called as a function
// of that many uintptrs. The caller has checked the types, as for reflect.Call.
// The package tests the convention once per process, before it relies on it
// (passedInWords); where the test fails, and for all other arguments,
// reflect.Call does the work.
//
// Unsafe code is here, in the plans of internal/codec, and in internal/account, which
// has memory that is not zeroed.
package direct

import (
	"context"
	"errors"
	"reflect"
	"runtime"
	"sync"
	"unsafe"
)

// Method is a function, or a method with its receiver, of the form
//
//	func(ctx context.Context, arg A, reply R) error
//
// The zero Method cannot be called.
type Method struct {
	rcvr  reflect.Value // a pointer; not valid for a function
	fn    reflect.Value // takes the receiver first, if there is one
	arg   reflect.Type
	reply reflect.Type
	jump  jump
}

// Of returns the method fn of rcvr, which is a pointer, or a function, for which
// rcvr is the zero Value. arg and reply are the types of its second and third
// argument. Only with fast, which needs a reply of a pointer type, is the method
// called without reflect.Call where that is possible.
func Of(rcvr, fn reflect.Value, arg, reply reflect.Type, fast bool) Method {
	m := Method{rcvr: rcvr, fn: fn, arg: arg, reply: reply}
	if fast && rcvr.IsValid() && passedInWords() {
		m.jump = jumpTo(fn, arg)
	}
	return m
}

// Reflects reports whether calls of the method go through reflect.Call, which
// needs a large stack.
func (m *Method) Reflects() bool { return m.jump.form == notDirect }

// Call calls the method. An arg that is nil stands for the zero value of its
// type.
func (m *Method) Call(ctx context.Context, arg, reply any) error {
	if m.jump.form != notDirect && reflect.TypeOf(arg) == m.arg && reflect.TypeOf(reply) == m.reply {
		return m.jump.call(m.rcvr.UnsafePointer(), ctx, arg, reflect.ValueOf(reply).UnsafePointer())
	}
	v := reflect.ValueOf(arg)
	if !v.IsValid() {
		v = reflect.Zero(m.arg)
	}
	return m.CallValues(ctx, v, reflect.ValueOf(reply))
}

// CallValues is Call for reflected values, channels among them.
func (m *Method) CallValues(ctx context.Context, arg, reply reflect.Value) error {
	f := frames.Get().(*frame)
	f.ctx = ctx
	f.args = [4]reflect.Value{m.rcvr, f.ctxValue, arg, reply}
	args := f.args[:]
	if !m.rcvr.IsValid() {
		args = args[1:]
	}
	out := m.fn.Call(args)
	f.ctx, f.args = nil, [4]reflect.Value{}
	frames.Put(f)
	err, _ := out[0].Interface().(error)
	return err
}

// frame holds the arguments of a reflect.Call, which takes them by address.
type frame struct {
	ctx      context.Context
	ctxValue reflect.Value // ctx
	args     [4]reflect.Value
}

var frames = sync.Pool{New: func() any {
	f := new(frame)
	f.ctxValue = reflect.ValueOf(&f.ctx).Elem()
	return f
}}

// Boxer makes interface values of new values of one type, without the copy that
// reflection makes.
type Boxer struct {
	zero any // of the type, where an interface points to its value
}

// BoxerOf returns the Boxer of type t.
func BoxerOf(t reflect.Type) Boxer {
	if passedInWords() && BehindInterface(t) {
		return Boxer{reflect.Zero(t).Interface()}
	}
	return Boxer{}
}

// Box returns v, to which ptr points, as an interface value. Nobody may write to
// v afterwards.
func (b Boxer) Box(v reflect.Value, ptr any) any {
	if b.zero == nil {
		return v.Interface()
	}
	boxed := b.zero
	(*[2]unsafe.Pointer)(unsafe.Pointer(&boxed))[1] = (*[2]unsafe.Pointer)(unsafe.Pointer(&ptr))[1]
	return boxed
}

// jump is a method func (*T) M(context.Context, A, *R) error as code to jump to.
type jump struct {
	code  unsafe.Pointer
	form  form
	words int // that an A consists of, unless it is a pointer
}

type form uint8

const (
	notDirect form = iota
	byPointer
	byWords
)

// maxWords is how many the convention has registers for, beside the receiver,
// the context and the reply, where it has the fewest: nine on amd64.
const maxWords = 5

func jumpTo(fn reflect.Value, arg reflect.Type) jump {
	d := jump{code: fn.UnsafePointer()}
	if arg.Kind() == reflect.Pointer {
		d.form = byPointer
	} else if n, ok := wordsOf(arg); ok && n <= maxWords && BehindInterface(arg) {
		d.form, d.words = byWords, n
	}
	return d
}

const wordSize = unsafe.Sizeof(uintptr(0))

// BehindInterface reports whether an interface that holds a t points to it,
// rather than being it. Which types it is has changed between versions of Go
// (since 1.26 also a struct or an array of one pointer beside what takes no
// room), so it is seen from a value: where it is the zero value that the
// interface holds, its word is nil.
func BehindInterface(t reflect.Type) bool {
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
func (d *jump) call(rcvr unsafe.Pointer, ctx context.Context, arg any, reply unsafe.Pointer) error {
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
		d, reply := jumpTo(rm.Func, reflect.TypeOf(arg)), new(probeReply)
		return d.form != notDirect &&
			d.call(unsafe.Pointer(p), context.Background(), arg, unsafe.Pointer(reply)) == errProbed &&
			reply.rcvr == p && reply.arg == arg
	}
	return try("Pointer", new(int)) && try("None", struct{}{}) && try("One", 7) && try("Two", "two") &&
		try("Five", probeFive{"five", 1, new(int), 2})
})

var errProbed = errors.New("probed")

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
	return errProbed
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
