package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// packagesOfProgram is how many the synthetic program has: of each four, one has
// types, one serves, one calls, and one does neither.
const packagesOfProgram = 200

// BenchmarkProgram compares the command, and go vet with it, with go vet, on a
// program of 200 packages, all of which have changed since the last time. They take
// turns; medians are reported, in seconds, and the ratios of the medians:
//
//	go test -run '^$' -bench Program -benchtime 7x .
func BenchmarkProgram(b *testing.B) {
	dir := program(b)
	tool := filepath.Join(b.TempDir(), "gorpcvet")
	execute(b, ".", "go", "build", "-o", tool, ".")
	ways := [][]string{{"go", "vet", "./..."}, {tool, "./..."}, {"go", "vet", "-vettool=" + tool, "./..."}}
	times := make([][]float64, len(ways))
	round := os.Getpid() * 1000
	for b.Loop() {
		for i, command := range ways {
			round++
			write(b, filepath.Join(dir, "base", "base.go"), fmt.Sprintf("package base\n\nconst Round = %d\n", round))
			begin := time.Now()
			execute(b, dir, command...)
			times[i] = append(times[i], time.Since(begin).Seconds())
		}
	}
	var medians []float64
	for i, name := range []string{"govet", "gorpcvet", "vettool"} {
		slices.Sort(times[i])
		medians = append(medians, times[i][len(times[i])/2])
		b.ReportMetric(medians[i], name+"-s")
	}
	b.ReportMetric(medians[1]/medians[0], "gorpcvet/govet")
	b.ReportMetric(medians[2]/medians[0], "vettool/govet")
}

func program(b *testing.B) (dir string) {
	dir = b.TempDir()
	root, err := filepath.Abs("../..")
	if err != nil {
		b.Fatal(err)
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(root, "simtest", name))
		if err != nil {
			b.Fatal(err)
		}
		write(b, filepath.Join(dir, name), string(text))
	}
	execute(b, dir, "go", "mod", "edit", "-module", "synthetic", "-replace", "github.com/libp2p/go-libp2p-gorpc="+root)
	write(b, filepath.Join(dir, "base", "base.go"), "package base\n\nconst Round = 0\n")
	for i := range packagesOfProgram / 4 {
		for kind, text := range map[string]string{"api": apiText, "serve": serveText, "call": callText, "plain": plainText} {
			name := fmt.Sprintf("%s%d", kind, i)
			write(b, filepath.Join(dir, name, name+".go"), fmt.Sprintf(text, i))
		}
	}
	return dir
}

func write(b *testing.B, name, text string) {
	b.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		b.Fatal(err)
	}
}

func execute(b *testing.B, dir string, command ...string) {
	b.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = dir
	if dir != "." {
		cmd.Env = append(os.Environ(), "GOWORK=off", "GOFLAGS=-mod=mod")
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v: %v\n%s", command, err, out)
	}
}

const (
	apiText = `package api%[1]d

import "synthetic/base"

type Item struct {
	Name  string
	Parts map[string][]int
}

func (i Item) Size() int { return base.Round + len(i.Parts) }
`
	serveText = `package serve%[1]d

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"

	"synthetic/api%[1]d"
)

type Items struct{ all map[string]api%[1]d.Item }

func (s *Items) Get(ctx context.Context, name string, item *api%[1]d.Item) error {
	*item = s.all[name]
	return nil
}

func (s *Items) List(ctx context.Context, names <-chan string, items chan<- api%[1]d.Item) error {
	for name := range names {
		items <- s.all[name]
	}
	return nil
}

func Serve(s *rpc.Server) error { return s.RegisterName("Items%[1]d", &Items{}) }
`
	callText = `package call%[1]d

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"

	"synthetic/api%[1]d"
)

func Get(ctx context.Context, c *rpc.Client, dest peer.ID, name string) (item api%[1]d.Item, err error) {
	err = c.CallContext(ctx, dest, "Items%[1]d", "Get", name, &item)
	return item, err
}

func List(ctx context.Context, c *rpc.Client, dest peer.ID, names ...string) (items []api%[1]d.Item, err error) {
	args, replies := make(chan string), make(chan api%[1]d.Item)
	go func() {
		defer close(args)
		for _, name := range names {
			select {
			case args <- name:
			case <-ctx.Done():
				return
			}
		}
	}()
	result := make(chan error, 1)
	go func() { result <- c.Stream(ctx, dest, "Items%[1]d", "List", args, replies) }()
	for item := range replies {
		items = append(items, item)
	}
	return items, <-result
}
`
	plainText = `package plain%[1]d

import (
	"fmt"
	"strings"

	"synthetic/api%[1]d"
)

func Words(items []api%[1]d.Item) string {
	var b strings.Builder
	for _, item := range items {
		fmt.Fprintf(&b, "%%s has %%d parts\n", item.Name, item.Size())
	}
	return b.String()
}
`
)
