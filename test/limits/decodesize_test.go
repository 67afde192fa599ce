package limits_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strings"
	"testing"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Big takes a byte on the wire as nil, and a KiB in memory.
type Big struct {
	A [128]int64
	S string
}

// Wide has many fields that are small where it is sent.
type Wide struct {
	Name                   string
	P1, P2, P3, P4, P5, P6 *Big
	M                      map[string][]int
	Any                    any
}

type sizes struct{}

func (sizes) Bigs(_ context.Context, in []Big, n *int) error {
	*n = len(in)
	return nil
}

func (sizes) Wides(_ context.Context, in map[string][]*Wide, n *int) error {
	*n = len(in["x"])
	return nil
}

func TestMessageThatTakesFarMoreMemoryThanBytesIsRefused(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, sizes{})
	c := rig.Client(t, a)
	for name, element := range map[string]string{"nil": "\xc0", "empty map": "\x80", "a field": "\x81\xa1S\xa0"} {
		const n = 80_000 // 80 MiB
		request := []byte("\x82\xa4Name\xa3Svc\xa6Method\xa4Bigs\xdd")
		request = binary.BigEndian.AppendUint32(request, n)
		request = append(request, bytes.Repeat([]byte(element), n)...)
		st, err := a.NewStream(rig.Context(t), b.ID(), rig.Protocol)
		if err != nil {
			t.Fatal(err)
		}
		_ = st.SetDeadline(time.Now().Add(30 * time.Second))
		if _, err := st.Write(request); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, 300)
		k, _ := io.ReadFull(st, answer)
		_ = st.Reset()
		if !strings.Contains(string(answer[:k]), "takes too much memory") {
			t.Errorf("%s: %d elements of a KiB: %q", name, n, answer[:k])
		}
	}
	var n int
	if err := c.Call(b.ID(), "Svc", "Bigs", make([]Big, 1000), &n); err != nil || n != 1000 {
		t.Errorf("a thousand whole ones: %d, %v", n, err)
	}
	wides := make([]*Wide, 20_000)
	for i := range wides {
		wides[i] = &Wide{Name: "w", M: map[string][]int{"k": {1, 2}}, Any: []int{1}}
	}
	if err := c.Call(b.ID(), "Svc", "Wides", map[string][]*Wide{"x": wides[:10_000]}, &n); err != nil || n != 10_000 {
		t.Errorf("many small ones of a large type: %d, %v", n, err)
	}
}

type nils struct{}

func (nils) Any(_ context.Context, in any, isNil *bool) error {
	*isNil = in == nil
	return nil
}

func TestNilTravelsIntoAnInterface(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, nils{})
	c := rig.Client(t, a)
	var isNil bool
	if err := c.Call(b.ID(), "Svc", "Any", []string(nil), &isNil); err != nil || !isNil {
		t.Fatal(isNil, err)
	}
}

// nested calls its own server from a method that is under way.
type nested struct {
	client  *rpc.Client
	started chan struct{}
	goOn    chan struct{}
}

func (n *nested) Outer(ctx context.Context, _ struct{}, r *int) error {
	close(n.started)
	<-n.goOn
	return n.client.CallContext(ctx, "", "Svc", "Inner", struct{}{}, r)
}

func (n *nested) Inner(_ context.Context, _ struct{}, r *int) error {
	*r = 7
	return nil
}

func TestShutdownLetsACallUseItsOwnServer(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	s, c := rig.NewServer(t, b), rig.Client(t, a)
	n := &nested{rig.ClientWithServer(t, b, s), make(chan struct{}), make(chan struct{})}
	if err := s.RegisterName("Svc", n); err != nil {
		t.Fatal(err)
	}
	var r int
	result, down := make(chan error, 1), make(chan error, 1)
	go func() { result <- c.CallContext(rig.Context(t), b.ID(), "Svc", "Outer", struct{}{}, &r) }()
	rig.Take(t, "the method begins", n.started)
	go func() { down <- s.Shutdown(rig.Context(t)) }()
	for n.client.Call("", "Svc", "Inner", struct{}{}, new(int)) == nil {
		// until it has begun
	}
	close(n.goOn)
	if err := <-result; err != nil || r != 7 {
		t.Fatal(r, err)
	}
	if err := <-down; err != nil {
		t.Fatal(err)
	}
}
