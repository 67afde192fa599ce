package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
)

// load is what the flags of bench say.
type load struct {
	calling
	callers  int
	rate     float64
	duration time.Duration
	warmup   time.Duration
	items    int
}

func (a *app) bench() *cobra.Command {
	var l load
	cmd := &cobra.Command{
		Use:   "bench PEER SERVICE.METHOD [JSON | @FILE | -]",
		Short: "Call a method many times, and tell how long it takes",
		Long: `Call a method for a time, by a number of callers at once or at a rate, and tell how many
calls there were a second, and how long they took: percentiles and a histogram.

Each of --callers calls again as soon as it has its reply. With --rate, calls begin at
that rate, as long as a caller is free; one that begins late, because all were busy,
counts from when it was due, so that a peer that stops for a second shows.

The argument is read as by gorpc call, and encoded once. A call of a streaming method
sends it --items times, and takes until the last reply; if its replies never end, look
at the items a second. All calls share one connection. The method runs as often as it
is called: choose one that may.

--timeout is how long connecting may take, and how long after the end calls are waited
for. The exit code is 0 if any call has succeeded.`,
		Example: `  gorpc bench /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Order '{"ID": 7}' --callers 64
  gorpc bench /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Order '{"ID": 7}' --rate 1000 --duration 1m -o json`,
		Args: args(cobra.RangeArgs(2, 3)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if l.callers < 1 || l.rate < 0 || l.duration <= 0 || l.warmup < 0 || l.items < 0 {
				return usagef("--callers and --duration are more than 0, --rate, --warmup and --items not less")
			}
			return a.benchNow(cmd.Context(), &l, given[0], given[1], given[2:])
		},
	}
	a.to.flags(cmd)
	l.calling.flags(cmd)
	f := cmd.Flags()
	f.IntVarP(&l.callers, "callers", "c", 16, "how many calls are under way at once, at most")
	f.Float64VarP(&l.rate, "rate", "r", 0, "how many calls begin a second; 0 is as many as can")
	f.DurationVarP(&l.duration, "duration", "d", 10*time.Second, "how long to measure")
	f.DurationVarP(&l.warmup, "warmup", "w", time.Second, "how long to call before, uncounted")
	f.IntVar(&l.items, "items", 1, "how many items each call of a streaming method sends")
	return cmd
}

func (a *app) benchNow(ctx context.Context, l *load, peerName, name string, words []string) error {
	soon, cancel := a.to.within(ctx)
	defer cancel()
	i, err := a.invoke(soon, &l.calling, peerName, name, words)
	if err != nil {
		return err
	}
	defer i.Close()
	arg, err := i.oneArgument()
	if err != nil {
		return err
	}
	b := &bench{invocation: i, load: l}
	if b.once, err = b.prepare(arg); err != nil {
		return err
	}
	return a.tellMeasured(b.run(rpc.ContextWithMetadata(a.to.relayed(ctx), i.metadata)))
}

// bench makes the calls.
type bench struct {
	*invocation
	*load
	once func(ctx context.Context, c *caller) error

	begun        time.Time
	counted, end time.Time // the time between is measured
	calls        atomic.Int64
}

// caller makes calls one after the other, and counts them.
type caller struct {
	*bench
	took   durations
	errors map[string]uint64
	first  error
	items  uint64
}

// prepare returns a function that makes one call. The argument is encoded, and where
// the type tells how, the reply is not taken apart further than a program would.
func (b *bench) prepare(arg any) (func(context.Context, *caller) error, error) {
	kind := b.values.types[b.method.Reply].Kind
	if b.method.Kind == rpc.Streaming {
		switch kind {
		case "bytes":
			return streams[[]byte](b, arg), nil
		case "struct":
			return streams[struct{}](b, arg), nil
		}
		return streams[any](b, arg), nil
	}
	encoded, err := codec.Append(nil, arg, codec.Modern)
	if err != nil {
		return nil, &usageError{fmt.Errorf("the argument: %w", err)}
	}
	once := &call.Encoded{Value: arg, Bytes: encoded}
	return func(ctx context.Context, _ *caller) error {
		var reply any
		switch kind {
		case "bytes":
			reply = new([]byte)
		case "struct":
			reply = new(struct{})
		default:
			reply = new(any)
		}
		return b.client.CallContext(ctx, b.peer, b.id.Name, b.id.Method, once, reply)
	}, nil
}

// streams returns a function that makes one streaming call.
func streams[R any](b *bench, arg any) func(context.Context, *caller) error {
	m := rpc.NewDuplex[any, R](b.id.Name, b.id.Method)
	return func(ctx context.Context, c *caller) error {
		s := m.Open(ctx, b.client, b.peer)
		defer s.Close()
		var sending sync.WaitGroup
		sending.Go(func() {
			for range b.items {
				if s.Send(ctx, arg) != nil {
					return // the replies tell why
				}
			}
			_ = s.CloseSend()
		})
		defer sending.Wait()
		for _, err := range s.All(ctx) {
			if err != nil {
				return err
			}
			if now := time.Now(); !now.Before(b.counted) && now.Before(b.end) {
				c.items++
			}
		}
		return nil
	}
}

// run makes calls until the time is over or ctx ends.
func (b *bench) run(ctx context.Context) *measured {
	b.begun = time.Now()
	b.counted = b.begun.Add(b.warmup)
	b.end = b.counted.Add(b.duration)
	all := make([]*caller, b.callers)
	calling, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	if streaming := b.method.Kind == rpc.Streaming; streaming || b.to.timeout > 0 {
		last := b.warmup + b.duration
		if !streaming { // which may have no end
			last += b.to.timeout
		}
		defer time.AfterFunc(last, stop).Stop()
	}
	defer context.AfterFunc(ctx, stop)()
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &caller{bench: b, errors: make(map[string]uint64)}
		wg.Go(func() { all[i].run(calling) })
	}
	wg.Wait()
	return b.sum(all, min(time.Since(b.counted), b.duration))
}

