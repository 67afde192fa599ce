package rpc

import (
	"context"
	"errors"
	"fmt"
	"go/token"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/direct"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/tally"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// ServiceInfo describes a registered service; see [Server.Services].
type ServiceInfo struct {
	Name string
	// Methods are what can be called, by name.
	Methods []MethodInfo
	// LeftOut are the names of the receiver's other exported methods, and for each
	// why it cannot be called and the mend.
	LeftOut map[string]string
}

// MethodInfo describes a method that can be called.
type MethodInfo struct {
	Name string
	Kind Kind
	// Args is the type of the argument, or of each argument of a stream.
	Args reflect.Type
	// Reply is the type of the reply, or of each reply of a stream.
	Reply reflect.Type
	// LocalOnly is nil, or names a part of the method's types that stays local:
	// a remote call fails if it is there, and not nil or zero.
	LocalOnly error
}

// service is a receiver turned into methods.
type service struct {
	info    ServiceInfo
	methods map[string]*method
}

// method is all that a call of it needs to know, found out once.
type method struct {
	id        ServiceID
	server    *Server
	kind      Kind
	fn        direct.Method    // the receiver's method, or a function
	typed     typedFunc        // in place of fn
	handler   any              // what typed, or stream, calls
	stream    typedEnds        // the same, of a streaming method
	direct    directMethod     // the same, of one that takes one argument
	fresh     func() flow.Item // makes that
	nilable   bool             // arg is a pointer or an interface
	box       direct.Boxer     // of type arg
	arg       reflect.Type     // as the method declares it
	reply     reflect.Type     // what the reply points to; a stream's element
	replyPtr  reflect.Type     // a unary method's, as it declares it
	sentinels sentinels        // that its value declares
	ok        []byte           // the encoded header of a reply without error
	number    int              // among those registered
	rules     *admit.Rules     // of its server
	counts    tally.Cached
}

// typedFunc takes an argument of the method's type and a pointer to its reply.
type typedFunc func(ctx context.Context, arg, reply any) error

var (
	typeContext = reflect.TypeFor[context.Context]()
	typeError   = reflect.TypeFor[error]()
	typeServer  = reflect.TypeFor[Server]()
)

// newService finds the methods of rcvr that have one of the two forms.
func newService(name string, rcvr any) (*service, error) {
	v := reflect.ValueOf(rcvr)
	if !v.IsValid() {
		return nil, errors.New("rpc: cannot register nil: pass a receiver that has methods")
	}
	t := v.Type()
	if v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, fmt.Errorf("rpc: cannot register a nil %v", t)
	}
	if name == "" {
		name = reflect.Indirect(v).Type().Name()
		if name == "" {
			return nil, fmt.Errorf("rpc: type %v has no name to register it under: use RegisterName", t)
		}
		if !token.IsExported(name) {
			return nil, fmt.Errorf("rpc: type %s is not exported: export it, or use RegisterName", name)
		}
	}
	s := &service{info: ServiceInfo{Name: name}, methods: make(map[string]*method)}
	p := v
	if v.Kind() != reflect.Pointer { // by its address all methods are called alike
		p = reflect.New(t)
		p.Elem().Set(v)
	}
	for i := range p.NumMethod() {
		m := p.Type().Method(i)
		if !v.MethodByName(m.Name).IsValid() {
			s.leaveOut(m.Name, fmt.Sprintf("its receiver is a pointer: register a *%v", t))
			continue
		}
		s.add(p, m)
	}
	if len(s.methods) == 0 {
		return nil, s.empty(t)
	}
	return s, nil
}

func (s *service) leaveOut(name, reason string) {
	if s.info.LeftOut == nil {
		s.info.LeftOut = make(map[string]string)
	}
	s.info.LeftOut[name] = reason
}

func (s *service) empty(t reflect.Type) error {
	if len(s.info.LeftOut) == 0 {
		return fmt.Errorf("rpc: type %v has no exported methods, and cannot be a service", t)
	}
	return fmt.Errorf("rpc: type %v has no method that can be called: %s", t, describeLeftOut(s.info.LeftOut))
}

func describeLeftOut(left map[string]string) string {
	words := make([]string, 0, len(left))
	for _, name := range slices.Sorted(maps.Keys(left)) {
		words = append(words, name+": "+left[name])
	}
	return strings.Join(words, "; ")
}

