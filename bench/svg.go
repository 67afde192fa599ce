package main

import (
	"encoding/xml"
	"fmt"
	"iter"
	"math"
	"strings"
)

// letterWidth is what a letter takes on average, bold and in a wide font.
const letterWidth = 7.6

// canvas is a picture as it is drawn. Colours are classes of its style, which
// has them for light and for dark surroundings.
type canvas struct {
	b strings.Builder
}

const svgStyle = `
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.head { font-weight: 600 }
.note, .tick { fill: #59636e }
.tick { font-size: 12px }
.ground { fill: #ffffff }
.grid { stroke: #e4e7eb }
.axis { stroke: #8c959f }
.base { stroke: #8c959f; stroke-dasharray: 4 3 }
.ours { fill: #0969da; stroke: #0969da }
.wire { fill: #54aeff; stroke: #54aeff }
.other { fill: #bc4c00; stroke: #bc4c00 }
.floor { fill: #818b98; stroke: #818b98 }
.second { opacity: 0.45 }
.hollow { fill: #ffffff; stroke-width: 2 }
.line { fill: none; stroke-width: 2 }
text.ours, text.wire, text.other, text.floor { stroke: #ffffff; stroke-width: 3; paint-order: stroke }
text.ours { font-weight: 600 }
text.wire { fill: #0a69b8 }
text.floor { fill: #59636e }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.note, .tick { fill: #9198a1 }
.ground { fill: #0d1117 }
.grid { stroke: #262c36 }
.axis, .base { stroke: #656c76 }
.ours { fill: #4493f8; stroke: #4493f8 }
.wire { fill: #a5d6ff; stroke: #a5d6ff }
.other { fill: #f0883e; stroke: #f0883e }
.hollow { fill: #0d1117 }
.line { fill: none }
text.ours, text.wire, text.other, text.floor { stroke: #0d1117 }
text.wire { fill: #a5d6ff }
text.floor { fill: #9198a1 }
}
`

// newCanvas begins a picture with its title, a line below that says what is
// seen, and one at the bottom that says of what.
func newCanvas(w, h float64, title, note, foot string) *canvas {
	c := new(canvas)
	fmt.Fprintf(&c.b, `<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" role="img">`, w, h, w, h)
	fmt.Fprintf(&c.b, "\n<title>%s</title>\n<style>%s</style>\n", escape(title), svgStyle)
	fmt.Fprintf(&c.b, `<rect class="ground" width="%.0f" height="%.0f" rx="6"/>`+"\n", w, h)
	c.text(chartMargin, 30, "start", "title", title)
	c.text(chartMargin, 50, "start", "note", note)
	c.text(chartMargin, h-12, "start", "tick", foot)
	return c
}

func (c *canvas) String() string { return c.b.String() + "</svg>\n" }

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s))
	return b.String()
}

func (c *canvas) text(x, y float64, anchor, class, s string) {
	fmt.Fprintf(&c.b, `<text x="%.1f" y="%.1f" text-anchor="%s" class="%s">%s</text>`+"\n", x, y, anchor, class, escape(s))
}

func (c *canvas) line(x1, y1, x2, y2 float64, class string) {
	fmt.Fprintf(&c.b, `<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>`+"\n", x1, y1, x2, y2, class)
}

func (c *canvas) dot(x, y float64, class string) {
	fmt.Fprintf(&c.b, `<circle cx="%.1f" cy="%.1f" r="4.5" class="%s"/>`+"\n", x, y, class)
}

func (c *canvas) rect(x, y, w, h float64, class string) {
	fmt.Fprintf(&c.b, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" class="%s"/>`+"\n", x, y, w, h, class)
}

func (c *canvas) path(xs, ys []float64, class string) {
	c.b.WriteString(`<polyline points="`)
	for i := range xs {
		fmt.Fprintf(&c.b, "%.1f,%.1f ", xs[i], ys[i])
	}
	fmt.Fprintf(&c.b, `" class="%s line"/>`+"\n", class)
}

// scale maps values to places, linearly from nothing or by their logarithm. It
// begins and ends at a mark.
type scale struct {
	log      bool
	marks    []float64
	from, to float64 // places
}

// newScale spans what it is given, with no more marks than most if they are 4 or
// more. The marks are round numbers: of bytes those of the binary units.
func newScale(log, bytes bool, most int, values []float64) scale {
	low, top := math.Inf(1), 1e-9
	for _, v := range values {
		low, top = min(low, max(v, 1e-9)), max(top, v)
	}
	s := scale{log: log}
	for _, l := range ladders(bytes) {
		if log {
			s.marks = l.between(low, top)
		} else {
			s.marks = l.upTo(top, most)
		}
		if len(s.marks) <= most {
			break
		}
	}
	return s
}

// ladder has numbers that are round: the rungs times the powers of a base.
type ladder struct {
	base  float64
	rungs []float64
}

// ladders are the finest first.
func ladders(bytes bool) (all []ladder) {
	base := 10.0
	if bytes {
		base = 2
	} else {
		all = append(all, ladder{base, []float64{1, 2, 5}})
	}
	for range 6 {
		all = append(all, ladder{base, []float64{1}})
		base *= base
	}
	return all
}

// from yields the numbers that are not below v, and before them the one that is.
func (l ladder) from(v float64) iter.Seq[float64] {
	return func(yield func(float64) bool) {
		before := 0.0
		for k := math.Floor(math.Log(v)/math.Log(l.base)) - 1; ; k++ {
			for _, rung := range l.rungs {
				n := math.Pow(l.base, k) * rung
				if n >= v*(1-1e-9) && !yield(before) {
					return
				}
				before = n
			}
		}
	}
}

// between are the numbers from one that is not above low to one that is not
// below top.
func (l ladder) between(low, top float64) (marks []float64) {
	for n := range l.from(low * (1 + 1e-6)) {
		marks = append(marks, n)
		if n >= top*(1-1e-9) && len(marks) > 1 {
			break
		}
	}
	return marks
}

// upTo are the multiples of a number, from 0 to one that is not below top.
func (l ladder) upTo(top float64, most int) (marks []float64) {
	for step := range l.from(top / float64(most-1)) {
		if step < top/float64(most-1)*(1-1e-9) {
			continue
		}
		for n := 0.0; n == 0 || marks[len(marks)-1] < top*(1-1e-9); n++ {
			marks = append(marks, n*step)
		}
		break
	}
	return marks
}

func (s scale) at(v float64) float64 {
	low, top := s.marks[0], s.marks[len(s.marks)-1]
	if s.log {
		return s.from + (s.to-s.from)*(math.Log(max(v, low))-math.Log(low))/(math.Log(top)-math.Log(low))
	}
	return s.from + (s.to-s.from)*v/top
}
