package rpc

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/libp2p/go-libp2p-gorpc/internal/admit"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// registry is what a server serves. Calls look it up without a lock: what they
// see is replaced, never changed.
type registry struct {
	now    atomic.Pointer[registered]
	adding sync.Mutex
}

// registered is what there was at one time.
type registered struct {
	services map[string]*service
	methods  []*method // by their numbers
	number   uint64    // of this, among all that this process ever had
}

// numbers gives a number to each that is registered.
var numbers atomic.Uint64

func (r *registry) init() { r.now.Store(&registered{number: numbers.Add(1)}) }

// add registers a service, new or with more methods than it had, for which
// configs settle the rules.
func (r *registry) add(svc *service, configs *admit.Configs) {
	now := r.now.Load()
	next := &registered{maps.Clone(now.services), slices.Clip(now.methods), numbers.Add(1)}
	if next.services == nil {
		next.services = make(map[string]*service)
	}
	had := next.services[svc.info.Name]
	for name, m := range svc.methods {
		if had == nil || had.methods[name] == nil {
			m.number, m.rules = len(next.methods), configs.Of(call.ID(m.id))
			next.methods = append(next.methods, m)
		}
	}
	next.services[svc.info.Name] = svc
	r.now.Store(next)
}

func (r *registered) lookup(id ServiceID) *method {
	if svc := r.services[id.Name]; svc != nil {
		return svc.methods[id.Method]
	}
	return nil
}

// notFound says which of the two names is wrong, in v0.6's words.
func (s *Server) notFound(id ServiceID) error {
	if s.serves(id.Name) {
		return notFoundWords("method " + id.Method)
	}
	return notFoundWords("service " + id.Name)
}

func (s *Server) serves(service string) bool { return s.registry.now.Load().services[service] != nil }

// Register makes the methods of rcvr callable as those of a service named
// after its type, which must be exported. Two forms of method are taken, where
// A and R may be any types that the codec carries, and A a pointer too:
//
//	func (t T) Unary(ctx context.Context, arg A, reply *R) error
//	func (t T) Streaming(ctx context.Context, args <-chan A, replies chan<- R) error
//
// Register returns an error if rcvr has no such method, and if the name is
// taken. Methods of other forms are left out; [Server.Services] tells which
// and why, and so does a line in the log. It may be called while the server
// is in use.
func (s *Server) Register(rcvr any) error { return s.register("", rcvr) }

// RegisterName is [Server.Register] with a name in place of the type's.
func (s *Server) RegisterName(name string, rcvr any) error {
	if name == "" {
		return fmt.Errorf("rpc: cannot register %T under an empty name", rcvr)
	}
	return s.register(name, rcvr)
}

func (s *Server) register(name string, rcvr any) error {
	svc, err := newService(name, rcvr)
	if err != nil {
		return err
	}
	name = svc.info.Name
	s.registry.adding.Lock()
	defer s.registry.adding.Unlock()
	if s.serves(name) {
		return fmt.Errorf("rpc: service already defined: %s; use RegisterName to give this one another name", name)
	}
	for _, m := range svc.methods {
		m.server = s
	}
	s.registry.add(svc, &s.configs)
	if len(svc.info.LeftOut) > 0 {
		s.logger.Warn("rpc: methods left out", "service", name, "methods", describeLeftOut(svc.info.LeftOut))
	}
	for _, m := range svc.info.Methods {
		s.warnLocalOnly(ServiceID{name, m.Name}, m.LocalOnly)
	}
	return nil
}

func (s *Server) warnLocalOnly(id ServiceID, reason error) {
	if reason != nil {
		s.logger.Warn("rpc: a part of a method's types cannot travel", "service", id.Name, "method", id.Method, "reason", reason)
	}
}

// handle registers one method, beside those that its service has.
func (s *Server) handle(m *method) error {
	if s == nil {
		return fmt.Errorf("rpc: %v cannot be served: the *Server is nil", m.id)
	}
	m.server = s
	if f := reflect.ValueOf(m.handler); f.IsValid() && f.IsNil() {
		return nilFunction(m.id, m.handler)
	}
	s.registry.adding.Lock()
	defer s.registry.adding.Unlock()
	svc := s.registry.now.Load().services[m.id.Name]
	if svc == nil {
		svc = &service{info: ServiceInfo{Name: m.id.Name}, methods: make(map[string]*method)}
	} else if svc.methods[m.id.Method] != nil {
		return fmt.Errorf("rpc: method already defined: %v; a method can be served once", m.id)
	}
	s.registry.add(svc.with(m), &s.configs)
	s.warnLocalOnly(m.id, m.localOnly())
	return nil
}

// Services describes what is registered, sorted by name.
func (s *Server) Services() []ServiceInfo {
	var all []ServiceInfo
	for _, svc := range s.registry.now.Load().services {
		info := svc.info
		info.Methods, info.LeftOut = slices.Clone(info.Methods), maps.Clone(info.LeftOut)
		all = append(all, info)
	}
	slices.SortFunc(all, func(a, b ServiceInfo) int { return strings.Compare(a.Name, b.Name) })
	return all
}
