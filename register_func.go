package rpc

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

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
	s.registering.Lock()
	defer s.registering.Unlock()
	services := maps.Clone(*s.services.Load())
	svc, err := services[service].with(m)
	if err != nil {
		return err
	}
	services[service] = svc
	s.services.Store(&services)
	if err := m.localOnly(); err != nil {
		s.logger.Warn("rpc: method can be called only locally", "service", service, "method", method, "reason", err)
	}
	return nil
}

func newFuncMethod(service, name string, f any) (*method, error) {
	m := &method{id: ServiceID{service, name}, fn: reflect.ValueOf(f)}
	switch {
	case service == "" || name == "":
		return nil, fmt.Errorf("rpc: cannot register %T as %q of service %q: both must have a name", f, name, service)
	case m.fn.Kind() != reflect.Func:
		return nil, fmt.Errorf("rpc: cannot register %v: it is %s, not a function: make it %s or %s",
			m.id, typeName(reflect.TypeOf(f)), unaryForm, streamingForm)
	case m.fn.IsNil():
		return nil, fmt.Errorf("rpc: cannot register %v: it is a nil %T", m.id, f)
	}
	if reason := m.compile(m.fn.Type()); reason != "" {
		return nil, fmt.Errorf("rpc: cannot register %v, a %T: %s", m.id, f, reason)
	}
	return m, nil
}

// with returns a copy of s, which may be nil, that has m too.
func (s *service) with(m *method) (*service, error) {
	svc := &service{info: ServiceInfo{Name: m.id.Name}, methods: make(map[string]*method)}
	if s != nil {
		if _, taken := s.methods[m.id.Method]; taken {
			return nil, fmt.Errorf("rpc: method already defined: %v", m.id)
		}
		svc.info = s.info
		svc.info.Methods = slices.Clone(s.info.Methods)
		svc.methods = maps.Clone(s.methods)
	}
	svc.take(m)
	slices.SortFunc(svc.info.Methods, func(a, b MethodInfo) int { return strings.Compare(a.Name, b.Name) })
	return svc, nil
}
