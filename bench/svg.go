package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
)

// canvas is a picture as it is drawn. Colours are classes of its style, which
// has them for light and for dark surroundings.
type canvas struct {
	b strings.Builder
}

const svgStyle = `
text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
.title { font-size: 17px; font-weight: 600 }
.head { font-weight: 600 }
.note, .tick { fill: #59636e }
.tick { font-size: 11px }
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
.ground, .hollow { fill: #0d1117 }
.grid { stroke: #262c36 }
.axis, .base { stroke: #656c76 }
.ours { fill: #4493f8; stroke: #4493f8 }
.wire { fill: #a5d6ff; stroke: #a5d6ff }
.other { fill: #f0883e; stroke: #f0883e }
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

// scale maps values to places, linearly from nothing or by their logarithm.
type scale struct {
	log      bool
	low, top float64 // values
	from, to float64 // places
}

// newScale spans what it is given, to round values.
func newScale(log bool, values []float64) scale {
	s := scale{log: log, low: math.Inf(1)}
	for _, v := range values {
		s.low, s.top = min(s.low, v), max(s.top, v)
	}
	if log {
		s.low, s.top = below(s.low), -below(-s.top)
		if s.top < 2*s.low {
			s.top = 2 * s.low
		}
		return s
	}
	s.low = 0
	step := s.step()
	s.top = max(math.Ceil(s.top/step), 1) * step
	return s
}

// below is the greatest of 1, 2 and 5 times powers of ten that is not above v;
// for -v it is, negated, the least that is not below v.
func below(v float64) float64 {
	if v < 0 {
		for _, x := range ladder(-v) {
			if x >= -v {
				return -x
			}
		}
	}
	best := 0.0
	for _, x := range ladder(v) {
		if x <= v {
			best = x
		}
	}
	return best
}

// ladder has values around v.
func ladder(v float64) []float64 {
	p := math.Pow(10, math.Floor(math.Log10(max(v, 1e-9)))-1)
	return []float64{5 * p, 10 * p, 20 * p, 50 * p, 100 * p, 200 * p}
}

// step is between the marks of a linear scale, of which there are a few.
func (s scale) step() float64 {
	return -below(-max(s.top, 1e-9) / 5)
}

func (s scale) at(v float64) float64 {
	if s.log {
		return s.from + (s.to-s.from)*(math.Log(max(v, s.low))-math.Log(s.low))/(math.Log(s.top)-math.Log(s.low))
	}
	return s.from + (s.to-s.from)*v/s.top
}

// ticks are the values that have a mark.
func (s scale) ticks() []float64 {
	var all []float64
	if !s.log {
		step := s.step()
		for i := 0.0; i*step <= s.top*1.0001; i++ {
			all = append(all, i*step)
		}
		return all
	}
	every := []float64{1, 2, 5}
	if s.top/s.low > 200 {
		every = every[:1]
	}
	for p := math.Pow(10, math.Floor(math.Log10(s.low)+1e-9)); p <= s.top*1.0001; p *= 10 {
		for _, x := range every {
			if v := p * x; v >= s.low*0.9999 && v <= s.top*1.0001 {
				all = append(all, v)
			}
		}
	}
	return all
}
