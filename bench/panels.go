package main

import (
	"math"
	"slices"
	"strings"
)

const (
	chartMargin = 20
	chartTop    = 74
	chartFoot   = 34
	rowHeight   = 22
	labelWidth  = 264
	gap         = 28
	headHeight  = 24 // above a row of panels
	tickHeight  = 34 // below one
	axisHeight  = 20 // below the last
	inset       = 12 // what is least on a logarithmic scale is not on the axis
	mostMarks   = 7  // that have room beside each other
)

// panels is a chart of small ones beside and below each other, whose rows have
// the same labels if they are beside each other.
type panels struct {
	title, note, foot string
	bars              bool // parts of a bar one after the other, and not dots
	log               bool
	shared            bool // one scale for all
	unit              unit
	axis              string // what the scale is of
	columns           []string
	rows              []panelRow
}

// panelRow is panels beside each other.
type panelRow struct {
	name   string
	labels []string // of the lines
	class  []string
	cells  []panel // one for each column
}

// panel has one or more values for each label.
type panel struct {
	values [][]float64
	texts  []string
	base   float64 // a line for comparison; none if 0
}

const panelWidth = 350

// draw draws the chart.
func (p *panels) draw() string {
	h := float64(chartTop + chartFoot + axisHeight)
	for _, r := range p.rows {
		h += p.height(r)
	}
	w := float64(2*chartMargin + labelWidth + len(p.columns)*(panelWidth+gap))
	c := newCanvas(w, h, p.title, p.note, p.foot)
	var all []float64
	room := 0.0
	for _, r := range p.rows {
		for _, cell := range r.cells {
			all = append(all, p.extent(cell)...)
			room = max(room, p.room(cell))
		}
	}
	y := float64(chartTop)
	for n, r := range p.rows {
		top := y
		if p.headed(r) {
			c.text(chartMargin, y+12, "start", "head", r.name)
			top += headHeight
		}
		for i, l := range r.labels {
			c.text(chartMargin+labelWidth-12, top+float64(i)*rowHeight+15, "end", r.class[i], l)
		}
		for k, cell := range r.cells {
			values := p.extent(cell)
			if p.shared {
				values = all
			}
			s := newScale(p.log, p.unit.bytes, mostMarks, values)
			left := chartMargin + labelWidth + float64(k)*(panelWidth+gap)
			s.from, s.to = left, left+panelWidth-room
			if p.log {
				s.from += inset
			}
			if p.headed(r) {
				c.text(left, y+12, "start", "head", p.columns[k])
			}
			p.panel(c, s, left, top, r, cell)
			if n == len(p.rows)-1 {
				c.text((s.from+s.to)/2, y+p.height(r)+4, "middle", "note", p.axis)
			}
		}
		y += p.height(r)
	}
	return c.String()
}

// headed reports whether there is something above the row's panels.
func (p *panels) headed(r panelRow) bool {
	return r.name != "" || slices.ContainsFunc(p.columns, func(s string) bool { return s != "" })
}

func (p *panels) height(r panelRow) float64 {
	h := float64(len(r.labels)*rowHeight + tickHeight)
	if p.headed(r) {
		h += headHeight
	}
	return h
}

// extent is what the scale has to span.
func (p *panels) extent(cell panel) []float64 {
	var all []float64
	for _, vs := range cell.values {
		if !p.bars {
			all = append(all, vs...)
			continue
		}
		sum := 0.0
		for _, v := range vs {
			sum += v
		}
		all = append(all, sum)
	}
	return all
}

// room is for the text beside the greatest value.
func (p *panels) room(cell panel) float64 {
	most := 0
	for _, t := range cell.texts {
		most = max(most, len([]rune(t)))
	}
	return float64(most)*letterWidth + 12
}

func (p *panels) panel(c *canvas, s scale, left, top float64, r panelRow, cell panel) {
	bottom := top + float64(len(r.labels)*rowHeight)
	for _, t := range s.marks {
		c.line(s.at(t), top, s.at(t), bottom, "grid")
		c.text(s.at(t), bottom+14, "middle", "tick", p.unit.mark(t))
	}
	c.line(left, top, left, bottom, "axis")
	if cell.base > 0 {
		c.line(s.at(cell.base), top, s.at(cell.base), bottom, "base")
	}
	for i, vs := range cell.values {
		y := top + (float64(i)+0.5)*rowHeight
		last := p.marks(c, s, y, r.class[i], vs)
		c.text(last+9, y+4, "start", r.class[i], cell.texts[i])
	}
}

