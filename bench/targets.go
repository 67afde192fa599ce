package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// target is something that was aimed at, and what came of it.
type target struct {
	what, aim, measured string
	met                 bool
}

// targets are those of which all was measured.
type targets []target

func (t *targets) add(what, aim, measured string, met bool) {
	*t = append(*t, target{what, aim, measured, met})
}

// times is a target of a time, which is compared with another.
func (t *targets) times(what string, most float64, than string, ns, other float64) {
	t.add(what, fmt.Sprintf("at most %.4g times %s", most, than),
		fmt.Sprintf("%.3g times (%s to %s)", ns/other, timeText(ns), timeText(other)), ns <= most*other)
}

// printTargets prints what was aimed at, as far as it was measured.
func (b *bench) printTargets() {
	var t targets
	b.localTargets(&t)
	for _, group := range []string{unaryTCP, unaryQUIC} {
		b.unaryTargets(&t, group)
	}
	b.wireTargets(&t)
	b.instrumentedTargets(&t)
	b.countingTargets(&t)
	b.streamingTargets(&t)
	b.memoryTargets(&t)
	b.latencyTargets(&t)
	b.registeringTargets(&t)
	if len(t) == 0 {
		return
	}
	met := 0
	for _, x := range t {
		if x.met {
			met++
		}
	}
	b.table("Targets", fmt.Sprintf("%d of %d are met. Those of unary calls are of the library over session, but where wire is named.", met, len(t)),
		"", ":target", ":measured", ":")
	for _, x := range t {
		verdict := "met"
		if !x.met {
			verdict = "**not met**"
		}
		b.row(x.what, x.aim, x.measured, verdict)
	}
}

func (b *bench) localTargets(t *targets) {
	for _, name := range []string{byPointer, byValue} {
		c := b.find(localCalls, name)
		if c == nil {
			continue
		}
		for _, x := range []struct {
			name       string
			ns, allocs float64
		}{{nameCall, 400, 5}, {nameCancellable, 1200, 12}, {nameTyped, 100, 1}} {
			r, ok := c.of(x.name)
			if !ok {
				continue
			}
			t.add("local, "+name+", "+x.name, fmt.Sprintf("at most %s and %s", timeText(x.ns), allocations(x.allocs)),
				timeText(r.ns)+", "+allocations(r.allocs), r.ns <= x.ns && math.Round(r.allocs) <= x.allocs)
		}
	}
}

func allocations(n float64) string {
	if n = math.Round(n); n == 1 {
		return "1 allocation"
	}
	return fmt.Sprintf("%.0f allocations", n)
}

// unaryTargets are of calls over session.
func (b *bench) unaryTargets(t *targets, group string) {
	for i := range b.cells[group] {
		c := &b.cells[group][i]
		what := strings.TrimPrefix(group, "Unary calls over ") + ", " + c.name
		s, _ := c.of(nameSession)
		best, others := 0.0, []string(nil)
		for _, name := range []string{nameGRPC, nameDRPC, nameNetRPC} {
			r, _ := c.of(name)
			others = append(others, timeText(r.ns))
			if best == 0 || r.ns < best {
				best = r.ns
			}
		}
		t.add(what, "faster than gRPC, DRPC and net/rpc", timeText(s.ns)+" against "+strings.Join(others, ", "), s.ns < best)
		tagged, _ := c.of(nameTagged)
		grpc, _ := c.of(nameGRPC)
		switch c.name {
		case "64 B, " + callersText(1):
			t.times(what, 1.2, "the better floor", s.ns, c.base())
			t.add(what, "at most 20 allocations, both ends", fmt.Sprintf("%.1f", s.allocs), s.allocs <= 20)
		case "64 B, " + callersText(b.callers):
			t.times(what, 2.5, "the coalesced floor", s.ns, tagged.ns)
			t.add(what, "at most a third of gRPC's time", fmt.Sprintf("%.2f of it", s.ns/grpc.ns), s.ns*3 <= grpc.ns)
			const old = 82e3 // ns, a call of v0.6
			t.add(what, "15 times as fast as v0.6, which took "+timeText(old), fmt.Sprintf("%.3g times", old/s.ns), s.ns*15 <= old)
		case "4 KiB, " + callersText(b.callers):
			t.times(what, 1.5, "the coalesced floor", s.ns, tagged.ns)
		case "256 KiB, " + callersText(1), "256 KiB, " + callersText(b.callers):
			t.times(what, 1.25, "the better floor", s.ns, c.base())
		}
	}
}

// wireTargets are of calls on a stream each.
func (b *bench) wireTargets(t *targets) {
	if c := b.find(unaryTCP, "64 B, "+callersText(1)); c != nil {
		w, _ := c.of(nameWire)
		raw, _ := c.of(nameRawCall)
		t.times("wire, TCP, "+c.name, 1.15, "a stream of raw bytes a call", w.ns, raw.ns)
		t.add("wire, TCP, "+c.name, "at most 230 allocations, both ends", fmt.Sprintf("%.1f", w.allocs), w.allocs <= 230)
	}
	for _, over := range []struct{ name, group string }{{"TCP", unaryTCP}, {"QUIC", unaryQUIC}} {
		for _, callers := range []int{1, b.callers} {
			if c := b.find(over.group, "256 KiB, "+callersText(callers)); c != nil {
				w, _ := c.of(nameWire)
				raw, _ := c.of(nameRawCall)
				t.times("wire, "+over.name+", "+c.name, 1.3, "a stream of raw bytes a call", w.ns, raw.ns)
			}
		}
	}
}

