// Observed is four peers to look at: anna, bert and carl serve the same methods, dora
// calls all three. Bert is slow, and carl does not let dora write. It prints where that
// is seen: pages, metrics, and commands to paste.
//
//	observed                  until it is interrupted
//	observed -for 1m          for a minute
//	observed -port 6060       the pages on ports 6060 to 6063, not on any that are free
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
	"text/tabwriter"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/policy"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "observed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("observed", flag.ContinueOnError)
	length := flags.Duration("for", 0, "how long it runs; 0: until it is interrupted")
	port := flags.Int("port", 0, "the port of anna's page, those of the others follow; 0: any that are free")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("what is %q? see -help", flags.Arg(0))
	}
	if *length > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *length)
		defer cancel()
	}

	nodes := make(map[string]*node)
	defer func() {
		for _, n := range nodes {
			err = errors.Join(err, n.close())
		}
	}()
	for i, name := range names {
		c := config{rules: open()}
		switch name {
		case "bert":
			c.disk = slowDisk()
			c.limits.CallsPerPeer = 4 // which makes the calls that it has no place for wait
		case "carl":
			c.rules[put.ID()] = policy.Peers(nodes["anna"].host.ID())
		}
		if *port != 0 {
			c.port = *port + i
		}
		if nodes[name], err = newNode(name, c); err != nil {
			delete(nodes, name)
			return err
		}
	}
	print(out, nodes)
	return load(ctx, nodes["dora"], nodes["anna"], nodes["bert"], nodes["carl"])
}

var names = []string{"anna", "bert", "carl", "dora"}

// print says where to look, and for what.
func print(out io.Writer, nodes map[string]*node) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "peer\tpage\tmetrics\t")
	about := map[string]string{"anna": "is well", "bert": "is slow", "carl": "lets anna write, not dora", "dora": "calls all three"}
	for _, name := range names {
		url := nodes[name].url
		fmt.Fprintf(table, "%s\t%s/debug/rpc/\t%s/metrics\t%s\n", name, url, url, about[name])
	}
	_ = table.Flush()
	fmt.Fprintf(out, `
What to look at
- bert's page, Methods: the 99th percentile of %[1]v is above a second, anna's is not.
  histogram_quantile(0.99, sum by (instance, le) (rate(gorpc_server_call_duration_seconds_bucket{method="%[1]v"}[1m])))
- carl's page, Refusals: "denied", and under Peers who. rate(gorpc_server_refused_total{reason="denied"}[1m])
- dora's page, "client": calls wait for a place, under Sessions at whom. gorpc_client_calls_waiting
- promrpc/alerts.yml has rules that tell each of the three, promrpc/dashboard.json the charts.

From another terminal
`, find)
	command := func(line, name string, rest ...any) {
		fmt.Fprintln(out, append([]any{"  go run ./cmd/gorpc", line, nodes[name].address()}, rest...)...)
	}
	command("top", "bert")
	command("top --client", "dora")
	command("health", "bert", service)
	command("call", "anna", find, `'"tea"'`)
	command("call", "carl", put, `'{"Key": "tea", "Value": "green"}'`)
}

// open lets everybody call everything: all of it is on the loopback.
func open() policy.Rules {
	rules := make(policy.Rules)
	for _, s := range services {
		rules[rpc.ServiceID{Name: s}] = policy.Everyone()
	}
	return rules
}
