package main

import (
	"bytes"
	"fmt"
	"os"
)

// What a run prints is between these lines of the document.
const (
	figuresBegin = "<!-- figures: go run ./bench -write -->\n"
	figuresEnd   = "<!-- end of figures -->\n"
)

// writeFigures puts what a run printed into the document, in the place of what
// an earlier one did.
func writeFigures(path string, figures []byte) error {
	doc, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, found := bytes.Cut(doc, []byte(figuresBegin))
	_, after, ended := bytes.Cut(rest, []byte(figuresEnd))
	if !found || !ended {
		return fmt.Errorf("%s has no place for figures: a line %q and after it a line %q", path, figuresBegin, figuresEnd)
	}
	var out bytes.Buffer
	for _, part := range [][]byte{before, []byte(figuresBegin), []byte("\n"), figures, []byte("\n"), []byte(figuresEnd), after} {
		out.Write(part)
	}
	return os.WriteFile(path, out.Bytes(), 0o644)
}
