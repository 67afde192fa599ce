package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
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

// BenchmarkBench compares what gorpc bench measures with the figure of the project's
// benchmarks for the same calls of the same peer. They take turns.
func BenchmarkBench(b *testing.B) {
	benchmarks := build(b, "bench", filepath.Join("..", "..", "bench"), ".")
	addr := peerOf(b, benchmarks)
	for _, size := range []string{"64 B", "4 KiB"} {
		argument := `"text:` + strings.Repeat("x", map[string]int{"64 B": 64, "4 KiB": 4 << 10}[size]) + `"`
		for _, callers := range []string{"1 caller", "64 callers"} {
			cell := "Unary calls of another process over TCP " + size + ", " + callers
			n, _, _ := strings.Cut(callers, " ")
			b.Run(size+", "+callers, func(b *testing.B) {
				turns(b, "µs/call", "µs/bench",
					func() (float64, error) {
						return measuredByGorpc("--protocol", "/bench/rpc", "--callers", n, addr, "Echo.Bytes", argument)
					},
					func() (float64, error) { return measuredByBench(benchmarks, cell) })
			})
		}
	}
}

// peerOf starts the peer that the benchmarks have in another process.
func peerOf(b *testing.B, benchmarks string) string {
	b.Helper()
	cmd := exec.Command(benchmarks)
	cmd.Env = append(os.Environ(), "RPC_BENCH_PEERS=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	var p peer.AddrInfo
	if err := json.NewDecoder(out).Decode(&p); err != nil {
		b.Fatal(err)
	}
	return p.Addrs[0].String() + "/p2p/" + p.ID.String()
}

func measuredByGorpc(args ...string) (float64, error) {
	out, err := exec.Command(binary, append([]string{"bench", "-o", "json", "-d", "1s"}, args...)...).Output()
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
