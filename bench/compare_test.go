package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// copyInto copies the files of the project that want says.
func copyInto(t *testing.T, dir string, want func(path string) bool) {
	t.Helper()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if strings.HasPrefix(d.Name(), ".") && d.Name() != ".." {
				return fs.SkipDir
			}
			return nil
		}
		if !want(filepath.ToSlash(name)) {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		writeFile(t, dir, name, string(data))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, dir, name, content string) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func git(t *testing.T, dir string, args ...string) string {
	t.Helper()
	out, err := output(t.Context(), dir, nil, "git", append([]string{"-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// commitAll makes a repository of a directory, or adds a commit to it.
func commitAll(t *testing.T, dir string) {
	t.Helper()
	git(t, dir, "init", "-q")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "a commit")
}

// compareIn compares for so short that times mean nothing, and sees that
// nothing is left behind.
func compareIn(t *testing.T, c comparison, cells string) (string, error) {
	t.Helper()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	t.Setenv("TMP", temp)
	before := git(t, c.dir, "status", "--porcelain")
	var out strings.Builder
	b := &bench{config: config{rounds: 3, time: time.Millisecond, only: regexp.MustCompile(cells)}, out: &out}
	err := b.compare(t.Context(), c)
	if left, globErr := filepath.Glob(filepath.Join(temp, "rpc-compare*")); globErr != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, globErr)
	}
	if after := git(t, c.dir, "status", "--porcelain"); after != before {
		t.Errorf("the working tree has changed:\n%s\nbefore:\n%s", after, before)
	}
	if list := git(t, c.dir, "worktree", "list", "--porcelain"); strings.Count(list, "worktree ") != 1 {
		t.Errorf("working trees are left:\n%s", list)
	}
	return out.String(), err
}

// The library with itself, in a repository of its own: one that this is in may
// be shallow, or not be there.
func TestTheLibraryIsComparedWithItself(t *testing.T) {
	dir := t.TempDir()
	copyInto(t, dir, func(path string) bool {
		return !strings.HasSuffix(path, "_test.go") && !strings.HasPrefix(path, "examples/") &&
			(strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "go.mod") || strings.HasSuffix(path, "go.sum"))
	})
	commitAll(t, dir)
	out, err := compareIn(t, comparison{base: "HEAD", dir: dir}, "^local, 64 B, typed$")
	if err != nil {
		t.Fatal(err)
	}
	if row := findRow(t, out, "local, 64 B, typed"); row[8] != "1.0" || row[9] != "1.0" {
		t.Errorf("allocations of a typed local call: %q", row)
	}
}

// A library of one function, with the real cells' frame: the tests below compile
// nothing else.
const smallGroups = `package rig

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

func groups() []group {
	open := func(context.Context) ([]cell, func(), error) {
		run := func(context.Context) error { return rpc.Work() }
		return []cell{{name: "work", run: Repeat(run)}, {name: "rest", run: Repeat(run)}}, func() {}, nil
	}
	return []group{{names: []string{"work", "rest"}, open: open}}
}
`

// smallLibrary does so much work, with so many allocations.
const smallLibrary = `package rpc

var sink []*[64]byte

func Work() error {
	sink = sink[:0]
	for range ALLOCATIONS {
		sink = append(sink, new([64]byte))
	}
	return nil
}
`

func small(t *testing.T, library string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	copyInto(t, dir, func(path string) bool {
		return strings.HasPrefix(path, "bench/rig/") && strings.Contains("bench/rig/cells.go bench/rig/serve.go bench/rig/measure.go bench/rig/run/main.go", path)
	})
	writeFile(t, dir, "go.mod", "module github.com/libp2p/go-libp2p-gorpc\n\ngo 1.26.0\n")
	writeFile(t, dir, "bench/go.mod", "module github.com/libp2p/go-libp2p-gorpc/bench\n")
	writeFile(t, dir, "bench/rig/groups.go", smallGroups)
	writeFile(t, dir, "library.go", library)
	commitAll(t, dir)
	return dir
}

func allocating(n string) string { return strings.ReplaceAll(smallLibrary, "ALLOCATIONS", n) }

// What a row has in its columns.
func findRow(t *testing.T, out, cell string) []string {
	t.Helper()
	for line := range strings.Lines(out) {
		if fields := strings.Split(strings.Trim(line, "|\n "), " | "); fields[0] == cell {
			return fields
		}
	}
	t.Fatalf("no row %q in\n%s", cell, out)
	return nil
}

