package main

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// The peers of another process are this program again, which is the test.
func TestMain(m *testing.M) {
	if isChild() {
		child()
	}
	goleak.VerifyTestMain(m)
}

// The figures of a quick run mean nothing; that all cells are there does, and
// that they come into the document and the charts.
func TestAllIsMeasuredWrittenAndDrawn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	doc := filepath.Join(dir, "benchmarks.md")
	if err := os.WriteFile(doc, []byte("before\n"+figuresBegin+"an earlier run's\n"+figuresEnd+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-quick", "-write", "-docs", dir}, &out); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"argument by pointer | CallContext, cancellable", "argument by value | Call", "64 B, as to a peer | Call", "argument by value | typed call, cancellable", "items of 64 B | this library, typed",
		"64 B, 1 caller | floor: pool of open streams", "256 KiB, 64 callers | this library, session",
		"4 KiB, 64 callers | net/rpc", "Unary calls over QUIC", "items of 64 KiB | this library, Stream",
		"items of 64 B | flushing each item, as v0.6", "to 10 | gRPC, a goroutine each", "10 | wire",
		"this library, session | Client.Go, a channel each", "DRPC, pool of streams | server",
		"local | here, a service a millisecond", "over TCP | nothing is registered",
		"Unary calls of another process over TCP", "64 B, 64 callers | gRPC, SDK", "otelrpc, no-op providers, 64 B, 1 caller", "counting, 64 B, 1 caller",
		"Latency beside large replies over QUIC", "raw bytes on open streams",
		"QUIC, 4 KiB, 64 callers | at most 1.5 times the coalesced floor", "registering while 64 callers call, over TCP",
	} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q in\n%s", row, &out)
		}
	}
	written, err := os.ReadFile(doc)
	if err != nil {
		t.Fatal(err)
	}
	if want := "before\n" + figuresBegin + "\n" + out.String() + "\n" + figuresEnd + "after\n"; string(written) != want {
		t.Errorf("the document is\n%s\nnot\n%s", written, want)
	}
	charts, err := filepath.Glob(filepath.Join(dir, "bench-*.svg"))
	if err != nil || len(charts) != 10 {
		t.Errorf("%d charts, %v", len(charts), err)
	}
	for _, chart := range charts {
		checkChart(t, chart)
	}
}

// checkChart reads a chart: it is XML, says what it is, and has all that it
// draws in the picture, the ends of its texts too.
func checkChart(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var texts, marks int
	var width float64
	var text xml.StartElement // that is being read
	d := xml.NewDecoder(strings.NewReader(string(data)))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
			return
		}
		if letters, ok := token.(xml.CharData); ok && text.Name.Local == "text" {
			from, to := textEnds(text, len([]rune(string(letters))))
			if from < 0 || to > width {
				t.Errorf("%s: %q is from %.0f to %.0f in a picture that is %.0f wide", path, letters, from, to, width)
			}
		}
		text = xml.StartElement{}
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch element.Name.Local {
		case "svg":
			width, _ = strconv.ParseFloat(attr(element, "width"), 64)
		case "text":
			texts++
			text = element.Copy()
		case "circle", "rect":
			marks++
		}
		for _, a := range element.Attr {
			if slices.Contains([]string{"x", "y", "cx", "cy", "x1", "x2", "y1", "y2", "width", "height"}, a.Name.Local) &&
				(strings.HasPrefix(a.Value, "-") || strings.ContainsAny(a.Value, "NI")) {
				t.Errorf("%s: %s of a %s is %s", path, a.Name.Local, element.Name.Local, a.Value)
			}
		}
	}
	if texts < 10 || marks < 4 {
		t.Errorf("%s: %d texts and %d marks", path, texts, marks)
	}
}

func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// textEnds is where a text begins and ends, as far as one can tell without its
// font.
func textEnds(e xml.StartElement, letters int) (from, to float64) {
	x, _ := strconv.ParseFloat(attr(e, "x"), 64)
	width := float64(letters) * letterWidth
	switch attr(e, "class") {
	case "title":
		width *= 17.0 / 13
	case "tick":
		width *= 12.0 / 13
	}
	switch attr(e, "text-anchor") {
	case "middle":
		x -= width / 2
	case "end":
		x -= width
	}
	return x, x + width
}

func TestBadFlagsAreExplained(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-run", "("},
		{"-draw", "-run", "TCP"}, // a part is no chart
		{"-write", "-quick"},     // would go into the project's docs
		{"-noise"}, {"-to", "HEAD"}, {"-compare", "HEAD", "-draw"}, {"-compare", "HEAD", "-of", "session"},
	} {
		if err := run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q is taken", args)
		}
	}
}

