// Command gorpcvet finds wrong uses of go-libp2p-gorpc before a program runs.
//
//	gorpcvet ./...                    a whole module: callers and registrations in any packages
//	gorpcvet -fix ./...               and mend what can be mended mechanically
//	gorpcvet -typed -fix ./...        and make typed calls of calls by name
//	go vet -vettool=$(which gorpcvet) ./...   each package with what it imports
//
// It ends with 0 if it has found nothing, with 3 if it has, and with 1 if it could
// not read the packages. docs/vet.md lists the findings.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"golang.org/x/tools/go/analysis/unitchecker"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet"
)

func main() {
	if ofGoVet(os.Args[1:]) {
		unitchecker.Main(vet.Analyzer)
	}
	r := run{out: os.Stderr}
	flag.BoolVar(&r.fix, "fix", false, "apply the fixes, and print what is left")
	flag.BoolVar(&r.options.Typed, "typed", false, "also report calls by name, to become calls of typed methods")
	flag.BoolVar(&r.tests, "test", true, "read test files, too")
	flag.BoolVar(&r.json, "json", false, "print JSON to standard output, and end with 0")
	external := flag.String("external", "", "services that other programs serve, with commas between")
	flag.Usage = func() {
		fmt.Fprintf(os.Stderr, "gorpcvet finds wrong uses of go-libp2p-gorpc.\n\nUsage: gorpcvet [flags] packages\n\nFlags:\n")
		flag.PrintDefaults()
	}
	flag.Parse()
	if *external != "" {
		r.options.External = strings.Split(*external, ",")
	}
	r.patterns = flag.Args()
	if len(r.patterns) == 0 {
		flag.Usage()
		os.Exit(1)
	}
	os.Exit(r.main())
}

// ofGoVet reports whether go vet runs this as its tool.
func ofGoVet(args []string) bool {
	for _, a := range args {
		if a == "-V=full" || a == "-flags" || strings.HasSuffix(a, ".cfg") {
			return true
		}
	}
	return false
}