func (c *caller) run(ctx context.Context) {
	for now := time.Now(); ; {
		begun, ok := c.next(ctx, now)
		if !ok {
			return
		}
		err := c.once(ctx, c)
		now = time.Now()
		if ctx.Err() != nil {
			return // it was cut off
		}
		if now.Before(c.counted) || now.After(c.end) {
			continue
		}
		c.took.add(now.Sub(begun))
		if err != nil {
			c.errors[codeOf(err).String()]++
			if c.first == nil {
				c.first = err
			}
		}
	}
}

// next waits until the next call is due, and returns from when on it counts. A look at
// the clock is dear beside a fast call, so now is when the last one ended.
func (c *caller) next(ctx context.Context, now time.Time) (begun time.Time, ok bool) {
	if c.rate <= 0 {
		return now, ctx.Err() == nil && now.Before(c.end)
	}
	due := c.begun.Add(time.Duration(float64(c.calls.Add(1)-1) / c.rate * float64(time.Second)))
	if wait := due.Sub(now); wait > 0 && due.Before(c.end) {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		due = time.Now() // that the timer is late is not the peer's
		now = due
	}
	return due, ctx.Err() == nil && now.Before(c.end) && due.Before(c.end)
}

// sum puts together what the callers have counted.
func (b *bench) sum(all []*caller, took time.Duration) *measured {
	m := &measured{
		Method: b.id.String(), Peer: b.peer.String(), Callers: b.callers, Rate: b.rate, Took: jsonTime(max(took, 0)), Errors: make(map[string]uint64),
		streaming: b.method.Kind == rpc.Streaming,
	}
	var h durations
	for _, c := range all {
		h.merge(&c.took)
		m.Items += c.items
		for code, n := range c.errors {
			m.Errors[code] += n
			m.failed += n
		}
		if m.first == nil {
			m.first = c.first
		}
	}
	m.Calls = h.n
	if took > 0 {
		m.PerSecond, m.ItemsPerSecond = float64(h.n)/took.Seconds(), float64(m.Items)/took.Seconds()
	}
	m.Durations = map[string]jsonTime{
		"min": jsonTime(h.low), "mean": jsonTime(h.mean()), "p50": jsonTime(h.quantile(.5)), "p90": jsonTime(h.quantile(.9)),
		"p95": jsonTime(h.quantile(.95)), "p99": jsonTime(h.quantile(.99)), "p99.9": jsonTime(h.quantile(.999)), "max": jsonTime(h.high),
	}
	m.Histogram = h.bars()
	return m
}

// measured is what is told.
type measured struct {
	Method         string              `json:"method"`
	Peer           string              `json:"peer"`
	Callers        int                 `json:"callers"`
	Rate           float64             `json:"rate,omitempty"`
	Took           jsonTime            `json:"took"`
	Calls          uint64              `json:"calls"`
	PerSecond      float64             `json:"perSecond"`
	Items          uint64              `json:"items,omitempty"`
	ItemsPerSecond float64             `json:"itemsPerSecond,omitempty"`
	Errors         map[string]uint64   `json:"errors"`
	Durations      map[string]jsonTime `json:"durations"`
	Histogram      []bar               `json:"histogram"`

	streaming bool
	failed    uint64
	first     error
}

// tellMeasured writes what was measured. The error is that of the first call, if none has
// succeeded.
func (a *app) tellMeasured(m *measured) error {
	if a.format == "json" {
		if err := writeJSON(a.out, m); err != nil {
			return err
		}
	} else {
		a.tellPeople(m)
	}
	if m.failed > 0 && m.failed == m.Calls {
		return a.failed(m.first)
	}
	if m.first != nil {
		fmt.Fprintf(a.err, "the first error: %s\n", clean(m.first.Error()))
	}
	return nil
}

func (a *app) tellPeople(m *measured) {
	by := fmt.Sprintf("%d callers", m.Callers)
	if m.Rate > 0 {
		by += fmt.Sprintf(", %v calls a second", m.Rate)
	}
	fmt.Fprintf(a.out, "%s, %s, %v\n", line(m.Method), by, time.Duration(m.Took).Round(time.Millisecond))
	rows := [][]string{{"calls", fmt.Sprintf("%d, %.1f a second", m.Calls, m.PerSecond)}}
	if m.streaming {
		rows = append(rows, []string{"items", fmt.Sprintf("%d, %.1f a second", m.Items, m.ItemsPerSecond)})
	}
	var failed []string
	for _, code := range slices.Sorted(maps.Keys(m.Errors)) {
		failed = append(failed, fmt.Sprintf("%s %d", code, m.Errors[code]))
	}
	if len(failed) > 0 {
		rows = append(rows, []string{"errors", strings.Join(failed, ", ")})
	}
	if m.Calls > 0 {
		for _, q := range []string{"min", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"} {
			rows = append(rows, []string{q, short(time.Duration(m.Durations[q]))})
		}
	}
	columns(a.out, "", rows)
	draw(a.out, m.Histogram)
	if m.Calls == 0 {
		fmt.Fprintln(a.err, "No call has ended in the time that was measured: --duration gives it longer.")
	}
}

// short is a duration with three digits.
func short(d time.Duration) string {
	unit := time.Duration(1)
	for d/unit >= 1000 {
		unit *= 10
	}
	return d.Round(unit).String()
}
