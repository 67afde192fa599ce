package main

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

var update = flag.Bool("update", false, "write the golden files anew")

// workspace returns a GOPATH with the stand-in of the library and with the packages
// of a folder of testdata, and a run in it.
func workspace(t *testing.T, folder string, patterns ...string) (string, *run, *bytes.Buffer) {
	t.Helper()
	dir := t.TempDir()
	src := filepath.Join("vet", "testdata", "src")
	copied := map[string]string{filepath.Join(src, "github.com"): filepath.Join("src", "github.com"), folder: "src"}
	if folder == src {
		delete(copied, filepath.Join(src, "github.com"))
	}
	for from, to := range copied {
		if err := os.CopyFS(filepath.Join(dir, to), os.DirFS(from)); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	env := append(os.Environ(), "GOPATH="+dir, "GO111MODULE=off", "GOWORK=off", "GOFLAGS=")
	return dir, &run{patterns: patterns, dir: filepath.Join(dir, "src"), env: env, tests: true, out: &out}, &out
}

// TestMigration makes typed calls of calls by name: each method is declared once,
// what is not mechanical is left, and the result compiles.
func TestMigration(t *testing.T) {
	dir, r, out := workspace(t, filepath.Join("testdata", "migrate"), "app")
	r.options.Typed, r.fix = true, true
	if code := r.main(); code != exitFound {
		t.Errorf("ends with %d: %s", code, out)
	}
	if left := strings.Count(out.String(), "typed: "); left != 1 || !strings.Contains(out.String(), "by hand") {
		t.Errorf("left, where only the call of Go should be:\n%s", out)
	}
	for _, name := range []string{"app.go", "ctx.go"} {
		got, err := os.ReadFile(filepath.Join(dir, "src", "app", name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", "migrate", "app", name+".golden")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestFixesAreAppliedAndTheRestIsTold(t *testing.T) {
	_, r, out := workspace(t, filepath.Join("vet", "testdata", "src"), "fixes")
	r.fix = true
	if code := r.main(); code != exitClean || out.Len() > 0 {
		t.Errorf("ends with %d: %s", code, out)
	}
	_, r, out = workspace(t, filepath.Join("vet", "testdata", "src"), "whole/...")
	r.fix = true
	if code := r.main(); code != exitFound || !strings.Contains(out.String(), "argument: Pins.Get: the argument is a int here") {
		t.Errorf("ends with %d: %s", code, out)
	}
}

func TestExitCodes(t *testing.T) {
	for pattern, want := range map[string]int{"whole/...": exitFound, "outside": exitClean, "nowhere": exitFailed} {
		_, r, out := workspace(t, filepath.Join("vet", "testdata", "src"), pattern)
		if code := r.main(); code != want {
			t.Errorf("%s: ends with %d, not %d: %s", pattern, code, want, out)
		}
	}
}

// TestVendored finds as much where a program has the library in a folder vendor.
func TestVendored(t *testing.T) {
	packages := []string{"receivers", "rules", "messages", "encoded", "lasting", "travelling", "hidden", "generic"}
	_, r, out := workspace(t, filepath.Join("vet", "testdata", "src"), packages...)
	if code := r.main(); code != exitFound {
		t.Fatalf("ends with %d: %s", code, out)
	}
	want := strings.ReplaceAll(out.String(), r.dir+string(filepath.Separator), "")
	_, r, out = workspace(t, filepath.Join("vet", "testdata", "src"))
	app := filepath.Join(r.dir, "app")
	if err := os.MkdirAll(filepath.Join(app, "vendor"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(packages, "github.com") {
		to := filepath.Join(app, name)
		if name == "github.com" {
			to = filepath.Join(app, "vendor", name)
		} else {
			r.patterns = append(r.patterns, "app/"+name)
		}
		if err := os.Rename(filepath.Join(r.dir, name), to); err != nil {
			t.Fatal(err)
		}
	}
	_ = r.main()
	if got := strings.ReplaceAll(out.String(), app+string(filepath.Separator), ""); got != want {
		t.Errorf("with a folder vendor:\n%s\nwithout one:\n%s", got, want)
	}
}

// TestWhatImportedPackagesRegister is known although nobody asked for them, and nothing is
// told of them.
func TestWhatImportedPackagesRegister(t *testing.T) {
	told := make(map[string]string)
	for _, pattern := range []string{"imports/...", "imports/client"} {
		_, r, out := workspace(t, filepath.Join("vet", "testdata", "src"), pattern)
		if code := r.main(); code != exitFound {
			t.Errorf("%s: ends with %d", pattern, code)
		}
		told[pattern] = strings.ReplaceAll(out.String(), r.dir, "")
	}
	if got := told["imports/client"]; got != told["imports/..."] || !strings.Contains(got, "service Pins has no method Gett") {
		t.Errorf("with the client alone:\n%s\nwith both:\n%s", got, told["imports/..."])
	}
}

// TestAsVettool runs the program as go vet does.
func TestAsVettool(t *testing.T) {
	tool := filepath.Join(t.TempDir(), "gorpcvet")
	if out, err := exec.Command("go", "build", "-o", tool, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, r, _ := workspace(t, filepath.Join("vet", "testdata", "src"))
	cmd := exec.Command("go", "vet", "-vettool="+tool, "imports/...")
	cmd.Dir, cmd.Env = r.dir, r.env
	out, err := cmd.CombinedOutput()
	if err == nil || strings.Count(string(out), "client.go:") != 3 || !strings.Contains(string(out), "service Pins has no method Gett") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestOwnModules finds nothing in what the project itself is built of, outside its
// tests, which use the library wrongly on purpose.
func TestOwnModules(t *testing.T) {
	modules, err := filepath.Glob("../../*/go.mod")
	if err != nil {
		t.Fatal(err)
	}
	deeper, err := filepath.Glob("../../*/*/go.mod")
	if err != nil || len(modules) < 5 || len(deeper) < 4 {
		t.Fatalf("%v, %q, %q", err, modules, deeper)
	}
	for _, file := range append(append(modules, deeper...), "../../go.mod") {
		dir := filepath.Dir(file)
		var out bytes.Buffer
		r := &run{patterns: []string{"./..."}, dir: dir, out: &out, options: vet.Options{}}
		if code := r.main(); code != exitClean {
			t.Errorf("%s: ends with %d:\n%s", dir, code, &out)
		}
	}
}

// TestFixesOfGeneratedFiles changes the file that was read, and not the one that its
// //line comments name.
func TestFixesOfGeneratedFiles(t *testing.T) {
	dir, r, out := workspace(t, filepath.Join("vet", "testdata", "src"), "made")
	made := filepath.Join(dir, "src", "made")
	const text = `package made

import rpc "github.com/libp2p/go-libp2p-gorpc"

//line grammar.y:1
func call(c *rpc.Client) {
	var n int
	_ = c.Go("", "Pins", "Get", "a", &n, make(chan *rpc.Call))
}
`
	if err := os.Mkdir(made, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"made.go": text, "grammar.y": "grammar\n"} {
		if err := os.WriteFile(filepath.Join(made, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r.fix = true
	if code := r.main(); code != exitClean {
		t.Errorf("ends with %d: %s", code, out)
	}
	for name, want := range map[string]string{"made.go": strings.Replace(text, "Call))", "Call, 1))", 1), "grammar.y": "grammar\n"} {
		if got, err := os.ReadFile(filepath.Join(made, name)); err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}
