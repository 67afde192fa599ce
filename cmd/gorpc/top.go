package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/libp2p/go-libp2p-gorpc/debug"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// topOptions are the flags of gorpc top.
type topOptions struct {
	every  time.Duration
	count  int
	client bool
	rows   int
}

func (a *app) top() *cobra.Command {
	var o topOptions
	cmd := &cobra.Command{
		Use:   "top PEER",
		Short: "Show live what a peer does: calls, rates, times, peers, refusals",
		Long: `Show what a peer's server is doing, or with --client what its client is: calls under way,
calls a second, how long they take, which peers there are, and what was refused.

The peer's program must have debug.Serve, and its rule allow the key of this command.
Other peers are shown by names that it makes up, unless its rule shows them. Rates and
times are of the time since the last look, at first of all that the program has run.

It goes on until it is interrupted, or for --count looks. With -o json every look is a
line.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if o.every < 100*time.Millisecond || o.count < 0 || o.rows < 1 {
				return usagef("--every is %v, --count %d and --rows %d: one is too small", o.every, o.count, o.rows)
			}
			return a.topOf(cmd.Context(), given[0], o)
		},
	}
	a.to.flags(cmd)
	cmd.Flags().DurationVarP(&o.every, "every", "i", time.Second, "the time between two looks")
	cmd.Flags().IntVarP(&o.count, "count", "c", 0, "how many looks; 0: until it is interrupted")
	cmd.Flags().IntVar(&o.rows, "rows", 10, "how many rows each list has")
	cmd.Flags().BoolVar(&o.client, "client", false, "what the peer's client does, not its server")
	return cmd
}

func (a *app) topOf(ctx context.Context, name string, o topOptions) error {
	short, cancel := a.to.within(ctx)
	defer cancel()
	c, err := a.to.serving(short, name)
	if err != nil {
		return err
	}
	defer c.Close()
	var before *state.Side
	looks := 0
	for all, err := range debug.Watch(ctx, c.client, c.peer, o.every) {
		switch {
		case err != nil && ctx.Err() != nil: // by whoever has had enough
			return nil
		case err != nil:
			return err
		}
		now, ok := side(all, o.client)
		if !ok {
			return usagef("the peer shows no client: the program gives debug.Serve none")
		}
		if a.format == "json" {
			err = json.NewEncoder(a.out).Encode(all)
		} else {
			err = a.look(now, before, o.rows)
		}
		if err != nil {
			return err
		}
		before = now
		if looks++; looks == o.count {
			break
		}
	}
	return nil
}

func side(all debug.Snapshot, client bool) (*state.Side, bool) {
	switch {
	case client && all.Client != nil:
		return &all.Client.Side, true
	case !client && all.Server != nil:
		return &all.Server.Side, true
	}
	return nil, false
}

// isTerminal reports whether what is written is seen by people at once.
func (a *app) isTerminal() bool {
	f, ok := a.out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// look writes what a side does, and has done since before; nil: since it was made.
func (a *app) look(now, before *state.Side, rows int) error {
	var b strings.Builder
	if a.isTerminal() {
		b.WriteString("\x1b[H\x1b[2J") // a clean screen
	}
	if before == nil || !before.Since.Equal(now.Since) {
		before = &state.Side{At: now.Since}
	}
	seconds := max(now.At.Sub(before.At).Seconds(), 1e-3)
	took := now.Total.Latency.Since(before.Total.Latency)
	failed := now.Total.Failures() - before.Total.Failures()
	refused, refusedBefore := sum(now.Refused), sum(before.Refused)
	fmt.Fprintf(&b, "%s  %s  up %v\n", line(now.Peer), line(now.Protocol), now.At.Sub(now.Since).Round(time.Second))
	fmt.Fprintf(&b, "%.1f calls/s, %.1f failed/s, %.1f refused/s; p50 %s, p99 %s; %d under way; %d KiB reserved\n",
		float64(took.Count())/seconds, float64(failed)/seconds, float64(refused-refusedBefore)/seconds,
		brief(took.Quantile(0.5)), brief(took.Quantile(0.99)), now.UnderWay, now.Memory.Reserved>>10)

	var calls [][]string
	for _, c := range now.Calls[:min(rows, len(now.Calls))] {
		calls = append(calls, []string{named(c.Service, c.Method), brief(c.Age), fmt.Sprint(c.In), fmt.Sprint(c.Out), c.Peer, c.Phase})
	}
	list(&b, "oldest calls", []string{"METHOD", "AGE", "IN", "OUT", "PEER", ""}, calls)
	list(&b, "methods", []string{"METHOD", "CALLS/S", "UNDER WAY", "FAILED", "P50", "P99"}, methodRows(now, before, seconds, rows))
	list(&b, "peers", []string{"PEER", "CALLS/S", "UNDER WAY", "FAILED", "DENIED", "REFUSED", "P50", "P99"}, peerRows(now, before, seconds, rows))
	var links [][]string
	for _, l := range now.Links[:min(rows, len(now.Links))] {
		way, what := "direct", "streams"
		if l.Relayed {
			way = "relayed"
		}
		if l.Session {
			what = "sessions"
		}
		links = append(links, []string{l.Peer, fmt.Sprintf("%d %s", l.Count, what), l.Transport, way, fmt.Sprint(l.UnderWay), fmt.Sprint(l.Waiting)})
	}
	list(&b, "links", []string{"PEER", "", "TRANSPORT", "WAY", "CALLS", "WAITING"}, links)
	var reasons [][]string
	for _, r := range now.Refused {
		reasons = append(reasons, []string{r.Name, fmt.Sprint(r.N)})
	}
	list(&b, "refused so far", []string{"WHY", "CALLS"}, reasons)
	b.WriteString("\n")
	_, err := a.out.Write([]byte(b.String()))
	return err
}

func named(service, method string) string {
	if method == "" {
		return service
	}
	return service + "." + method
}

// list writes rows under a title, if there are any.
func list(b *strings.Builder, title string, head []string, rows [][]string) {
	if len(rows) > 0 {
		fmt.Fprintf(b, "\n%s\n", title)
		columns(b, "  ", append([][]string{head}, rows...))
	}
}

// figure is a row with what it is sorted by.
type figure struct {
	calls uint64
	row   []string
}

func busiest(all []figure, rows int) (sorted [][]string) {
	slices.SortStableFunc(all, func(a, b figure) int { return cmp.Compare(b.calls, a.calls) })
	for _, f := range all[:min(rows, len(all))] {
		sorted = append(sorted, f.row)
	}
	return sorted
}

func methodRows(now, before *state.Side, seconds float64, rows int) [][]string {
	had := make(map[string]state.Totals)
	for _, m := range before.Methods {
		had[named(m.Service, m.Method)] = m.Totals
	}
	var all []figure
	for _, m := range now.Methods {
		name := named(m.Service, m.Method)
		took := m.Latency.Since(had[name].Latency)
		all = append(all, figure{took.Count(), []string{
			name, fmt.Sprintf("%.1f", float64(took.Count())/seconds), fmt.Sprint(m.UnderWay), fmt.Sprint(m.Failures()),
			brief(took.Quantile(0.5)), brief(took.Quantile(0.99)),
		}})
	}
	return busiest(all, rows)
}

func peerRows(now, before *state.Side, seconds float64, rows int) [][]string {
	had := make(map[string]state.Totals)
	for _, p := range before.Peers {
		had[p.ID] = p.Totals
	}
	var all []figure
	for _, p := range now.Peers {
		took := p.Latency.Since(had[p.ID].Latency)
		all = append(all, figure{took.Count(), []string{
			p.ID, fmt.Sprintf("%.1f", float64(took.Count())/seconds), fmt.Sprint(p.UnderWay), fmt.Sprint(p.Failures()),
			fmt.Sprint(p.Denied), fmt.Sprint(p.Refused), brief(took.Quantile(0.5)), brief(took.Quantile(0.99)),
		}})
	}
	return busiest(all, rows)
}

func sum(counts []state.Count) (n uint64) {
	for _, c := range counts {
		n += c.N
	}
	return n
}

// brief is d with two or three digits.
func brief(d time.Duration) string {
	for _, unit := range []time.Duration{time.Second, time.Millisecond, time.Microsecond} {
		if d >= unit {
			return d.Round(unit / 10).String()
		}
	}
	return d.String()
}
