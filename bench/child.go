package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// childPeers, in the environment, makes this program another process's peers:
// as many hosts, which serve everything until standard input ends. What is
// measured then in the parent is one side alone.
const childPeers = "RPC_BENCH_PEERS"

func isChild() bool { return os.Getenv(childPeers) != "" }

func child() {
	if err := serveAsChild(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench: peers:", err)
		os.Exit(1)
	}
	os.Exit(0) // nothing is worth waiting for
}

func serveAsChild(in io.Reader, out io.Writer) error {
	n, err := strconv.Atoi(os.Getenv(childPeers))
	if err != nil {
		return err
	}
	hosts, err := rig.NewHosts(n)
	if err != nil {
		return err
	}
	for _, h := range hosts {
		if _, err := serveAll(h); err != nil {
			return err
		}
		line, err := json.Marshal(peer.AddrInfo{ID: h.ID(), Addrs: h.Addrs()})
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(out, "%s\n", line); err != nil {
			return err
		}
	}
	_, err = io.Copy(io.Discard, in)
	return err
}

// startChild starts a process with n peers.
func startChild(ctx context.Context, n int) ([]peer.AddrInfo, func(), error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	cmd := exec.CommandContext(ctx, exe)
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", childPeers, n))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	stop := func() {
		_ = in.Close()
		_ = cmd.Wait()
	}
	peers := make([]peer.AddrInfo, n)
	lines := bufio.NewScanner(out)
	for i := range peers {
		if !lines.Scan() {
			stop()
			return nil, nil, fmt.Errorf("the process with the peers ended: %v", lines.Err())
		}
		if err := json.Unmarshal(lines.Bytes(), &peers[i]); err != nil {
			stop()
			return nil, nil, err
		}
	}
	return peers, stop, nil
}
