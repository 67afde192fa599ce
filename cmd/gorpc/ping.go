package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/spf13/cobra"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// pinged is what is told of a peer, for programs.
type pinged struct {
	Peer      string     `json:"peer"`
	Address   string     `json:"address"`
	Transport string     `json:"transport,omitempty"`
	Relayed   bool       `json:"relayed"`
	Agent     string     `json:"agent,omitempty"`
	Connect   jsonTime   `json:"connect"`
	Pings     []jsonTime `json:"pings"`
}

// jsonTime is a duration that is written as people do.
type jsonTime time.Duration

func (d jsonTime) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (a *app) ping() *cobra.Command {
	var count int
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "ping PEER",
		Short: "Tell whether a peer answers, how fast, and over which way",
		Long: `Connect to a peer, tell over which transport and whether through a relay, and ping it by
libp2p's own protocol, which every peer has: no server of this library is needed.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			if count < 1 || interval < 0 {
				return usagef("--count is %d, and --interval %v: one is too small", count, interval)
			}
			return a.pingNow(cmd.Context(), given[0], count, interval)
		},
	}
	a.to.flags(cmd)
	cmd.Flags().IntVarP(&count, "count", "c", 3, "how many pings")
	cmd.Flags().DurationVarP(&interval, "interval", "i", time.Second, "the time between two")
	return cmd
}

func (a *app) pingNow(ctx context.Context, name string, count int, interval time.Duration) error {
	ctx, cancel := a.to.within(ctx)
	defer cancel()
	begin := time.Now()
	c, err := a.to.reach(ctx, name)
	if err != nil {
		return err
	}
	defer c.Close()
	told := pinged{Peer: c.peer.String(), Connect: jsonTime(time.Since(begin).Round(time.Microsecond))}
	if conns := c.host.Network().ConnsToPeer(c.peer); len(conns) > 0 {
		conn := conns[0]
		told.Address, told.Transport, told.Relayed = conn.RemoteMultiaddr().String(), conn.ConnState().Transport, conn.Stat().Limited
	}
	if agent, err := c.host.Peerstore().Get(c.peer, "AgentVersion"); err == nil {
		told.Agent, _ = agent.(string)
	}
	if a.format == "text" {
		a.tellWay(&told)
	}
	if err := a.pings(ctx, c, &told, count, interval); err != nil {
		return err
	}
	if a.format == "json" {
		return writeJSON(a.out, told)
	}
	least, most := slices.Min(told.Pings), slices.Max(told.Pings)
	fmt.Fprintf(a.out, "%d pings, %v to %v\n", count, time.Duration(least), time.Duration(most))
	return nil
}

func (a *app) tellWay(p *pinged) {
	way := "directly"
	if p.Relayed {
		way = "through a relay"
	}
	fmt.Fprintf(a.out, "peer %s, %s, over %s (%s), connected in %v\n", p.Peer, way, line(p.Transport), line(p.Address), time.Duration(p.Connect))
	if p.Agent != "" {
		fmt.Fprintf(a.out, "it is %s\n", line(p.Agent))
	}
}

func (a *app) pings(ctx context.Context, c *connection, told *pinged, count int, interval time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for n := range count {
		if n > 0 {
			select {
			case <-time.After(interval):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		once, stop := context.WithCancel(ctx)
		result, ok := <-ping.Ping(once, c.host, c.peer)
		stop()
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case !ok || result.Error != nil:
			return &rpc.Error{Code: codes.Unavailable, Message: fmt.Sprintf("peer %v does not answer ping %d: %v", c.peer, n+1, result.Error)}
		}
		told.Pings = append(told.Pings, jsonTime(result.RTT))
		if a.format == "text" {
			fmt.Fprintf(a.out, "ping %d: %v\n", n+1, result.RTT)
		}
	}
	return nil
}
