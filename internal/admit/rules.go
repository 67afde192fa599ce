package admit

import (
	"context"
	"math"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
)

// Config is the root's MethodConfig.
type Config struct {
	Timeout             time.Duration
	MessageSize         int
	Calls, CallsPerPeer int
	Rate                float64
	Burst               int
	HeedsContext        bool
	Doc                 string
}

// Configs are what is configured for methods, for services and for all. The zero
// Configs are ready.
type Configs struct {
	of     map[call.ID]*scope
	limits *call.Limits
	plain  Rules // where nothing is configured
}

// scope is a Config, with what counts the calls of all its methods.
type scope struct {
	Config
	calls, perPeer *Places // those of calls are of the empty ID
	rate           *Rates
}

// Set configures what id names.
func (c *Configs) Set(id call.ID, config Config) {
	if c.of == nil {
		c.of = make(map[call.ID]*scope)
	}
	s := &scope{Config: config}
	if s.Calls > 0 {
		s.calls = NewPlaces(s.Calls)
	}
	if s.CallsPerPeer > 0 {
		s.perPeer = NewPlaces(s.CallsPerPeer)
	}
	if s.Rate > 0 {
		if s.Burst <= 0 {
			s.Burst = int(min(math.Ceil(s.Rate), math.MaxInt32))
		}
		s.rate = NewRates(s.Rate, s.Burst)
	}
	c.of[id] = s
}

// Init sets the limits that Configs narrow. Set comes before, and Of after.
func (c *Configs) Init(l *call.Limits) { c.limits, c.plain.Limits = l, l }

// Rules are what holds for a method, settled once.
type Rules struct {
	Limits *call.Limits
	Heeds  bool
	Late   *call.Fault // of a call that has taken longer than may be; nil: it may take any time

	timeout        time.Duration
	calls, perPeer *Places
	rate           *Rates
	doc            string
}

// Of settles what holds for a method: field by field, what is set nearest to it.
func (c *Configs) Of(id call.ID) *Rules {
	if c.of == nil {
		return &c.plain
	}
	r := &Rules{Limits: c.limits, doc: c.Doc(id)}
	var timeout, size, calls, perPeer, rate bool // which are settled
	for _, of := range [...]call.ID{id, {Name: id.Name}, {}} {
		s := c.of[of]
		if s == nil {
			continue
		}
		r.Heeds = r.Heeds || s.HeedsContext
		if nearest(&timeout, s.Timeout) && s.Timeout > 0 {
			r.timeout = s.Timeout
			r.Late = call.Fail(call.OfServer, codes.DeadlineExceeded, "the method took longer than %v", s.Timeout).
				Limited("MethodConfig.Timeout")
		}
		if nearest(&size, s.MessageSize) && s.MessageSize > 0 && s.MessageSize < c.limits.MessageSize {
			r.Limits = &call.Limits{Set: c.limits.Set, OfMethod: s.MessageSize}
		}
		if nearest(&calls, s.Calls) {
			r.calls = s.calls
		}
		if nearest(&perPeer, s.CallsPerPeer) {
			r.perPeer = s.perPeer
		}
		if nearest(&rate, s.Rate) {
			r.rate = s.rate
		}
	}
	return r
}

// Doc is the line of documentation of what id names.
func (c *Configs) Doc(id call.ID) string {
	if s := c.of[id]; s != nil {
		return s.Doc
	}
	return ""
}

// Config is what holds for a method, from whatever sets it. What nothing bounds is 0.
func (r *Rules) Config() Config {
	c := Config{Timeout: r.timeout, HeedsContext: r.Heeds, Doc: r.doc, Calls: r.Limits.Calls, CallsPerPeer: r.Limits.CallsPerPeer}
	c.MessageSize, _ = r.Limits.MostBytes()
	if r.calls != nil {
		c.Calls = min(c.Calls, r.calls.Most())
	}
	if r.perPeer != nil {
		c.CallsPerPeer = min(c.CallsPerPeer, r.perPeer.Most())
	}
	if r.rate != nil {
		c.Rate, c.Burst = r.rate.PerSecond(), r.rate.burst
	}
	for _, n := range []*int{&c.MessageSize, &c.Calls, &c.CallsPerPeer} {
		if *n == math.MaxInt32 { // it is lifted
			*n = 0
		}
	}
	return c
}

// nearest reports whether a field is set, and is the first that is.
func nearest[T int | float64 | time.Duration](settled *bool, field T) bool {
	first := !*settled && field != 0
	*settled = *settled || first
	return first
}

// Within returns ctx with the method's timeout, if there is one: Late is the cause
// of its end.
func (r *Rules) Within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, r.timeout, r.Late)
}

// Enter takes the places that a call of p needs, or returns the fault of a call for
// which there are none. Leave gives them back.
func (r *Rules) Enter(p peer.ID) error {
	if r.calls != nil && !r.calls.Take("") {
		return refused("MethodConfig.Calls", "there are %d calls under way, as many as may be", r.calls.Most())
	}
	if r.perPeer != nil && !r.perPeer.Take(p) {
		r.leaveCalls()
		return refused("MethodConfig.CallsPerPeer", "the peer has %d calls under way, as many as one may", r.perPeer.Most())
	}
	if r.rate == nil {
		return nil
	}
	wait := r.rate.Take(p)
	if wait == 0 {
		return nil
	}
	r.Leave(p)
	f := refused("MethodConfig.Rate", "the peer makes more than %v calls a second; the next may come in %v", r.rate.PerSecond(), wait)
	f.Wait = wait
	return f
}

func refused(option, format string, args ...any) *call.Fault {
	return call.Fail(call.OfServer, codes.ResourceExhausted, format, args...).Limited(option).NotSent(true)
}

// Leave ends a call of p that has entered.
func (r *Rules) Leave(p peer.ID) {
	if r.perPeer != nil {
		r.perPeer.Free(p)
	}
	r.leaveCalls()
}

func (r *Rules) leaveCalls() {
	if r.calls != nil {
		r.calls.Free("")
	}
}
