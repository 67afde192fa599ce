// Streaming sends a large file to a peer in chunks, with progress on the way,
// and gets its checksum back.
//
//	streaming                          both sides in one process, and a file made up
//	streaming -serve                   a receiver, until it is interrupted
//	streaming -to MULTIADDR -file F    a sender to that receiver
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

const protocol = "/examples/streaming/1.0"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "streaming:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("streaming", flag.ContinueOnError)
	serving := flags.Bool("serve", false, "receive files until interrupted")
	listen := flags.String("listen", "/ip4/127.0.0.1/tcp/0", "where the receiver listens, as a multiaddr")
	to := flags.String("to", "", "the multiaddr of a receiver, with its /p2p/ID")
	file := flags.String("file", "", "the file to send; without one, 64 MiB are made up")
	chunk := flags.Int("chunk", 128<<10, "bytes in each chunk")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("what is %q? see -help", flags.Arg(0))
	case *chunk < 1 || *chunk > 8<<20:
		return errors.New("-chunk must be from 1 to 8388608")
	case *serving && *to != "":
		return errors.New("-serve and -to exclude each other")
	case *serving:
		return serve(ctx, out, *listen)
	}
	if *file == "" {
		name, err := makeUp(64 << 20)
		if err != nil {
			return err
		}
		defer os.Remove(name)
		*file = name
	}
	if *to == "" {
		receiver, server, err := newReceiver("/ip4/127.0.0.1/tcp/0")
		if err != nil {
			return err
		}
		defer receiver.Close()
		defer server.Close()
		*to = fmt.Sprintf("%s/p2p/%s", receiver.Addrs()[0], receiver.ID())
	}
	return sendTo(ctx, out, *to, *file, *chunk)
}

func newReceiver(listen string) (host.Host, *rpc.Server, error) {
	h, err := libp2p.New(libp2p.ListenAddrStrings(listen))
	if err != nil {
		return nil, nil, fmt.Errorf("starting a host on %s: %w", listen, err)
	}
	server := rpc.NewServer(h, protocol)
	if err := server.Register(Files{}); err != nil {
		return nil, nil, errors.Join(err, h.Close())
	}
	return h, server, nil
}

func serve(ctx context.Context, out io.Writer, listen string) error {
	h, server, err := newReceiver(listen)
	if err != nil {
		return err
	}
	defer h.Close()
	defer server.Close() // what is being sent is cut off
	fmt.Fprintf(out, "listening on %s/p2p/%s\n", h.Addrs()[0], h.ID())
	<-ctx.Done()
	return nil
}

func sendTo(ctx context.Context, out io.Writer, to, file string, chunk int) error {
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
	return send(ctx, out, client, info.ID, file, chunk)
}

// makeUp writes a temporary file that does not compress.
func makeUp(size int64) (name string, err error) {
	f, err := os.CreateTemp("", "streaming-*")
	if err != nil {
		return "", err
	}
	var seed [32]byte
	_, err = io.CopyN(f, rand.NewChaCha8(seed), size)
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}
