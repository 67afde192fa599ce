// Run measures cells of the build of the library that it is compiled with, as
// it is asked to on its standard input.
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

func main() {
	if err := rig.Serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "rig:", err)
		os.Exit(1)
	}
}
