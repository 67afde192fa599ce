package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// draw draws the charts into a directory.
func (b *bench) draw(dir string) error {
	charts := map[string]string{
		"bench-unary-tcp.svg":   b.unaryChart(unaryTCP),
		"bench-unary-quic.svg":  b.unaryChart(unaryQUIC),
		"bench-allocations.svg": b.allocationsChart(),
		"bench-streaming.svg":   b.streamingChart(),
		"bench-local.svg":       b.localChart(),
		"bench-fanout.svg":      b.fanOutChart(),
		"bench-growth.svg":      b.growthChart(),
		"bench-waiting.svg":     b.waitingChart(),
		"bench-idle.svg":        b.idleChart(),
		"bench-latency.svg":     b.latencyChart(),
	}
	for _, name := range slices.Sorted(maps.Keys(charts)) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(charts[name]), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// newPanels makes an empty chart; on a logarithmic scale it says so.
func (b *bench) newPanels(title, note string, log bool, axis string, unit unit, columns ...string) *panels {
	if log {
		note += " Logarithmic scale."
	}
	return &panels{title: title, note: note, foot: b.machine, log: log, axis: axis, unit: unit, columns: columns}
}

// panelOf is a cell's time of each contestant, and its better floor.
func panelOf(c *cellResult, value func(result) float64, text func(float64) string) panel {
	var p panel
	for _, r := range c.results {
		p.values = append(p.values, []float64{value(r)})
		p.texts = append(p.texts, text(value(r)))
	}
	return p
}

// labels names the contestants of a row.
func (r *panelRow) label(c *cellResult) {
	for _, con := range c.contestants {
		r.labels = append(r.labels, con.name)
		r.class = append(r.class, classOf(con.name))
	}
}

func nsOf(r result) float64 { return r.ns }

func (b *bench) unaryChart(group string) string {
	p := b.newPanels(group, "Medians; the dashed line is the better floor.", true, "time a call", ofTime, callersText(1), callersText(b.callers))
	p.shared = true
	for _, size := range []int{64, 4 << 10, 256 << 10} {
		row := panelRow{name: bytesText(size)}
		for _, callers := range []int{1, b.callers} {
			c := b.find(group, bytesText(size)+", "+callersText(callers))
			if len(row.cells) == 0 {
				row.label(c)
			}
			cell := panelOf(c, nsOf, timeText)
			cell.base = c.base()
			row.cells = append(row.cells, cell)
		}
		p.rows = append(p.rows, row)
	}
	return p.draw()
}

func (b *bench) allocationsChart() string {
	p := b.newPanels("Allocations of a call of 64 B over TCP", "Both ends together, medians.", false, "allocations a call", ofCount, callersText(1), callersText(b.callers))
	p.bars, p.shared = true, true
	var row panelRow
	for _, callers := range []int{1, b.callers} {
		c := b.find(unaryTCP, "64 B, "+callersText(callers))
		if len(row.cells) == 0 {
			row.label(c)
		}
		row.cells = append(row.cells, panelOf(c, func(r result) float64 { return r.allocs }, func(v float64) string { return fmt.Sprintf("%.0f", v) }))
	}
	p.rows = append(p.rows, row)
	return p.draw()
}

func (b *bench) streamingChart() string {
	cells := b.cells[streamingTCP]
	p := b.newPanels(streamingTCP, "Items that are echoed in one streaming call, medians; the dashed line is the better floor.", true, "time an item", ofTime)
	var row panelRow
	for i := range cells {
		c := &cells[i]
		p.columns = append(p.columns, c.name)
		if i == 0 {
			row.label(c)
		}
		cell := panelOf(c, nsOf, timeText)
		cell.base = c.base()
		row.cells = append(row.cells, cell)
	}
	p.rows = append(p.rows, row)
	return p.draw()
}

// localChart has local calls beside those to a peer, of the same method.
func (b *bench) localChart() string {
	p := b.newPanels("A call of 64 B, here and to a peer", "One caller, medians.", true, "time a call", ofTime, "")
	var row panelRow
	var cell panel
	add := func(label, name string, c *cellResult) {
		r, _ := c.of(name)
		row.labels, row.class = append(row.labels, label), append(row.class, classOf(name))
		cell.values, cell.texts = append(cell.values, []float64{r.ns}), append(cell.texts, timeText(r.ns))
	}
	here := b.find(localCalls, byBytes)
	add("the method itself", itself, here)
	add("local, Call", nameCall, here)
	add("local, cancellable", nameCancellable, here)
	add("local, typed", nameTyped, here)
	add("local, typed, cancellable", nameTypedToo, here)
	for _, over := range []struct{ name, group string }{{"TCP", unaryTCP}, {"QUIC", unaryQUIC}} {
		c := b.find(over.group, "64 B, "+callersText(1))
		add("peer, session over "+over.name, nameSession, c)
		add("peer, wire over "+over.name, nameWire, c)
	}
	row.cells = []panel{cell}
	p.rows = []panelRow{row}
	return p.draw()
}

func (b *bench) fanOutChart() string {
	l := lines{title: fanOutTCP, note: "64 B to each; logarithmic scales. Others: a goroutine a call.", foot: b.machine, across: "destinations"}
	part := linesPart{name: "time until all have replied", unit: ofTime}
	for _, name := range []string{multiSession, multiWire, nameGRPC + eachGoroutine, nameDRPC + eachGoroutine, nameNetRPC + eachGoroutine} {
		s := series{name: name, class: classOf(name)}
		if strings.HasSuffix(name, eachGoroutine) {
			s.name, _, _ = strings.Cut(name, ",")
		}
		for i := range b.cells[fanOutTCP] {
			r, _ := b.cells[fanOutTCP][i].of(name)
			s.y = append(s.y, r.ns)
		}
		part.series = append(part.series, s)
	}
	for _, n := range b.fanOut {
		l.x = append(l.x, float64(n))
	}
	l.parts = []linesPart{part}
	return l.draw()
}

func (b *bench) growthChart() string {
	l := lines{title: "MultiCall from few to many destinations", foot: b.machine, across: "destinations",
		note: "64 B to every destination, hosts of one process; memory of both ends while the methods run. Logarithmic scales."}
	times := linesPart{name: "time of a MultiCall", unit: ofTime}
	memory := linesPart{name: "heap and stacks, a destination", unit: ofSize}
	for _, n := range b.growth {
		l.x = append(l.x, float64(n))
	}
	for _, over := range []string{"session", "wire"} {
		t, m := series{name: "MultiCall, " + over}, series{name: "MultiCall, " + over}
		t.class, m.class = classOf(t.name), classOf(m.name)
		for _, g := range b.growths {
			if g.transport == over {
				t.y = append(t.y, g.ns)
				m.y = append(m.y, max((g.during.heap+g.during.stacks)/float64(g.destinations), 1))
			}
		}
		times.series, memory.series = append(times.series, t), append(memory.series, m)
	}
	l.parts = []linesPart{times, memory}
	return l.draw()
}

func (b *bench) waitingChart() string {
	p := b.newPanels(fmt.Sprintf("Memory of %d waiting calls", b.waiting),
		"64 B, in the client: heap, and paler the stacks, mostly the callers' own.", false, "memory a call", ofSize, "")
	p.bars = true
	var row panelRow
	var cell panel
	for _, w := range b.waits {
		label := w.system
		if w.how == byGo {
			label += ", Go"
		}
		row.labels, row.class = append(row.labels, label), append(row.class, classOf(w.system))
		cell.values, cell.texts = append(cell.values, parts(w.usage)), append(cell.texts, sizeText(w.heap+w.stacks))
	}
	row.cells = []panel{cell}
	p.rows = []panelRow{row}
	return p.draw()
}

func (b *bench) idleChart() string {
	p := b.newPanels("What is held for a peer between calls", "Memory a peer after one call, heap and paler the stacks; and after the comma the goroutines.", false, "memory a peer", ofSize, "client", "server")
	p.bars, p.shared = true, true
	var row panelRow
	var client, server panel
	for _, r := range b.idles {
		row.labels, row.class = append(row.labels, r.system), append(row.class, classOf(r.system))
		for _, side := range []struct {
			u usage
			p *panel
		}{{r.client, &client}, {r.server, &server}} {
			side.p.values = append(side.p.values, parts(side.u))
			side.p.texts = append(side.p.texts, fmt.Sprintf("%s, %.0f", sizeText(side.u.heap+side.u.stacks), side.u.goroutines))
		}
	}
	row.cells = []panel{client, server}
	p.rows = []panelRow{row}
	return p.draw()
}

// parts are heap and stacks. What is less than nothing, as it may be by chance,
// the other part has less, so that the bar is as long as its text says.
func parts(u usage) []float64 {
	heap, stacks := u.heap+min(u.stacks, 0), u.stacks+min(u.heap, 0)
	return []float64{max(heap, 0), max(stacks, 0)}
}

func (b *bench) latencyChart() string {
	p := b.newPanels("Calls of 64 B beside replies of 4 MiB",
		"99th percentile of one client's calls: hollow when alone, filled beside large replies; dashed: 5 ms.", true, "time a call", ofTime, "TCP", "QUIC")
	p.shared = true
	var row panelRow
	for i, name := range []string{latencyTCP, latencyQUIC} {
		cell := panel{base: 5e6}
		for _, r := range b.latencies[name] {
			if i == 0 {
				row.labels, row.class = append(row.labels, r.system), append(row.class, classOf(r.system))
			}
			cell.values = append(cell.values, []float64{float64(r.alone99), float64(r.beside99)})
			cell.texts = append(cell.texts, durationText(r.beside99))
		}
		row.cells = append(row.cells, cell)
	}
	p.rows = []panelRow{row}
	return p.draw()
}

// countText is a number in full.
func countText(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
