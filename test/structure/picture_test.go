package structure_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "draw docs/architecture.svg anew")

// storeys are the packages of the picture, from the top. What a program imports
// stands in the first row.
var storeys = [][]string{
	{"rpctest", "policy", "health", "debug", "watch", "describe", ".", "fan", "stats", "codes", "state"},
	{"internal/carry", "internal/many", "internal/admit", "internal/record"},
	{"internal/carry/local", "internal/carry/wire", "internal/carry/session"},
	{"internal/stream"},
	{"internal/shape", "internal/call", "internal/flow", "internal/codec", "internal/direct", "internal/tally"},
	{"internal/wire", "internal/msgpack", "internal/account", "internal/mux", "internal/handlers", "internal/travels", "internal/yield"},
}

// The measures of the picture, in pixels.
const (
	boxWidth, boxHeight = 128, 46
	gapAcross, gapDown  = 26, 74
	margin              = 20
)

type box struct {
	x, y  int
	lines int // of source
	uses  []string
}

// TestPictureIsOfTheImports draws what the packages import of each other.
func TestPictureIsOfTheImports(t *testing.T) {
	drawn := draw(boxes(t))
	path := filepath.Join(root, "docs/architecture.svg")
	if *update {
		if err := os.WriteFile(path, []byte(drawn), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	had, err := os.ReadFile(path)
	if err != nil || withoutCounts(string(had)) != withoutCounts(drawn) {
		t.Errorf("docs/architecture.svg is not of today's packages (%v): run go test ./test/structure -update", err)
	}
}

// withoutCounts drops the numbers of lines, which change with every commit.
func withoutCounts(svg string) string {
	var kept []string
	for _, line := range strings.Split(svg, "\n") {
		if !strings.Contains(line, " lines</text>") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

func boxes(t *testing.T) map[string]*box {
	all := make(map[string]*box)
	widest := 0
	for _, row := range storeys {
		widest = max(widest, len(row))
	}
	for r, row := range storeys {
		free := (widest - len(row)) * (boxWidth + gapAcross) / 2
		for i, dir := range row {
			all[dir] = &box{x: margin + free + i*(boxWidth+gapAcross), y: margin + r*(boxHeight+gapDown)}
		}
	}
	for _, s := range sources(t) {
		b := all[s.dir()]
		if b == nil {
			continue
		}
		b.lines += s.lines()
		for _, spec := range s.tree.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			own, ok := strings.CutPrefix(path, module)
			if own = strings.TrimPrefix(own, "/"); own == "" {
				own = "."
			}
			if ok && all[own] != nil && !slices.Contains(b.uses, own) {
				b.uses = append(b.uses, own)
			}
		}
		slices.Sort(b.uses)
	}
	return all
}

func draw(all map[string]*box) string {
	width, height := 0, 0
	for _, b := range all {
		width, height = max(width, b.x+boxWidth+margin), max(height, b.y+boxHeight+margin)
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="13">`+"\n", width, height)
	fmt.Fprintln(&out, `<style>rect{fill:#f6f8fa;stroke:#57606a}.top{fill:#ddf4ff}.carry{fill:#fff8c5}line{stroke:#8c959f}text{fill:#1f2328}.n{fill:#57606a;font-size:11px}</style>`)
	fmt.Fprintln(&out, `<defs><marker id="a" markerWidth="7" markerHeight="7" refX="6" refY="3" orient="auto"><path d="M0,0 L6,3 L0,6 z" fill="#8c959f"/></marker></defs>`)
	fmt.Fprintf(&out, `<rect width="%d" height="%d" style="fill:#ffffff;stroke:none"/>`+"\n", width, height)
	dirs := slices.Sorted(maps.Keys(all))
	for _, dir := range dirs {
		for _, use := range all[dir].uses {
			fmt.Fprintln(&out, arrow(all[dir], all[use]))
		}
	}
	for _, dir := range dirs {
		b := all[dir]
		class, name := "", strings.TrimPrefix(dir, "internal/")
		switch {
		case dir == ".":
			name = "rpc"
			fallthrough
		case !strings.HasPrefix(dir, "internal/"):
			class = "top"
		case strings.HasPrefix(dir, "internal/carry"):
			class = "carry"
		}
		fmt.Fprintf(&out, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="6"/>`+"\n", class, b.x, b.y, boxWidth, boxHeight)
		fmt.Fprintf(&out, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", b.x+boxWidth/2, b.y+20, name)
		fmt.Fprintf(&out, `<text class="n" x="%d" y="%d" text-anchor="middle">%d lines</text>`+"\n", b.x+boxWidth/2, b.y+36, b.lines)
	}
	fmt.Fprintln(&out, "</svg>")
	return out.String()
}

// arrow goes from the lower edge of a box to the upper one of another, or between
// their sides where they stand in one row.
func arrow(from, to *box) string {
	x1, y1, x2, y2 := from.x+boxWidth/2, from.y+boxHeight, to.x+boxWidth/2, to.y
	if from.y == to.y {
		y1, y2 = from.y+boxHeight/2, to.y+boxHeight/2
		x1, x2 = from.x+boxWidth, to.x
		if to.x < from.x {
			x1, x2 = from.x, to.x+boxWidth
		}
	}
	return fmt.Sprintf(`<line x1="%d" y1="%d" x2="%d" y2="%d" marker-end="url(#a)"/>`, x1, y1, x2, y2)
}
