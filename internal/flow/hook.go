package flow

import "sync"

// Hook is a function that sees the items of a call's stream, sent and received.
type Hook func(item any, sent bool) error

// ItemError is the error with which a hook has ended the call.
type ItemError struct{ Err error }

func (e *ItemError) Error() string { return e.Err.Error() }

// Unwrap returns the hook's error.
func (e *ItemError) Unwrap() error { return e.Err }

// Hooks has the hooks of one call. A nil one has none.
type Hooks struct {
	hooks []Hook
	mu    sync.RWMutex // hooks run with it read-locked
	over  bool
}

// NewHooks returns nil without hooks, so that nothing is between a source and a
// sink then.
func NewHooks(hooks []Hook) *Hooks {
	if len(hooks) == 0 {
		return nil
	}
	return &Hooks{hooks: hooks}
}

// Source returns src, whose items pass the hooks.
func (h *Hooks) Source(src Source, sent bool) Source {
	if h == nil {
		return src
	}
	return &hookedSource{src, h, sent}
}

// Sink returns dst, whose items pass the hooks.
func (h *Hooks) Sink(dst Sink, sent bool) Sink {
	if h == nil {
		return dst
	}
	return &hookedSink{dst, h, sent}
}

// Stop waits for the hooks that run. None runs afterwards.
func (h *Hooks) Stop() {
	if h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.over = true
	}
}

func (h *Hooks) see(it Item, sent bool) error {
	item := it.Reflected().Interface()
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.over {
		return ErrStopped
	}
	for _, hook := range h.hooks {
		if err := hook(item, sent); err != nil {
			return &ItemError{err}
		}
	}
	return nil
}

type hookedSource struct {
	Source
	hooks *Hooks
	sent  bool
}

func (s *hookedSource) Next(wait bool) (Item, State, error) {
	it, st, err := s.Source.Next(wait)
	if st == HasItem && err == nil {
		if err = s.hooks.see(it, s.sent); err != nil {
			st = AtEnd
		}
	}
	return it, st, err
}

type hookedSink struct {
	Sink
	hooks *Hooks
	sent  bool
}

func (s *hookedSink) Put(it Item) error {
	if err := s.hooks.see(it, s.sent); err != nil {
		return err
	}
	return s.Sink.Put(it)
}
