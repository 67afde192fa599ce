package main

import (
	"strings"
	"testing"
)

// The figures of a quick run mean nothing; that all cells are there does.
func TestAllCellsRun(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-quick"}, &out); err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		"argument by pointer | CallContext, cancellable", "argument by value | Call",
		"64 B, 1 caller | stream of raw bytes", "256 KiB, 64 callers | Call",
		"over QUIC", "items of 64 KiB | Stream", "items of 64 B | flushing each item",
		"local | here, a service a millisecond", "over TCP | nothing is registered",
	} {
		if !strings.Contains(out.String(), row) {
			t.Errorf("no row %q in\n%s", row, &out)
		}
	}
}

func TestBadFlagsAreExplained(t *testing.T) {
	if err := run(t.Context(), []string{"-run", "("}, &strings.Builder{}); err == nil {
		t.Fatal("a bad expression is taken")
	}
}
