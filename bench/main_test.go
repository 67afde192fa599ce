package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The peers of another process are this program again, which is the test.
func TestMain(m *testing.M) {
	if isChild() {
		child()
	}
	os.Exit(m.Run())
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
// draws in the picture.
func checkChart(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var texts, marks int
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
		element, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		switch element.Name.Local {
		case "text":
			texts++
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

func TestBadFlagsAreExplained(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-run", "("},
		{"-draw", "-run", "TCP"}, // a part is no chart
		{"-write", "-quick"},     // would go into the project's docs
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
	for _, values := range [][]float64{{3, 4}, {1, 1}, {0.6, 2e6}, {999, 1001}, {1e3, 1e3 + 1}, {7e9, 1}} {
		for _, log := range []bool{false, true} {
			s := newScale(log, values)
			s.from, s.to = 10, 110
			ticks := s.ticks()
			if len(ticks) < 2 || len(ticks) > 14 {
				t.Errorf("%v, logarithmic %v: marks at %v", values, log, ticks)
			}
			for _, v := range append(ticks, values...) {
				if at := s.at(v); !(at >= 9.99 && at <= 110.01) {
					t.Errorf("%v, logarithmic %v: %v is at %v", values, log, v, at)
				}
			}
		}
	}
}
