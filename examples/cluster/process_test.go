package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/restapi"
)

// process is a peer in a process of its own.
type process struct {
	name, dir, listen string
	cmd               *exec.Cmd
	rest              restapi.Client
	secret, address   string // for others to join
}

var says = regexp.MustCompile(`API and web page: (\S+)|-secret (\S+) -bootstrap (\S+)`)

// start starts the peer, for the first time or again.
func (p *process) start(t *testing.T, args ...string) {
	t.Helper()
	args = append(args, "-name", p.name, "-data", p.dir, "-listen", p.listen)
	p.cmd = exec.Command(os.Args[0], args...)
	p.cmd.Env = append(os.Environ(), asProgram+"=1")
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch found := says.FindStringSubmatch(lines.Text()); {
		case found == nil:
		case found[1] != "":
			p.rest.URL = found[1]
		default:
			p.secret, p.address = found[2], found[3]
			p.listen, _, _ = strings.Cut(p.address, "/p2p/") // when it is started again
			return
		}
	}
	t.Fatalf("%s does not start", p.name)
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// try tries until it succeeds.
func try(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := until(ctx, func() error { return f(ctx) }); err != nil {
		t.Fatal(err)
	}
}

func (p *process) add(t *testing.T, content string) *restapi.Pin {
	t.Helper()
	var pin *restapi.Pin
	try(t, func(ctx context.Context) (err error) {
		pin, err = p.rest.Add(ctx, "", 2, strings.NewReader(content), nil)
		return err
	})
	return pin
}

func TestKilledProcessesGoOn(t *testing.T) {
	t.Parallel()
	var peers []*process
	for _, name := range []string{"anna", "bert", "carl"} {
		p := &process{name: name, dir: t.TempDir(), listen: "/ip4/127.0.0.1/tcp/0"}
		if len(peers) == 0 {
			p.start(t)
		} else {
			p.start(t, "-secret", peers[0].secret, "-bootstrap", peers[0].address, "-tracker", "stateless")
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		answers(t, p, len(peers))
	}
	acknowledged := make(map[string]string)
	for i, p := range append(peers, peers...) {
		content := fmt.Sprintf("file %d", i)
		acknowledged[p.add(t, content).Cid] = content
	}
	// One is killed, without which the others go on: it may have been the leader.
	peers[0].kill()
	acknowledged[peers[1].add(t, "without the first").Cid] = "without the first"
	// All are killed.
	for _, p := range peers[1:] {
		p.kill()
	}
	for _, p := range peers {
		p.start(t) // all else it knows
	}
	for _, p := range peers {
		answers(t, p, len(peers))
		for root, content := range acknowledged {
			p.keeps(t, root, content)
		}
	}
	acknowledged[peers[2].add(t, "after all").Cid] = "after all"
}

// answers waits until n peers answer each other.
func answers(t *testing.T, p *process, n int) {
	t.Helper()
	try(t, func(ctx context.Context) error {
		peers, err := p.rest.Peers(ctx)
		if err != nil {
			return err
		}
		for _, peer := range peers {
			if peer.Error != "" {
				return errors.New(peer.Error)
			}
		}
		if len(peers) != n {
			return fmt.Errorf("%d peers, want %d", len(peers), n)
		}
		return nil
	})
}

// keeps waits until, by what p says, two peers keep the file, and reads it.
func (p *process) keeps(t *testing.T, root, content string) {
	t.Helper()
	try(t, func(ctx context.Context) error {
		status, err := p.rest.Status(ctx, root)
		if err != nil {
			return err
		}
		n := 0
		for _, peer := range status.Peers {
			if peer.Status == api.Pinned {
				n++
			}
		}
		if n != 2 {
			return fmt.Errorf("%d peers keep %q, want 2", n, content)
		}
		file, err := p.rest.Read(ctx, root)
		if err != nil {
			return err
		}
		defer file.Close()
		if data, err := io.ReadAll(file); err != nil || string(data) != content {
			return fmt.Errorf("%q, %v, want %q", data, err, content)
		}
		return nil
	})
}
