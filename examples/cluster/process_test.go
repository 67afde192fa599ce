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
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/restapi"
)

// replicas is how many peers keep a file.
const replicas = 2

// process is a peer in a process of its own.
type process struct {
	name, dir, listen string
	tracker           string
	cmd               *exec.Cmd
	rest              restapi.Client
	secret, address   string // for others to join
}

var says = regexp.MustCompile(`API and web page: (\S+)|-secret (\S+) -bootstrap (\S+)`)

// start starts the peer, for the first time or again.
func (p *process) start(t *testing.T, args ...string) {
	t.Helper()
	args = append(args, "-name", p.name, "-data", p.dir, "-listen", p.listen, "-tracker", p.tracker, "-replicas", fmt.Sprint(replicas))
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

// try tries until f succeeds.
func try(t *testing.T, f func(ctx context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var last error // the one that tells something: the last attempt is cut off
	if err := until(ctx, func() error {
		err := f(ctx)
		if ctx.Err() == nil {
			last = err
		}
		return err
	}); err != nil {
		t.Fatalf("%v: %v", err, last)
	}
}

// id is the peer's ID.
func (p *process) id() string {
	_, id, _ := strings.Cut(p.address, "/p2p/")
	return id
}

// file is one whose pin was acknowledged.
type file struct{ root, content string }

func (p *process) add(t *testing.T, content string) file {
	t.Helper()
	f := file{content: content}
	try(t, func(ctx context.Context) error {
		pin, err := p.rest.Add(ctx, "", replicas, strings.NewReader(content), nil)
		if err == nil {
			f.root = pin.Cid
		}
		return err
	})
	return f
}

// write adds files, one after the other, until ctx ends, and hands on those that
// are acknowledged. What fails, as all does when p is killed, is tried again.
func (p *process) write(ctx context.Context, acknowledged chan<- file) {
	name, rest := p.name, p.rest // as it is now: later it may be started again
	for i := 0; ; i++ {
		content := fmt.Sprintf("%s, file %d", name, i)
		var pin *restapi.Pin
		if until(ctx, func() (err error) {
			pin, err = rest.Add(ctx, "", replicas, strings.NewReader(content), nil)
			return err
		}) != nil {
			return
		}
		acknowledged <- file{pin.Cid, content}
	}
}

func TestKilledProcessesGoOn(t *testing.T) {
	t.Parallel()
	names, kills := []string{"anna", "bert", "carl", "dora", "emil"}, 2
	if testing.Short() {
		names, kills = names[:3], 1
	}
	var peers []*process
	for i, name := range names {
		p := &process{name: name, dir: t.TempDir(), listen: "/ip4/127.0.0.1/tcp/0", tracker: "map"}
		if i == 0 {
			p.start(t)
		} else {
			if i%2 == 1 {
				p.tracker = "stateless"
			}
			p.start(t, "-secret", peers[0].secret, "-bootstrap", peers[0].address)
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.knows(t, len(peers))
	}
	// One of several blocks, and one of these pinned by itself.
	block := strings.Repeat("a block ", 1<<15)
	large := peers[1].add(t, block+"and another")
	pinned := file{leaf(t, block), block}
	try(t, func(ctx context.Context) error {
		_, err := peers[2].rest.Pin(ctx, pinned.root)
		return err
	})
	files := []file{large, pinned}

	// While all are written to, followers are killed, and the leader last: a
	// majority goes on.
	writing, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	acknowledged := make(chan file)
	var writers sync.WaitGroup
	for _, p := range peers {
		writers.Go(func() { p.write(writing, acknowledged) })
	}
	goOn := func() {
		t.Helper()
		for range 3 * len(peers) { // none of the last is of before
			select {
			case f := <-acknowledged:
				files = append(files, f)
			case <-writing.Done():
				t.Fatalf("writes do not go on: %d were acknowledged", len(files))
			}
		}
	}
	goOn()
	alive, killed := slices.Clone(peers), []*process(nil)
	for len(killed) < kills {
		victim := leader(t, alive)
		if len(killed) < kills-1 { // a follower
			victim = (victim + 1) % len(alive)
		}
		alive[victim].kill()
		killed = append(killed, alive[victim])
		alive = slices.Delete(alive, victim, victim+1)
		goOn()
	}
	for _, p := range killed {
		p.start(t) // all else it knows
	}
	goOn()
	stop()
	go func() { writers.Wait(); close(acknowledged) }()
	for f := range acknowledged {
		files = append(files, f)
	}
	t.Logf("%d pins were acknowledged; %s, the leader, was killed last", len(files), killed[kills-1].name)
	for _, p := range peers {
		p.knows(t, len(peers))
		p.keeps(t, len(peers), files)
	}
	for _, f := range files {
		killed[0].reads(t, f)
	}

	// All are killed.
	for _, p := range peers {
		p.kill()
	}
	for _, p := range peers {
		p.start(t)
	}
	files = append(files, peers[2].add(t, "after all"))
	for _, p := range peers {
		p.knows(t, len(peers))
		p.keeps(t, len(peers), files)
		p.reads(t, large)
	}
}

// leaf returns the CID of a block of a file.
func leaf(t *testing.T, block string) string {
	t.Helper()
	id, err := cid.V1Builder{Codec: cid.Raw, MhType: multihash.SHA2_256}.Sum([]byte(block))
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// leader waits until the peers agree on which of them leads.
func leader(t *testing.T, peers []*process) (index int) {
	t.Helper()
	try(t, func(ctx context.Context) error {
		said := make(map[string]bool)
		for _, p := range peers {
			all, err := p.rest.Peers(ctx)
			if err != nil {
				return err
			}
			for _, peer := range all {
				if peer.ID == p.id() {
					said[peer.Leader] = true
				}
			}
		}
		index = slices.IndexFunc(peers, func(p *process) bool { return said[p.id()] })
		if len(said) != 1 || index < 0 {
			return fmt.Errorf("there is no agreement on a leader: %v", said)
		}
		return nil
	})
	return index
}

// knows waits until n peers answer p.
func (p *process) knows(t *testing.T, n int) {
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

// keeps waits until, by what p hears, each of n peers knows of all the pins, and
// as many as are wanted keep them.
func (p *process) keeps(t *testing.T, n int, files []file) {
	t.Helper()
	try(t, func(ctx context.Context) error {
		all, err := p.rest.StatusAll(ctx)
		if err != nil {
			return err
		}
		states := make(map[string]map[api.Status]int)
		for _, pin := range all {
			states[pin.Cid] = make(map[api.Status]int)
			for _, peer := range pin.Peers {
				states[pin.Cid][peer.Status]++
			}
		}
		for _, f := range files {
			s := states[f.root]
			if s[api.Pinned] != replicas || s[api.Remote] != n-replicas {
				return fmt.Errorf("%s says of %.20q: %v", p.name, f.content, s)
			}
		}
		return nil
	})
}

// reads reads a file whole.
func (p *process) reads(t *testing.T, f file) {
	t.Helper()
	try(t, func(ctx context.Context) error {
		body, err := p.rest.Read(ctx, f.root)
		if err != nil {
			return err
		}
		defer body.Close()
		if data, err := io.ReadAll(body); err != nil || string(data) != f.content {
			return fmt.Errorf("%.20q, %v, want %.20q", data, err, f.content)
		}
		return nil
	})
}
