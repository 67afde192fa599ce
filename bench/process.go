package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// process is a running build. It does nothing until it is asked.
type process struct {
	build
	cmd      *exec.Cmd
	in       io.Closer
	requests *json.Encoder
	replies  *json.Decoder
}

// start runs a build with this process's environment: all have the same
// GOMAXPROCS and GOGC.
func (b build) start(ctx context.Context) (*process, error) {
	cmd := exec.CommandContext(ctx, b.path)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &process{build: b, cmd: cmd, in: in, requests: json.NewEncoder(in), replies: json.NewDecoder(out)}, nil
}

func (p *process) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// ask has the process do something, and waits until it is done.
func (p *process) ask(q rig.Request) (rig.Reply, error) {
	var r rig.Reply
	err := p.requests.Encode(q)
	if err == nil {
		err = p.replies.Decode(&r)
	}
	switch {
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("the process ended: %w", errors.Join(p.cmd.Wait(), err))
	case err == nil && r.Err != "":
		err = errors.New(r.Err)
	}
	if err != nil {
		return rig.Reply{}, fmt.Errorf("%s: %s: %w", p.name, q.Cell, err)
	}
	return r, nil
}