func TestTheSlowerBuildIsFound(t *testing.T) {
	dir := small(t, allocating("10"))
	writeFile(t, dir, "library.go", allocating("1000"))
	out, err := compareIn(t, comparison{base: "HEAD", noise: true, dir: dir}, "work")
	if err != nil {
		t.Fatal(err)
	}
	row := findRow(t, out, "work")
	if len(row) != 12 || row[8] != "10.0" || row[9] != "1000.0" {
		t.Errorf("columns %q", row)
	}
	for _, want := range []string{
		"base: HEAD; new: working tree; 1 cells", "Geometric mean over 1 cells", "\nNoise: base again",
		"Those over 1.05 again, 41 rounds", "Still over 1.05: work.", "\nIt took ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	git(t, dir, "commit", "-q", "-a", "-m", "slower")
	out, err = compareIn(t, comparison{base: "HEAD", to: "HEAD~1", dir: dir}, "work")
	if err != nil {
		t.Fatal(err)
	}
	if row := findRow(t, out, "work"); len(row) != 10 || row[8] != "1000.0" || row[9] != "10.0" || strings.Contains(out, "again") {
		t.Errorf("the faster one is suspected, or has the wrong columns:\n%s", out)
	}
}

// A base whose library has another name for what a cell calls.
func TestNamesThatChangedHaveAFileOfTheirOwn(t *testing.T) {
	dir := small(t, strings.ReplaceAll(allocating("10"), "Work", "Labour"))
	writeFile(t, dir, "library.go", allocating("10"))
	_, err := compareIn(t, comparison{base: "HEAD", dir: dir}, "work")
	if err == nil || !strings.Contains(err.Error(), "undefined: rpc.Work") || !strings.Contains(err.Error(), "names.go") {
		t.Errorf("%v", err)
	}
	writeFile(t, dir, "bench/rig/groups.go", "//go:build !before\n\n"+smallGroups)
	writeFile(t, dir, "bench/rig/groups_before.go", "//go:build before\n\n"+strings.ReplaceAll(smallGroups, "Work", "Labour"))
	if _, err := compareIn(t, comparison{base: "HEAD", baseTags: "before", dir: dir}, "work"); err != nil {
		t.Error(err)
	}
}

func TestAComparisonThatCannotBeIsExplained(t *testing.T) {
	dir := small(t, allocating("10"))
	for want, c := range map[string]comparison{
		"no-such-commit": {base: "no-such-commit", dir: dir},
		"no-such-other":  {base: "HEAD", to: "no-such-other", dir: dir},
	} {
		if _, err := compareIn(t, c, ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := compareIn(t, comparison{base: "HEAD", dir: dir}, "no such cell"); err == nil || !strings.Contains(err.Error(), "-run") {
		t.Errorf("no cell: %v", err)
	}
	writeFile(t, dir, "library.go", "package rpc\n\nimport `os`\n\nfunc Work() error { os.Exit(3); return nil }\n")
	if _, err := compareIn(t, comparison{base: "HEAD", dir: dir}, "work"); err == nil || !strings.Contains(err.Error(), workingTree+": work: the process ended: exit status 3") {
		t.Errorf("a build that ends: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&bench{}).compare(ctx, comparison{base: "HEAD", dir: dir}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func turnsOf(ns ...float64) turns {
	var t turns
	for _, x := range ns {
		t = append(t, rig.Result{NS: x, Allocs: 2 * x})
	}
	return t
}

func TestRatios(t *testing.T) {
	t.Parallel()
	near := func(got, want float64) bool { return math.Abs(got-want) < 1e-9 }
	// The machine is slower from round to round: within a round the other takes a
	// tenth longer, but for one outlier.
	base, other := turnsOf(100, 200, 300, 400, 500), turnsOf(110, 220, 3000, 440, 550)
	v := compareTurns(base, other)
	if !near(v.medians, 440.0/300) || !near(v.paired, 1.1) || v.p < 0.1 {
		t.Errorf("%+v", v)
	}
	if base[0].NS != 100 || other[2].NS != 3000 {
		t.Error("the turns are in another order than they were had")
	}
	// A difference that each turn shows, and none.
	if v := compareTurns(turnsOf(10, 11, 12, 13, 14, 15), turnsOf(20, 21, 22, 23, 24, 25)); v.p > 0.01 {
		t.Errorf("%+v", v)
	}
	if v := compareTurns(turnsOf(7, 7, 7), turnsOf(7, 7, 7)); !near(v.medians, 1) || !near(v.paired, 1) || v.p < 0.9 {
		t.Errorf("%+v", v)
	}
	if got := span(other.sample(nsOfTurn)); got != "110 ns to 3.00 µs" {
		t.Error(got)
	}
	if got := center(turnsOf(1, 2, 3, 4).sample(allocsOfTurn)); !near(got, 5) {
		t.Error(got)
	}
	if got := meanText([]float64{2, 0.5, 1, 1}); got != "1.000 (0.500 to 2.000)" {
		t.Error(got)
	}
	if got := suspects([]compared{{name: "a", versus: versus{medians: 1.05}}, {name: "b", versus: versus{medians: 1.06}}}); len(got) != 1 || got[0] != "b" {
		t.Error(got)
	}
}

// Each turn of a round is a different process's, with as many operations as the
// slowest does in the time of a turn, and the next round's order is the reverse.
func TestProcessesTakeTurns(t *testing.T) {
	t.Parallel()
	type asked struct{ side, n int }
	var log []asked // by one process at a time
	var sides []*process
	for side := range 3 {
		in, requests := io.Pipe()
		replies, out := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			from, to := json.NewDecoder(in), json.NewEncoder(out)
			for {
				var q rig.Request
				if from.Decode(&q) != nil {
					return
				}
				log = append(log, asked{side, q.N})
				_ = to.Encode(rig.Reply{N: 30 - 10*side, Result: rig.Result{NS: float64(side)}})
			}
		}()
		defer func() {
			_ = requests.Close()
			<-done
		}()
		sides = append(sides, &process{requests: json.NewEncoder(requests), replies: json.NewDecoder(replies)})
	}
	for round := range 3 {
		results, err := takeTurns(sides, round, "a cell", time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		for side, r := range results {
			if r.NS != float64(side) {
				t.Errorf("side %d: %+v", side, r)
			}
		}
	}
	forth := []asked{{0, 0}, {1, 0}, {2, 0}, {0, 10}, {1, 10}, {2, 10}}
	back := []asked{{2, 0}, {1, 0}, {0, 0}, {2, 10}, {1, 10}, {0, 10}}
	if want := slices.Concat(forth, back, forth); !slices.Equal(log, want) {
		t.Errorf("%v, not %v", log, want)
	}
}
