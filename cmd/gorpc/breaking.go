package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/libp2p/go-libp2p-gorpc/describe"
)

func (a *app) breaking() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaking OLD NEW",
		Short: "Tell whether a new version breaks peers of the old one",
		Long: `Compare two descriptions of a server, and tell what in the new one breaks peers that
know the old one. OLD and NEW are files, as rpctest.Snapshot and gorpc describe -o json
write them, or a PEER, of which what you may call is compared.

It ends with 0 if nothing is breaking, with 1 if something is, with 2 if a file or the
command line is wrong, and with the code of the error if a peer does not answer.`,
		Example: `  gorpc breaking released.json testdata/rpc.json
  gorpc breaking testdata/rpc.json /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj...`,
		Args: args(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			old, err := a.descriptionOf(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			now, err := a.descriptionOf(cmd.Context(), given[1])
			if err != nil {
				return err
			}
			changes, err := describe.Compare(old, now)
			if err != nil {
				return &usageError{err}
			}
			return a.tell(changes)
		},
	}
	a.to.flags(cmd)
	return cmd
}

// descriptionOf reads a file, or asks a peer.
func (a *app) descriptionOf(ctx context.Context, from string) (describe.Description, error) {
	if isPeer(from) {
		if a.to.key == "" {
			fmt.Fprintln(a.err, "Note: of a peer this compares what it lets anybody call; --key names a file with a key that may call more.")
		}
		return a.described(ctx, from)
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return describe.Description{}, err
	}
	d, err := describe.Read(b)
	if err != nil {
		return d, usagef("%s: %v", from, err)
	}
	return d, nil
}

func (a *app) tell(changes describe.Changes) error {
	broken := changes.Breaking()
	if a.format == "json" {
		if changes == nil {
			changes = describe.Changes{}
		}
		if err := writeJSON(a.out, changes); err != nil {
			return err
		}
	} else {
		fmt.Fprint(a.out, clean(changes.String()))
		fmt.Fprintf(a.err, "%d changes, %d of them breaking\n", len(changes), len(broken))
	}
	if len(broken) > 0 {
		return errFound
	}
	return nil
}