func TestADocumentWithoutMarkersStaysAsItIs(t *testing.T) {
	t.Parallel()
	doc := filepath.Join(t.TempDir(), "benchmarks.md")
	for _, content := range []string{"no place\n", figuresEnd + figuresBegin} {
		if err := os.WriteFile(doc, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := writeFigures(doc, []byte("figures")); err == nil {
			t.Error("no complaint")
		}
		if got, err := os.ReadFile(doc); err != nil || string(got) != content {
			t.Errorf("%q, %v", got, err)
		}
	}
}

// What decides whether a target is met.
func TestTargetsTellMetFromNotMet(t *testing.T) {
	t.Parallel()
	var all targets
	all.times("as aimed at", 1.25, "a floor", 125, 100)
	all.times("slower", 1.25, "a floor", 126, 100)
	if !all[0].met || all[1].met {
		t.Errorf("%+v", all)
	}
	for slow, met := range map[int]bool{3: true, 60: false} {
		b := &bench{registerings: []registeringResult{
			{"local", registerNot, 1000, 5, 5}, {"local", registerElsewhere, 1000, 40, 4}, {"local", registerHere, 1000, 50, slow},
		}}
		var all targets
		b.registeringTargets(&all)
		if len(all) != 1 || all[0].met != met {
			t.Errorf("%d in the median turn: %+v", slow, all)
		}
	}
}

func TestScalesSpanWhatIsDrawn(t *testing.T) {
	t.Parallel()
	for _, values := range [][]float64{{3, 4}, {1, 1}, {0.6, 2e6}, {999, 1001}, {1e3, 1e3 + 1}, {7e9, 1}, {1024, 65536}, {0, 5}} {
		for _, log := range []bool{false, true} {
			for _, bytes := range []bool{false, true} {
				s := newScale(log, bytes, mostMarks, values)
				s.from, s.to = 10, 110
				what := fmt.Sprintf("%v, logarithmic %v, of bytes %v", values, log, bytes)
				if len(s.marks) < 2 || len(s.marks) > mostMarks || !slices.IsSorted(s.marks) {
					t.Errorf("%s: marks at %v", what, s.marks)
				}
				if from, to := s.at(s.marks[0]), s.at(s.marks[len(s.marks)-1]); math.Abs(from-10)+math.Abs(to-110) > 1e-9 {
					t.Errorf("%s: marks from %v to %v", what, from, to)
				}
				for _, v := range append(s.marks, values...) {
					if at := s.at(v); !(at >= 9.99 && at <= 110.01) {
						t.Errorf("%s: %v is at %v", what, v, at)
					}
				}
			}
		}
	}
}

func TestMarksAreRound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		log    bool
		unit   unit
		values []float64
		want   string
	}{
		{false, ofSize, []float64{7615, 66462}, "0 B, 16 KiB, 32 KiB, 48 KiB, 64 KiB, 80 KiB"},
		{false, ofSize, []float64{5 << 20}, "0 B, 1 MiB, 2 MiB, 3 MiB, 4 MiB, 5 MiB"},
		{false, ofCount, []float64{2, 225}, "0, 50, 100, 150, 200, 250"},
		{true, ofSize, []float64{919, 35285}, "256 B, 1 KiB, 4 KiB, 16 KiB, 64 KiB"},
		{true, ofSize, []float64{1024, 4096}, "1 KiB, 2 KiB, 4 KiB"},
		{true, ofTime, []float64{201, 9460}, "200 ns, 500 ns, 1 µs, 2 µs, 5 µs, 10 µs"},
		{true, ofTime, []float64{1980, 2.31e6}, "1 µs, 10 µs, 100 µs, 1 ms, 10 ms"},
		{true, ofTime, []float64{100, 500}, "100 ns, 200 ns, 500 ns"},
	} {
		var marks []string
		for _, m := range newScale(c.log, c.unit.bytes, mostMarks, c.values).marks {
			marks = append(marks, c.unit.mark(m))
		}
		if got := strings.Join(marks, ", "); got != c.want {
			t.Errorf("%v: %s, want %s", c.values, got, c.want)
		}
	}
}

func TestMeasuredNumbersHaveThreeDigits(t *testing.T) {
	t.Parallel()
	for want, got := range map[string]string{
		"3.73 ns": timeText(3.729), "36.0 µs": timeText(36e3), "2.00 ms": timeText(2e6), "10.0 ms": timeText(9.999e6), "1.00 s": timeText(999.6e6),
		"163 µs": timeText(163.2e3), "0.00 ns": timeText(0), "0 B": sizeText(0), "919 B": sizeText(919.4), "7.44 KiB": sizeText(7615),
		"-3 B": sizeText(-3), "0.98 MiB": sizeText(1000 << 10), "1.00 MiB": sizeText(1 << 20),
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A bar is as long as the text beside it says.
func TestBarsAddUp(t *testing.T) {
	t.Parallel()
	for _, u := range []usage{{heap: 8270, stacks: -655}, {heap: -3, stacks: 2032}, {heap: 1, stacks: 2}} {
		if p := parts(u); p[0]+p[1] != u.heap+u.stacks || min(p[0], p[1]) < 0 {
			t.Errorf("%+v: %v", u, p)
		}
	}
}
