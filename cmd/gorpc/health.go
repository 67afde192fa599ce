package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/libp2p/go-libp2p-gorpc/health"
	"github.com/libp2p/go-libp2p-gorpc/watch"
)

func (a *app) health() *cobra.Command {
	var watching bool
	cmd := &cobra.Command{
		Use:   "health PEER [SERVICE]",
		Short: "Tell whether a peer's services can do their work",
		Long: `Ask a peer for the health of a service, or of its server as a whole, if the program has
package health. It ends with 0 if that serves, and with 1 if not.

With --watch it tells what changes until it is interrupted, over restarts of the peer too.`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			service := ""
			if len(given) > 1 {
				service = given[1]
			}
			return a.healthOf(cmd.Context(), given[0], service, watching)
		},
	}
	a.to.flags(cmd)
	cmd.Flags().BoolVarP(&watching, "watch", "w", false, "go on, and tell what changes")
	return cmd
}

func (a *app) healthOf(ctx context.Context, name, service string, watching bool) error {
	short, cancel := a.to.within(ctx)
	defer cancel()
	c, err := a.to.serving(short, name)
	if err != nil {
		return err
	}
	defer c.Close()
	if !watching {
		r, err := health.Check(short, c.client, c.peer, service)
		if err != nil {
			return err
		}
		if err := a.tellHealth(r); err != nil {
			return err
		}
		if r.Status != health.Serving {
			return errFound
		}
		return nil
	}
	for r, err := range health.Watch(ctx, c.client, c.peer, service) {
		var interrupted *watch.Interrupted
		switch {
		case errors.As(err, &interrupted):
			fmt.Fprintf(a.err, "gorpc: %s; trying again\n", clean(err.Error()))
		case ctx.Err() != nil: // by whoever has had enough
			return nil
		case err != nil:
			return err
		default:
			if err := a.tellHealth(r); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *app) tellHealth(r health.Report) error {
	if a.format == "json" {
		return json.NewEncoder(a.out).Encode(r)
	}
	name := r.Service
	if name == "" {
		name = "the server"
	}
	why := ""
	if r.Why != "" {
		why = ": " + r.Why
	}
	_, err := fmt.Fprintf(a.out, "%s  %s is %s%s\n", time.Now().Format(time.TimeOnly), line(name), line(string(r.Status)), line(why))
	return err
}
