// Cluster is a small pinning cluster: peers that keep files for each other,
// made of components that reach one another only by RPC. Without flags it
// tells the story of five peers in one process; with flags it is one peer.
package main

import (
	"context"
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
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, trouble io.Writer) error {
	if len(args) == 0 {
		return story(ctx, out)
	}
	var o options
	flags := o.flags()
	if err := flags.Parse(args); err != nil {
		if err == flag.ErrHelp {
			return nil
		}
		return err
	}
	return onePeer(ctx, o, out, trouble)
}