// marks draws a line's values, and returns where they end.
func (p *panels) marks(c *canvas, s scale, y float64, class string, vs []float64) float64 {
	if p.bars {
		sum := 0.0
		for k, v := range vs {
			part := class
			if k > 0 {
				part += " second"
			}
			v = max(v, 0)
			c.rect(s.at(sum), y-7, s.at(sum+v)-s.at(sum), 14, part)
			sum += v
		}
		return s.at(sum)
	}
	last := 0.0
	for k, v := range vs {
		if k > 0 {
			c.line(s.at(vs[k-1]), y, s.at(v), y, class)
		}
		last = max(last, s.at(v))
	}
	for k, v := range vs {
		if k < len(vs)-1 {
			c.dot(s.at(v), y, class+" hollow")
		} else {
			c.dot(s.at(v), y, class)
		}
	}
	return last
}

// lines is a chart of values that grow, both by their logarithm.
type lines struct {
	title, note, foot string
	x                 []float64
	across            string // what x is
	parts             []linesPart
}

// linesPart is one of those beside each other.
type linesPart struct {
	name   string
	unit   unit
	series []series
}

type series struct {
	name, class string
	y           []float64
}

const (
	linesHeight = 300
	linesWidth  = 490
	namesWidth  = 180
	mostLines   = 11 // marks that have room below each other
)

func (l *lines) draw() string {
	w := float64(2*chartMargin + len(l.parts)*linesWidth + (len(l.parts)-1)*gap)
	h := float64(chartTop + headHeight + linesHeight + 42 + chartFoot)
	c := newCanvas(w, h, l.title, l.note, l.foot)
	for k, part := range l.parts {
		left := chartMargin + float64(k*(linesWidth+gap))
		c.text(left, chartTop+2, "start", "head", part.name)
		var all []float64
		for _, s := range part.series {
			all = append(all, s.y...)
		}
		x, y := scale{log: true, marks: l.x}, newScale(true, part.unit.bytes, mostLines, all)
		x.from, x.to = left+62+inset, left+linesWidth-namesWidth
		y.from, y.to = chartTop+headHeight+linesHeight, chartTop+headHeight
		l.part(c, x, y, part)
	}
	return c.String()
}

func (l *lines) part(c *canvas, x, y scale, part linesPart) {
	left := x.from - inset
	for _, t := range y.marks {
		c.line(left, y.at(t), x.to, y.at(t), "grid")
		c.text(left-8, y.at(t)+4, "end", "tick", part.unit.mark(t))
	}
	for _, v := range l.x {
		c.line(x.at(v), y.from, x.at(v), y.from+4, "axis")
		c.text(x.at(v), y.from+17, "middle", "tick", countText(v))
	}
	c.line(left, y.from, x.to, y.from, "axis")
	c.line(left, y.from, left, y.to, "axis")
	c.text((x.from+x.to)/2, y.from+36, "middle", "note", l.across)
	ends := make([]float64, len(part.series))
	for i, s := range part.series {
		xs, ys := make([]float64, len(l.x)), make([]float64, len(l.x))
		for k := range l.x {
			xs[k], ys[k] = x.at(l.x[k]), y.at(s.y[k])
		}
		c.path(xs, ys, s.class)
		for k := range xs {
			c.dot(xs[k], ys[k], s.class)
		}
		ends[i] = ys[len(ys)-1]
	}
	for i, at := range apart(ends, 16) {
		c.text(x.to+12, at+4, "start", part.series[i].class, part.series[i].name)
	}
}

// apart moves places that are too close to each other, each from those above.
func apart(places []float64, least float64) []float64 {
	out := append([]float64(nil), places...)
	done := make([]bool, len(out))
	last := math.Inf(-1)
	for range out {
		next := -1
		for i := range out {
			if !done[i] && (next < 0 || out[i] < out[next]) {
				next = i
			}
		}
		out[next] = max(out[next], last+least)
		last, done[next] = out[next], true
	}
	return out
}

// classOf is the style of a contestant.
func classOf(name string) string {
	switch {
	case strings.HasPrefix(name, "floor"), name == nameRawCall, name == rawTraffics, name == nameBare, name == itself:
		return "floor"
	case name == nameWire, name == multiWire:
		return "wire"
	case strings.HasPrefix(name, "gRPC"), strings.HasPrefix(name, "DRPC"), strings.HasPrefix(name, nameNetRPC), name == itemFlushing:
		return "other"
	}
	return "ours"
}