// add takes the method, or notes why not.
func (s *service) add(rcvr reflect.Value, rm reflect.Method) {
	m := &method{id: ServiceID{s.info.Name, rm.Name}}
	if reason := m.compile(rcvr.Method(rm.Index).Type()); reason != "" {
		s.leaveOut(rm.Name, reason)
		return
	}
	m.fn = direct.Of(rcvr, rm.Func, m.arg, m.replyPtr, m.kind == Unary)
	s.take(m)
}

// take makes the method one of the service's.
func (s *service) take(m *method) {
	if m.kind == Unary {
		m.box = direct.BoxerOf(m.arg)
	}
	m.ok = wire.AppendResponse(nil, &wire.Response{Service: m.id.Name, Method: m.id.Method, Code: -1})
	s.methods[m.id.Method] = m
	s.info.Methods = append(s.info.Methods, MethodInfo{
		Name: m.id.Method, Kind: m.kind, Args: m.arg, Reply: m.reply, LocalOnly: m.localOnly(),
	})
}

// with returns a service that has the method too.
func (s *service) with(m *method) *service {
	n := &service{info: s.info, methods: maps.Clone(s.methods)}
	n.info.Methods = slices.Clone(s.info.Methods)
	n.take(m)
	slices.SortFunc(n.info.Methods, func(a, b MethodInfo) int { return strings.Compare(a.Name, b.Name) })
	return n
}

const (
	unaryForm     = "func(context.Context, A, *R) error"
	streamingForm = "func(context.Context, <-chan A, chan<- R) error"
)

// compile reads the method's form and returns what is wrong with it, if
// anything is.
func (m *method) compile(t reflect.Type) (reason string) {
	switch {
	case t.IsVariadic():
		return fmt.Sprintf("it is variadic: make it %s or %s", unaryForm, streamingForm)
	case t.NumIn() != 3:
		return fmt.Sprintf("it takes %d arguments, not 3: make it %s or %s", t.NumIn(), unaryForm, streamingForm)
	case t.In(0) != typeContext:
		return fmt.Sprintf("its first argument is %v, not a context.Context", t.In(0))
	case t.NumOut() != 1 || t.Out(0) != typeError:
		return "it must return one value, an error"
	}
	arg, reply := t.In(1), t.In(2)
	if arg.Kind() == reflect.Chan || reply.Kind() == reflect.Chan {
		switch {
		case arg.Kind() != reflect.Chan || reply.Kind() != reflect.Chan:
			return fmt.Sprintf("it takes %v and %v, of which only one is a channel: make it %s", arg, reply, streamingForm)
		case arg.ChanDir() != reflect.RecvDir:
			return fmt.Sprintf("its arguments are a %v, a channel of the wrong direction: make it a <-chan %v", arg, arg.Elem())
		case reply.ChanDir() != reflect.SendDir:
			return fmt.Sprintf("its replies are a %v, a channel of the wrong direction: make it a chan<- %v", reply, reply.Elem())
		}
		m.kind, m.arg, m.reply = Streaming, arg.Elem(), reply.Elem()
	} else {
		if ownType(arg, "Receiver[") || ownType(reply, "Sender[") {
			return "it is a typed streaming method: serve it by the Handle of a ServerStream, ClientStream or Duplex"
		}
		if reply.Kind() != reflect.Pointer {
			return fmt.Sprintf("its reply is a %v, not a pointer: make it a *%v", reply, reply)
		}
		m.kind, m.arg, m.reply, m.replyPtr = Unary, arg, reply.Elem(), reply
	}
	if n := len(m.id.String()); n > MaxServiceIDLength {
		return fmt.Sprintf("its name with the service's is %d bytes long, and %d may be: use a shorter one", n, MaxServiceIDLength)
	}
	return ""
}

// ownType reports whether t points to a type of this package whose name begins
// so.
func ownType(t reflect.Type, name string) bool {
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == typeServer.PkgPath() && strings.HasPrefix(t.Elem().Name(), name)
}

func (m *method) localOnly() error {
	if err := codec.Partly(m.arg); err != nil {
		return fmt.Errorf("the argument's %w", err)
	}
	if err := codec.Partly(m.reply); err != nil {
		return fmt.Errorf("the reply's %w", err)
	}
	return nil
}

// takes returns args as the method's argument, or what is wrong with it. A
// pointer is as good as what it points to.
func (m *method) takes(args any) (reflect.Value, error) {
	v := reflect.ValueOf(args)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return v, call.Mismatched(m.arg.String(), describeArg(args))
	}
	switch t := v.Type(); {
	case t == m.arg || t.AssignableTo(m.arg):
		return v, nil
	case t.Kind() == reflect.Pointer && t.Elem() == m.arg:
		return v.Elem(), nil
	case m.arg.Kind() == reflect.Pointer && t == m.arg.Elem():
		p := reflect.New(t)
		p.Elem().Set(v)
		return p, nil
	}
	return v, call.Mismatched(m.arg.String(), describeArg(args))
}

