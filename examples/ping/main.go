// Ping measures round trips of RPC calls: to a component of the same peer, in a
// goroutine of its own and in the caller's, and to another peer.
//
//	ping                      a server and a client in one process
//	ping -serve               a server, until it is interrupted
//	ping -to MULTIADDR        a client of that server
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
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// protocol is what both sides must agree on.
const protocol = "/examples/ping/1.0"

// Ping is the service.
type Ping struct{}

// Echo replies with what it was sent.
func (Ping) Echo(_ context.Context, in []byte, out *[]byte) error {
	*out = in
	return nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "ping:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("ping", flag.ContinueOnError)
	serving := flags.Bool("serve", false, "run a server until interrupted")
	listen := flags.String("listen", "/ip4/127.0.0.1/tcp/0", "where the server listens, as a multiaddr")
	to := flags.String("to", "", "the multiaddr of a server to ping, with its /p2p/ID")
	n := flags.Int("n", 10, "how many round trips")
	size := flags.Int("size", 64, "bytes in each")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? see -help", flags.Arg(0))
	case *n < 1 || *size < 0:
		return errors.New("-n must be at least 1, and -size not negative")
	case *serving && *to != "":
		return errors.New("-serve and -to exclude each other")
	case *serving:
		return serve(ctx, out, *listen)
	case *to != "":
		return pingRemote(ctx, out, *to, *n, *size)
	}
	return pingBoth(ctx, out, *n, *size)
}

// serve runs a server until ctx ends, and lets it finish its calls.
func serve(ctx context.Context, out io.Writer, listen string) error {
	h, server, err := newServer(listen)
	if err != nil {
		return err
	}
	defer h.Close()
	for _, addr := range h.Addrs() {
		fmt.Fprintf(out, "listening on %s/p2p/%s\n", addr, h.ID())
	}
	<-ctx.Done()
	fmt.Fprintln(out, "shutting down")
	patience, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	return server.Shutdown(patience)
}

func newServer(listen string) (host.Host, *rpc.Server, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen))
	if err != nil {
		return nil, nil, fmt.Errorf("starting a host on %s: %w", listen, err)
	}
	server := rpc.NewServer(h, protocol)
	if err := server.Register(Ping{}); err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return h, server, nil
}

// pingRemote pings a server elsewhere.
func pingRemote(ctx context.Context, out io.Writer, to string, n, size int) error {
	info, err := peer.AddrInfoFromString(to)
	if err != nil {
		return fmt.Errorf("-to %s: %w", to, err)
	}
	h, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.Connect(ctx, *info); err != nil {
		return err
	}
	client := rpc.NewClient(h, protocol)
	defer client.Close()
	trips, err := ping(ctx, client, info.ID, n, size)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d bytes to %s and back\n\n", size, info.ID)
	table{{"remote", trips}}.print(out)
	return nil
}

// pingBoth runs a server and a client of its own host, and a client of
// another.
func pingBoth(ctx context.Context, out io.Writer, n, size int) error {
	serverHost, server, err := newServer("/ip4/127.0.0.1/tcp/0")
	if err != nil {
		return err
	}
	defer serverHost.Close()
	defer server.Close()
	clientHost, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer clientHost.Close()
	if err := clientHost.Connect(ctx, peer.AddrInfo{ID: serverHost.ID(), Addrs: serverHost.Addrs()}); err != nil {
		return err
	}

	local := rpc.NewClientWithServer(serverHost, protocol, server)
	remote := rpc.NewClient(clientHost, protocol)
	defer local.Close()
	defer remote.Close()
	// The methods of this server are declared to heed their contexts.
	heedingServer := rpc.NewServer(nil, protocol, rpc.WithMethodConfig(rpc.ServiceID{}, rpc.MethodConfig{HeedsContext: true}))
	if err := heedingServer.Register(Ping{}); err != nil {
		return err
	}
	defer heedingServer.Close()
	heeding := rpc.NewClientWithServer(nil, protocol, heedingServer)
	defer heeding.Close()
	// The same call with the same destination: for the client on the server's
	// own host it stays in the process.
	localTrips, err := ping(ctx, local, serverHost.ID(), n, size)
	if err != nil {
		return err
	}
	heedingTrips, err := ping(ctx, heeding, "", n, size)
	if err != nil {
		return err
	}
	remoteTrips, err := ping(ctx, remote, serverHost.ID(), n, size)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%d bytes there and back, to a component of the same peer and to another peer\n\n", size)
	fmt.Fprintf(out, "heeding: local, and the method is declared to heed its context (rpc.MethodConfig)\n\n")
	table{{"local", localTrips}, {"heeding", heedingTrips}, {"remote", remoteTrips}}.print(out)
	return nil
}

// ping makes n round trips one after another, and one before that is not
// counted.
func ping(ctx context.Context, client *rpc.Client, dest peer.ID, n, size int) ([]time.Duration, error) {
	trips := make([]time.Duration, 0, n)
	payload := make([]byte, size)
	for i := range n + 1 {
		var echo []byte
		start := time.Now()
		if err := client.CallContext(ctx, dest, "Ping", "Echo", payload, &echo); err != nil {
			return nil, err
		}
		trip := time.Since(start)
		if len(echo) != size {
			return nil, fmt.Errorf("sent %d bytes, got %d back", size, len(echo))
		}
		if i > 0 {
			trips = append(trips, trip)
		}
	}
	return trips, nil
}
