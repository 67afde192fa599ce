package rpc_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestComponentsQuoteTheExample sees to it that the Go code in
// docs/components.md is that of examples/cluster. The first line of a sample
// names its file; "// ..." stands for lines that are left out.
func TestComponentsQuoteTheExample(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("examples/cluster"); errors.Is(err, fs.ErrNotExist) {
		return // a copy of this module alone: the example is another
	}
	doc, err := os.ReadFile("docs/components.md")
	if err != nil {
		t.Fatal(err)
	}
	samples := strings.Split(string(doc), "```go\n")[1:]
	if len(samples) < 10 {
		t.Fatalf("only %d samples were found", len(samples))
	}
	for _, sample := range samples {
		sample, _, _ = strings.Cut(sample, "```")
		first, code, _ := strings.Cut(sample, "\n")
		name, ok := strings.CutPrefix(first, "// ")
		if !ok || !strings.HasPrefix(name, "examples/cluster/") {
			t.Errorf("a sample begins with %q, which names no file", first)
			continue
		}
		file, err := os.ReadFile(filepath.FromSlash(name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range quotedParts(code) {
			if !strings.Contains("\n"+string(file), "\n"+part+"\n") {
				t.Errorf("%s does not have the lines\n%s", name, part)
			}
		}
	}
}

// quotedParts are the lines of a sample between those that say that something
// is left out.
func quotedParts(code string) (parts []string) {
	var part []string
	for _, line := range append(strings.Split(code, "\n"), "// ...") {
		if strings.TrimSpace(line) != "// ..." {
			part = append(part, line)
			continue
		}
		if text := strings.Trim(strings.Join(part, "\n"), "\n"); text != "" {
			parts = append(parts, text)
		}
		part = nil
	}
	return parts
}