// isNil reports whether there is no argument to speak of.
func isNil(args any) bool {
	v := reflect.ValueOf(args)
	return !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil()
}

// describeArg names what was passed, for an error.
func describeArg(args any) string {
	if t := reflect.TypeOf(args); t != nil && isNil(args) {
		return "a nil " + t.String()
	}
	return typeName(reflect.TypeOf(args))
}

// fits checks that the method's reply can be stored where the caller's
// pointer says. More or fewer pointers to the same make no difference, as they
// make none on the wire.
func (m *method) fits(reply reflect.Type) error {
	if reply == m.replyPtr || m.reply.AssignableTo(reply.Elem()) || pointedTo(m.reply) == pointedTo(reply.Elem()) {
		return nil
	}
	return call.WrongReply(m.reply.String(), reply)
}

// pointedTo is what a type of pointers leads to, or the type itself.
func pointedTo(t reflect.Type) reflect.Type {
	for range maxPointers {
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	return t
}

// maxPointers is how many pointers are followed: a type can be one to itself.
const maxPointers = 8

// setReply stores a reply that fits.
func setReply(to, reply reflect.Value) {
	if reply.Type().AssignableTo(to.Type()) {
		to.Set(reply)
		return
	}
	for reply.Kind() == reflect.Pointer {
		if reply.IsNil() {
			to.SetZero()
			return
		}
		reply = reply.Elem()
	}
	for to.Kind() == reflect.Pointer {
		to.Set(reflect.New(to.Type().Elem()))
		to = to.Elem()
	}
	to.Set(reply)
}

// wrongKind is the fault of a call of the other kind.
func (m *method) wrongKind() error {
	advice := call.UseUnary
	if m.kind == Streaming {
		advice = call.UseStream
	}
	return call.Fail(call.OfServer, codes.Unimplemented, "the method is %v", m.kind).Advised(advice)
}

// call runs the method: the only place where one is. A nil arg is one that
// travelled, for an argument of type any.
func (m *method) call(ctx context.Context, arg, reply any) error {
	if m.typed != nil {
		return noTypedNil(m.typed(ctx, arg, reply))
	}
	return noTypedNil(m.fn.Call(ctx, arg, reply))
}

// noTypedNil is for methods that return a nil *Error as their error, which is
// then not nil: no error is meant.
func noTypedNil(err error) error {
	if e, ok := err.(*Error); ok && e == nil {
		return nil
	}
	return err
}

// RegisterFunc makes a function callable as a method of the named service. It
// has one of the two forms of methods:
//
//	func(ctx context.Context, arg A, reply *R) error
//	func(ctx context.Context, args <-chan A, replies chan<- R) error
//
// The service is made if there is none of that name, and may be one of
// [Server.Register], which a function can add to. RegisterFunc returns an error
// if f is nil or of another form, if a name is empty, and if the service has
// that method. It may be called while the server is in use.
func (s *Server) RegisterFunc(service, method string, f any) error {
	m, err := newFuncMethod(service, method, f)
	if err != nil {
		return err
	}
	return s.handle(m)
}

func nilFunction(id ServiceID, f any) error {
	return fmt.Errorf("rpc: cannot register %v: it is a nil %T", id, f)
}

func newFuncMethod(service, name string, f any) (*method, error) {
	m, fn := &method{id: ServiceID{service, name}}, reflect.ValueOf(f)
	switch {
	case service == "" || name == "":
		return nil, fmt.Errorf("rpc: cannot register %T as %q of service %q: both must have a name", f, name, service)
	case fn.Kind() != reflect.Func:
		return nil, fmt.Errorf("rpc: cannot register %v: it is %s, not a function: make it %s or %s",
			m.id, typeName(reflect.TypeOf(f)), unaryForm, streamingForm)
	case fn.IsNil():
		return nil, nilFunction(m.id, f)
	}
	if reason := m.compile(fn.Type()); reason != "" {
		return nil, fmt.Errorf("rpc: cannot register %v, a %T: %s", m.id, f, reason)
	}
	m.fn = direct.Of(reflect.Value{}, fn, m.arg, m.replyPtr, false)
	return m, nil
}
