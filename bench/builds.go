package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build is a program that measures the cells of one commit's library, or of the
// working tree's.
type build struct {
	name string // of the commit
	path string
}

// workingTree is the name of what is no commit.
const workingTree = "working tree"

// builder makes builds in a directory of its own.
type builder struct {
	root string // of the working tree, whose cells all builds have
	temp string
}

// newBuilder finds the working tree that dir is in. What it makes is gone once
// temp is removed: nothing is written into the working tree, or the repository.
func newBuilder(ctx context.Context, dir, temp string) (*builder, error) {
	root, err := output(ctx, dir, nil, "git", "rev-parse", "--show-toplevel")
	return &builder{root: root, temp: temp}, err
}

// commit builds a commit's library with the working tree's cells. Tags choose
// among the cells' files.
func (b *builder) commit(ctx context.Context, revision, tags string) (build, error) {
	id, err := output(ctx, b.root, nil, "git", "rev-parse", "--verify", "--end-of-options", revision+"^{commit}")
	if err != nil {
		return build{}, err
	}
	checkout, err := os.MkdirTemp(b.temp, "checkout")
	if err != nil {
		return build{}, err
	}
	// an index of its own: that of the repository and its list of worktrees stay as they are
	index := []string{"GIT_INDEX_FILE=" + checkout + ".index"}
	if _, err := output(ctx, b.root, index, "git", "read-tree", id); err != nil {
		return build{}, err
	}
	if _, err := output(ctx, b.root, index, "git", "checkout-index", "--all", "--prefix="+checkout+"/"); err != nil {
		return build{}, err
	}
	bench := filepath.Join(checkout, "bench")
	if err := os.RemoveAll(bench); err != nil {
		return build{}, err
	}
	if err := os.CopyFS(filepath.Join(bench, "rig"), os.DirFS(filepath.Join(b.root, "bench", "rig"))); err != nil {
		return build{}, err
	}
	made, err := b.build(ctx, revision, checkout, tags)
	if err != nil {
		err = fmt.Errorf("%w\n(the working tree's cells are compiled with that commit's library: bench/rig/names.go says what to do about names that changed)", err)
	}
	return made, err
}

// tree builds the working tree as it is.
func (b *builder) tree(ctx context.Context) (build, error) {
	return b.build(ctx, workingTree, b.root, "")
}

// build compiles the cells in a checkout as a part of the library's module, so
// that it has the dependencies of that and no others. The benchmarks' module, which
// the cells are in, is hidden from the compiler.
func (b *builder) build(ctx context.Context, name, checkout, tags string) (build, error) {
	dir, err := os.MkdirTemp(b.temp, "build")
	if err != nil {
		return build{}, err
	}
	overlay, path := filepath.Join(dir, "overlay.json"), filepath.Join(dir, "rig.exe")
	hidden, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(checkout, "bench", "go.mod"): ""}})
	if err != nil {
		return build{}, err
	}
	if err := os.WriteFile(overlay, hidden, 0o600); err != nil {
		return build{}, err
	}
	_, err = output(ctx, checkout, []string{"GOWORK=off"},
		"go", "build", "-overlay", overlay, "-buildvcs=false", "-tags", tags, "-o", path, "./bench/rig/run")
	if err != nil {
		return build{}, fmt.Errorf("%s: %w", name, err)
	}
	return build{name, path}, nil
}

// output runs a command, and returns what it prints, or what it complains of.
func output(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s: %w\n%s", cmd, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return strings.TrimSpace(string(out)), err
}
