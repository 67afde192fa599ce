// Command gorpc looks at, and calls, peers that use go-libp2p-gorpc: gorpc --help says
// how. docs/gorpc.md has an example of each command.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// app is what commands share: the streams of the process, and the flags of all.
type app struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	format string // "text" or "json"
	to     target
}

// run executes a command line and returns the exit code.
func run(ctx context.Context, args []string, in io.Reader, out, err io.Writer) int {
	a := &app{in: in, out: out, err: err}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(err)
	ran, failed := root.ExecuteContextC(ctx)
	if failed == nil {
		return exitOK
	}
	code := exitCode(failed)
	if failed != errFound {
		fmt.Fprintf(err, "gorpc: %s\n", clean(explain(failed)))
	}
	if code == exitUsage {
		fmt.Fprintf(err, "Try: %s --help\n", ran.CommandPath())
	}
	return code
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "gorpc",
		Short: "Look at, and call, the services of libp2p peers",
		Long: `gorpc looks at, and calls, the services of peers that use go-libp2p-gorpc.

A PEER is a multiaddr that ends with /p2p/ and a peer ID, or a bare peer ID, which is
looked for in the local network by mDNS (which announces TCP and QUIC only).

What a peer serves it tells those whom it allows to ask, if its server was made with
WithDescriptions(true).`,
		Example: `  gorpc ls /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj...
  gorpc describe /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Order
  gorpc call /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Order '{"ID": 7}'
  gorpc top /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj...
  gorpc breaking testdata/rpc.json new.json`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(*cobra.Command, []string) error {
			if a.format != "text" && a.format != "json" {
				return usagef("--output is %q, and can be text or json", a.format)
			}
			return nil
		},
	}
	root.PersistentFlags().StringVarP(&a.format, "output", "o", "text", "text for people, or json for programs")
	_ = root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	root.AddCommand(a.ls(), a.describe(), a.call(), a.ping(), a.health(), a.top(), a.breaking(), exitCodes())
	return root
}

// exact is cobra.ExactArgs, and others, with an error of our own.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if err := check(cmd, given); err != nil {
			return &usageError{fmt.Errorf("%w; usage: %s", err, cmd.UseLine())}
		}
		return nil
	}
}

// usageError is one of the command line.
type usageError struct{ error }

func (e *usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error { return &usageError{fmt.Errorf(format, args...)} }

// errFound ends a command that has found, and told, what it was to look for.
var errFound = errors.New("found")