func (b *bench) streamingTargets(t *targets) {
	for i := range b.cells[streamingTCP] {
		c := &b.cells[streamingTCP][i]
		grpc, _ := c.of(itemGRPC)
		drpc, _ := c.of(itemDRPC)
		flushing, _ := c.of(itemFlushing)
		for _, name := range []string{itemOurs, itemBuffered, itemTyped} {
			r, _ := c.of(name)
			what := strings.TrimPrefix(name, "this library, ") + ", " + c.name
			t.add(what, "faster than gRPC and DRPC", timeText(r.ns)+" against "+timeText(grpc.ns)+", "+timeText(drpc.ns), r.ns < min(grpc.ns, drpc.ns))
			if c.bytes == 64 {
				t.add(what, "10 times as fast as flushing each", fmt.Sprintf("%.3g times", flushing.ns/r.ns), r.ns*10 <= flushing.ns)
			} else {
				t.add(what, "80 % of raw bytes' throughput", fmt.Sprintf("%.0f %%", 100*c.base()/r.ns), c.base() >= 0.8*r.ns)
			}
		}
	}
	for _, c := range slices.Concat(b.cells[streamingTCP], b.cells[streamingRecords]) {
		typed, _ := c.of(itemTyped)
		for _, name := range []string{itemOurs, itemBuffered} {
			r, _ := c.of(name)
			t.add("typed, "+c.name, "faster than "+strings.TrimPrefix(name, "this library, "), timeText(typed.ns)+" against "+timeText(r.ns), typed.ns < r.ns)
		}
	}
}

func (b *bench) memoryTargets(t *targets) {
	var bare usage // the callers' own
	for _, w := range b.waits {
		if w.system == nameBare {
			bare = w.usage
		}
		if w.system != nameSession {
			continue
		}
		what := fmt.Sprintf("%d calls wait on one peer, %s", b.waiting, w.how)
		bytes, own := w.heap+w.stacks, bare.heap+bare.stacks
		if w.how == byGo {
			own = 0
		}
		t.add(what, "under 3 KiB a call in the client, but for a caller's bare goroutine",
			fmt.Sprintf("%.1f KiB: %.1f, less %.1f", (bytes-own)/1024, bytes/1024, own/1024), bytes-own < 3<<10)
		t.add(what, "no goroutine of the library's a call", fmt.Sprintf("%.2f", w.goroutines), w.goroutines < 0.01)
	}
	for _, r := range b.idles {
		if r.system != nameSession {
			continue
		}
		for _, side := range []struct {
			name string
			usage
		}{{"client", r.client}, {"server", r.server}} {
			t.add("idle session, "+side.name, "under 16 KiB a peer", fmt.Sprintf("%.1f KiB, stacks included", (side.heap+side.stacks)/1024), side.heap+side.stacks < 16<<10)
			t.add("idle session, "+side.name, "at most 2 goroutines", fmt.Sprintf("%.2f", side.goroutines), side.goroutines <= 2.05)
		}
	}
}

// latencyTargets asks for what the connection itself allows.
func (b *bench) latencyTargets(t *targets) {
	const most = 5 * time.Millisecond
	for _, name := range []string{latencyTCP, latencyQUIC} {
		var raw, ours latencyResult
		for _, r := range b.latencies[name] {
			switch r.system {
			case rawTraffics:
				raw = r
			case nameSession:
				ours = r
			}
		}
		if ours.system == "" {
			continue
		}
		t.add("p99 of 64 B beside 4 MiB replies, "+name[strings.LastIndex(name, " ")+1:],
			fmt.Sprintf("under %s, or under that of raw streams", durationText(most)),
			fmt.Sprintf("%s; raw streams %s", durationText(ours.beside99), durationText(raw.beside99)), ours.beside99 < max(most, raw.beside99))
	}
}

// registeringTargets: calls that take long do so because of something else, if
// in the median turn no more do than when services are registered elsewhere, or
// not at all. Chance makes a few more of many, by the square root.
func (b *bench) registeringTargets(t *targets) {
	typical := make(map[[2]string]int)
	for _, r := range b.registerings {
		typical[[2]string{r.over, r.mode}] = r.typical
	}
	for _, r := range b.registerings {
		if r.mode != registerHere {
			continue
		}
		anyway := max(typical[[2]string{r.over, registerNot}], typical[[2]string{r.over, registerElsewhere}])
		t.add("registering while "+callersText(b.callers)+" call, "+r.over, "no call over 10 ms because of it",
			fmt.Sprintf("%d calls over 10 ms in the median turn, without it %d", r.typical, anyway), float64(r.typical) <= float64(anyway)+2*math.Sqrt(float64(anyway)))
	}
}
