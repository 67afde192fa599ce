package main_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// BenchmarkCall compares a whole gorpc call with a program that connects and opens a
// stream, and no more. They take turns.
func BenchmarkCall(b *testing.B) {
	connects := build(b, "connects", ".", "./testdata/connects")
	addr := shop(b)
	b.ResetTimer()
	turns(b, "ms/call", "ms/connect",
		func() (float64, error) {
			return took(binary, "call", addr, "Shop.Order", `{"ID": 7}`)
		},
		func() (float64, error) { return took(connects, addr, string(shopProtocol)+"/session/2") })
}

func took(program string, args ...string) (float64, error) {
	begun := time.Now()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return float64(time.Since(begun)) / 1e6, err
}

// turns lets two contestants take turns, and reports the medians and how they compare.
func turns(b *testing.B, unit, other string, run ...func() (float64, error)) {
	all := make([][]float64, len(run))
	for b.Loop() {
		for _, i := range rand.Perm(len(run)) {
			v, err := run[i]()
			if err != nil {
				b.Fatal(err)
			}
			all[i] = append(all[i], v)
		}
	}
	var medians []float64
	for _, vs := range all {
		slices.Sort(vs)
		medians = append(medians, vs[len(vs)/2])
	}
	b.ReportMetric(0, "ns/op") // which is of both together
	b.ReportMetric(medians[0], unit)
	b.ReportMetric(medians[1], other)
	b.ReportMetric(medians[0]/medians[1], "times")
}

// build builds a program of this repository, in the folder of its module.
func build(b *testing.B, name, dir, path string) string {
	b.Helper()
	program := filepath.Join(b.TempDir(), name)
	cmd := exec.Command("go", "build", "-o", program, path)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %s", err, out)
	}
	return program
}

// Echo is the service that the project's benchmarks call.
type Echo struct{}

func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

// BenchmarkBench compares what gorpc bench measures with the figure of the project's
// benchmarks for the same calls. They take turns.
func BenchmarkBench(b *testing.B) {
	benchmarks := build(b, "bench", filepath.Join("..", "..", "bench"), ".")
	h, addr := newHost(b)
	s := rpc.NewServer(h, shopProtocol, rpc.WithDescriptions(true))
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Register(Echo{}); err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{64, 4 << 10} {
		for _, c := range []struct{ callers, cell string }{{"1", "1 caller"}, {"64", "64 callers"}} {
			name := fmt.Sprintf("%d B", size)
			if size >= 1<<10 {
				name = fmt.Sprintf("%d KiB", size>>10)
			}
			cell := "Unary calls of another process over TCP " + name + ", " + c.cell
			b.Run(cell, func(b *testing.B) {
				turns(b, "µs/call", "µs/bench",
					func() (float64, error) {
						return measuredByGorpc("--callers", c.callers, addr, "Echo.Bytes", `"text:`+strings.Repeat("x", size)+`"`)
					},
					func() (float64, error) { return measuredByBench(benchmarks, cell) })
			})
		}
	}
}

func measuredByGorpc(args ...string) (float64, error) {
	out, err := exec.Command(binary, append([]string{"bench", "-o", "json", "-d", "1s", "-w", "300ms"}, args...)...).Output()
	if err != nil {
		return 0, err
	}
	var m benched
	if err := json.Unmarshal(out, &m); err != nil {
		return 0, err
	}
	if m.Calls == 0 || len(m.Errors) > 0 {
		return 0, fmt.Errorf("%d calls, and errors %v", m.Calls, m.Errors)
	}
	return 1e6 / m.PerSecond, nil
}

// sessions is the row of a table of the benchmarks.
var sessions = regexp.MustCompile(`\| this library, session \| ([0-9.]+) (ns|µs|ms) \|`)

func measuredByBench(program, cell string) (float64, error) {
	out, err := exec.Command(program, "-run", "^"+cell+"$", "-of", "session", "-rounds", "1", "-time", "1s").Output()
	if err != nil {
		return 0, err
	}
	row := sessions.FindSubmatch(out)
	if row == nil {
		return 0, errors.New("no row of sessions: " + string(out))
	}
	d, err := time.ParseDuration(string(row[1]) + string(row[2]))
	return float64(d) / 1e3, err
}
