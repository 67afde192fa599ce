package rpc

import (
	"fmt"
)

// MethodConfig says how a server runs a method; see [WithMethodConfig]. A field that
// is zero says nothing: a farther MethodConfig counts, or the default.
type MethodConfig struct {
	// HeedsContext declares that the method returns soon after its context has
	// ended. A local call of it with a context that can end then runs in its
	// caller's goroutine, which takes a fifth of the time. The caller waits until the
	// method has returned, whatever becomes of the context; a method that ends its
	// goroutine (runtime.Goexit) ends its caller's. The server's interceptors run
	// there, too. Default false: the method has a goroutine, and the caller returns
	// at once when its context ends.
	HeedsContext bool
}

// WithMethodConfig configures the method that id names, receiver's or typed; with an
// empty Method, all methods of the service; with the zero ServiceID, all of the
// server. What is nearest to a method counts, field by field. Of two options with one
// id the last counts. It panics if id has a Method and no Name.
func WithMethodConfig(id ServiceID, c MethodConfig) ServerOption {
	if id.Name == "" && id.Method != "" {
		panic(fmt.Sprintf("rpc: WithMethodConfig: method %q has no service", id.Method))
	}
	return func(s *Server) {
		if s.configs == nil {
			s.configs = make(map[ServiceID]MethodConfig)
		}
		s.configs[id] = c
	}
}

// rules are what holds for a method, settled once.
type rules struct {
	heeds bool // see [MethodConfig].HeedsContext
}

// rulesOf settles what holds for a method.
func (s *Server) rulesOf(id ServiceID) (r rules) {
	for _, of := range [...]ServiceID{id, {Name: id.Name}, {}} {
		c := s.configs[of]
		r.heeds = r.heeds || c.HeedsContext
	}
	return r
}
