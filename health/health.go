// Package health tells whether a server's services can do their work: [New] at the
// server, [Check] and [Watch] at those who want to know.
//
// A service's health is set by hand ([Services.Set]), or found out by a function
// ([Services.SetCheck]). Who may ask is for the server's authorization to say, of the
// methods Check and Watch of [ServiceName].
package health

import (
	"context"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/watch"
)

// ServiceName is the name of the service that [New] registers, for policies. Its methods
// are Check and Watch.
const ServiceName = "rpc.Health"

// Status says whether a service can do its work.
type Status string

// What there is to say.
const (
	Unknown    Status = "unknown" // nobody has set it
	Serving    Status = "serving"
	NotServing Status = "not serving"
)

// Report is the health of a service.
type Report struct {
	Service string `json:"service"` // empty: the server as a whole
	Status  Status `json:"status"`
	Why     string `json:"why,omitempty"` // for people; empty where there is nothing to say
}

var (
	checking = rpc.NewMethod[string, Report](ServiceName, "Check")
	watching = rpc.NewServerStream[string, Report](ServiceName, "Watch")
)

// Check asks the server on dest for the health of a service, or with an empty name of the
// server as a whole. The error says that there is no answer: a server that shuts down
// is [codes.Unavailable], one without [New] is [codes.Unimplemented], and a service whose
// health nobody has set is [codes.NotFound]. dest and ctx mean what they do for a call.
func Check(ctx context.Context, c *rpc.Client, dest peer.ID, service string, opts ...rpc.CallOption) (Report, error) {
	return checking.Call(ctx, c, dest, service, opts...)
}

// Watch yields what [Check] returns, and again whenever it has changed, until ctx ends:
// [Unknown] while nobody has set it. A server that shuts down says [NotServing] last. When
// the peer cannot be reached, or its server has ended, it yields a [*watch.Interrupted] and
// goes on when there is an answer, as [watch.Keep] says.
func Watch(ctx context.Context, c *rpc.Client, dest peer.ID, service string, opts ...rpc.CallOption) iter.Seq2[Report, error] {
	return watch.Keep(ctx, func(ctx context.Context) iter.Seq2[Report, error] {
		return watching.Call(ctx, c, dest, service, opts...)
	})
}

// Services is the health of a server's services. Its methods are safe for concurrent use.
type Services struct {
	mu      sync.Mutex
	of      map[string]*service
	changed chan struct{} // is closed, and replaced, when anything is set
}

type service struct {
	report Report
	check  func(context.Context) error // nil: set by hand
	every  time.Duration
	turn   chan struct{} // is full while somebody checks
	at     time.Time     // of the last check
}

// New makes s tell of its health, at first that the server as a whole is [Serving]. It
// returns an error if s does so already.
func New(s *rpc.Server) (*Services, error) {
	h := &Services{of: make(map[string]*service), changed: make(chan struct{})}
	h.Set("", Serving, "")
	if err := checking.Handle(s, h.answer); err != nil {
		return nil, err
	}
	return h, watching.Handle(s, h.follow)
}

// Set says what the health of a service is, from now on, and why. [Unknown] takes back
// what was said.
func (h *Services) Set(name string, status Status, why string) {
	h.set(name, &service{report: Report{name, status, why}})
}

// SetCheck has check asked whether a service can do its work: nil is [Serving], and an
// error [NotServing], with its text as the reason. It is asked when somebody wants to
// know, by one at a time and at most once in every (0: a second), which is also how often it is
// asked for those who watch. Its context ends after every; it is to return then.
func (h *Services) SetCheck(name string, every time.Duration, check func(context.Context) error) {
	if every <= 0 {
		every = time.Second
	}
	h.set(name, &service{report: Report{Service: name, Status: Unknown}, check: check, every: every, turn: make(chan struct{}, 1)})
}

func (h *Services) set(name string, s *service) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.report.Status == Unknown && s.check == nil {
		delete(h.of, name)
	} else {
		h.of[name] = s
	}
	close(h.changed)
	h.changed = make(chan struct{})
}

// Of returns the health of a service, as [Check] does: the error is that of ctx, or one
// with [codes.NotFound].
func (h *Services) Of(ctx context.Context, name string) (Report, error) { return h.answer(ctx, name) }

func (h *Services) answer(ctx context.Context, name string) (Report, error) {
	r, _, _, err := h.now(ctx, name)
	if err == nil && r.Status == Unknown {
		err = rpc.Errorf(codes.NotFound, "nobody has said what the health of service %q is", name)
	}
	return r, err
}

// now returns the health of a service, what is closed when that is set, and how often it
// is to be asked for; 0: it changes only if it is set.
func (h *Services) now(ctx context.Context, name string) (Report, <-chan struct{}, time.Duration, error) {
	h.mu.Lock()
	s, changed := h.of[name], h.changed
	h.mu.Unlock()
	switch {
	case s == nil:
		return Report{Service: name, Status: Unknown}, changed, 0, nil
	case s.check == nil:
		return s.report, changed, 0, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return Report{}, nil, 0, ctx.Err()
	}
	if s.at.IsZero() || time.Since(s.at) >= s.every {
		s.report = s.checked(ctx)
		s.at = time.Now()
	}
	return s.report, changed, s.every, nil
}

// checked calls the function, for all who want to know: one who does no longer changes
// nothing.
func (s *service) checked(ctx context.Context) (r Report) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.every)
	defer cancel()
	r = Report{Service: s.report.Service, Status: Serving}
	defer func() {
		if p := recover(); p != nil {
			r.Status, r.Why = NotServing, fmt.Sprintf("the check panicked: %v", p)
		}
	}()
	if err := s.check(ctx); err != nil {
		r.Status, r.Why = NotServing, err.Error()
	}
	return r
}

// follow serves Watch.
func (h *Services) follow(ctx context.Context, name string, out *rpc.Sender[Report]) error {
	var last Report
	stopping := watch.Stopping(ctx)
	for {
		r, changed, every, err := h.now(ctx, name)
		if err != nil {
			return err
		}
		if r != last {
			if err := out.Send(ctx, r); err != nil {
				return err
			}
			last = r
		}
		switch wait(ctx, changed, stopping, every) {
		case over:
			return ctx.Err()
		case stops:
			if err := out.Send(ctx, Report{name, NotServing, "the server is shutting down"}); err != nil {
				return err
			}
			return watch.ErrStopping
		}
	}
}

// What ends a wait.
const (
	looks = iota // it is time to look again
	over
	stops
)

// wait waits for a change, for every, if it is not 0, and for the end.
func wait(ctx context.Context, changed, stopping <-chan struct{}, every time.Duration) int {
	var again <-chan time.Time
	if every > 0 {
		timer := time.NewTimer(every)
		defer timer.Stop()
		again = timer.C
	}
	select {
	case <-changed:
	case <-again:
	case <-ctx.Done():
		return over
	case <-stopping:
		return stops
	}
	return looks
}
