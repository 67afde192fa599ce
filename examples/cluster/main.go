// Cluster is a small pinning cluster: peers that keep files for each other,
// made of components that reach one another only by RPC. Without flags it
// tells the story of five peers in one process; with flags it is one peer.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "cluster:", err)
		os.Exit(exitCode(err))
	}
}

// usage is the error of a command line that makes no sense.
type usage struct{ error }

// exitCode is 2 for wrong use, as flag has it, and 1 for all else.
func exitCode(err error) int {
	if errors.As(err, new(usage)) {
		return 2
	}
	return 1
}

func run(ctx context.Context, args []string, out, trouble io.Writer) error {
	if len(args) == 0 {
		return story(ctx, out)
	}
	var o options
	flags := o.flags()
	flags.SetOutput(trouble)
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil
		}
		return usage{err}
	}
	if flags.NArg() > 0 {
		return usage{fmt.Errorf("%q is no flag: see -h", flags.Arg(0))}
	}
	return onePeer(ctx, o, out, trouble)
}
