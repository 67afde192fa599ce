package peers_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

var randomSeed = flag.Uint64("seed", 0, "of the tests of random peers; 0: a new one")

// newSeed also writes it: a panic leaves no log of a test.
func newSeed(t *testing.T) uint64 {
	seed := *randomSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	fmt.Fprintf(os.Stderr, "%s -seed %d\n", t.Name(), seed)
	return seed
}

const (
	randomPeers  = 3   // at once, each with a seed of its own
	randomRounds = 150 // of each
)

// The kinds of frames, as docs/session.md numbers them.
const (
	frSettings = 1 + iota
	frRequest
	frReply
	frData
	frCancel
	frAbort
	frRefuse
	frPing
	frPong
	frGoAway
	frOpen
	frBytes
	frEnd
	frGrant
	frBlocked
)

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// unruly has methods of which random requests meet all ends.
type unruly struct{ rig.Giver }

func (unruly) Panic(context.Context, int, *int) error { panic("unary") }

func (unruly) Take(_ context.Context, in <-chan int, out chan<- int) error {
	for n := range in {
		if n == 3 {
			return errors.New("three")
		}
	}
	return nil
}

func (unruly) PanicLater(_ context.Context, in <-chan int, _ chan<- int) error {
	<-in
	panic("streaming")
}

// randomRequest is a request of some call, or nearly one.
func randomRequest(r *rand.Rand, kind string) []byte {
	method := pick(r, "Multiply", "Divide", "Block", "Give", "GiveAll", "Panic", "Take", "PanicLater", "Divides", "None", "")
	argument := pick(r, "\x07", "\x03\x07", "\xc1", "\xc0", "\x80", "\x82\xa1A\x02\xa1B\x03", "\xcd\x80\x00\xcd\x80\x00\xc1", "\xda\x00\x10x",
		strings.Repeat("\x07", 300)+"\xc1", "\xdb\x00\x01\x00\x00"+strings.Repeat("x", 1<<16), "\xdb\x7f\xff\xff\xff", "")
	head := rig.Cat("\x85", rig.Str("Name"), rig.Str(pick(r, "Svc", "Svc", "Svc", "Typed", "")), rig.Str("Method"), rig.Str(method), rig.Str("Kind"), kind,
		rig.Str("Begun"), pick(r, "\x00", "\x01"), rig.Str("Timeout"), pick(r, "\x00", "\xd2\x00\x10\x00\x00", "\xcf\xff\xff\xff\xff\xff\xff\xff\xff"))
	return rig.Cat(head, argument)
}

// clientFrames appends what a client may say next, or not quite.
func clientFrames(b []byte, r *rand.Rand, last *uint64) []byte {
	id := []uint64{1 + r.Uint64N(max(*last, 1))}
	switch k := pick[byte](r, frRequest, frRequest, frOpen, frOpen, frCancel, frCancel, frGrant, frBlocked, frBytes, frPing, frSettings, frData); k {
	case frRequest:
		*last += 1 + r.Uint64N(2)
		request := randomRequest(r, "\x01")
		pieces := slices.Collect(slices.Chunk(request, 1+r.IntN(32<<10)+1<<10))
		b = rig.Frame(b, frRequest, []uint64{*last, uint64(len(request) + 10*(r.IntN(8)/7))}, pieces[0])
		for _, piece := range pieces[1:] {
			if r.IntN(4) > 0 {
				b = rig.Frame(b, frData, []uint64{*last}, piece)
			}
		}
		return b
	case frOpen:
		*last += 1 + r.Uint64N(2)
		request := randomRequest(r, pick(r, "\x02", "\x02", "\x02", "\x01"))
		return rig.Frame(b, frOpen, []uint64{*last, pick[uint64](r, 1<<10, 5000, 1<<20)}, request[:min(len(request), 30_000)])
	case frCancel:
		return rig.Frame(b, frCancel, append(id, r.Uint64N(6)), nil)
	case frGrant:
		return rig.Frame(b, frGrant, append(id, pick[uint64](r, 0, 1, 1000, 100_000)), nil)
	case frBlocked:
		return rig.Frame(b, frBlocked, id, nil)
	case frBytes:
		return rig.Frame(b, frBytes, id, bytes.Repeat([]byte("\x07"), 1+r.IntN(50)))
	case frPing:
		return rig.Frame(b, frPing, nil, make([]byte, 8))
	case frSettings:
		return rig.Frame(b, frSettings, nil, []byte{1, 1, 9, 9})
	}
	if r.IntN(8) > 0 {
		return b // it ends most sessions
	}
	return rig.Frame(b, frData, id, []byte("\x07"))
}

// randomSession is one session of a client that says anything, a step at a time: it goes
// on when the server has answered a ping, or has ended the session.
func randomSession(a, b host.Host, r *rand.Rand) {
	st, err := a.NewStream(context.Background(), b.ID(), rig.Sessions)
	if err != nil {
		return
	}
	defer func() { _ = st.Reset() }()
	_ = st.SetDeadline(time.Now().Add(20 * time.Second))
	answered := make(chan uint64, 100)
	go func() {
		defer close(answered)
		br := bufio.NewReader(st)
		for {
			n, err := binary.ReadUvarint(br)
			frame := make([]byte, min(n, 1<<16))
			if _, err2 := io.ReadFull(br, frame); err != nil || err2 != nil {
				return
			}
			if frame[0] == frPong && frame[1] == 1 {
				answered <- binary.BigEndian.Uint64(frame[1:])
			}
		}
	}()
	out, last := slices.Clone(rig.Settings), uint64(0)
	for step := range 1 + r.Uint64N(8) {
		for range 1 + r.IntN(10) {
			out = clientFrames(out, r, &last)
		}
		out = rig.Frame(out, frPing, nil, binary.BigEndian.AppendUint64(nil, 1<<56|step))
		if _, err := st.Write(out); err != nil {
			return
		}
		if _, lives := <-answered; !lives {
			return
		}
		out = out[:0]
	}
	if r.IntN(2) == 0 {
		_ = st.Close()
	}
}

// Not parallel: it looks for goroutines of the library that stay.
func TestServerOfRandomClients(t *testing.T) {
	seed := newSeed(t)
	a, b := rig.NewHosts(t)
	s := rig.Serve(t, b, unruly{}, new(rig.SyncBuffer).Option(),
		rpc.WithServerLimits(rpc.Limits{CallsPerPeer: 8, Calls: 6, MessageSize: 200_000}),
		rpc.WithAuthorizeFunc(func(_ peer.ID, _, method string) bool { return method != "Divide" }))
	gives := rpc.NewServerStream[int, []byte]("Typed", "Give")
	if err := gives.Handle(s, func(ctx context.Context, _ int, out *rpc.Sender[[]byte]) (err error) {
		for i := 0; i < 20 && err == nil; i++ {
			err = out.Send(ctx, make([]byte, 3000))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for w := range uint64(randomPeers) {
		wg.Go(func() {
			for round := range uint64(randomRounds) {
				randomSession(a, b, rand.New(rand.NewPCG(seed, w<<32|round)))
			}
		})
	}
	wg.Wait()
	rig.Eventually(t, "nothing is under way", func() bool { return s.State().UnderWay == 0 })
	rig.Released(t, b)
	rig.NoGoroutineStays(t)
	rig.Multiplies(t, rig.Client(t, a), b.ID())
}

// randomBytes are replies of some kind, or nearly.
func randomBytes(r *rand.Rand) (b []byte) {
	const failure = "\x84\xa5Error\xa3boo\xa4Code\xcd\xff\xff\xa7ErrType\x07\xa7Details\x82\xafrpc.retry-after\xa3-9h\xaarpc.unsent\xa4true"
	for range 1 + r.IntN(3) {
		b = append(b, pick(r, "\xc0\x07", "\x80\x07", "\xc0", "\xc1", "\xc0\xa3abc", "\x81\xa5Begun\x01", "\x81\xa6Header\x81\xa1a\xa1b", "\x81\xa7Trailer\x81\xa1a\xa1b",
			"\x81\xa6Header\x80", failure+"\xc0", failure, "\x82\xa6Header\x81\xa1a\xa1b\xa7Trailer\x80\xc1", "\xc0\xdb\x7f\xff\xff\xff", "\xda\x10\x00aaa",
			strings.Repeat("\xc0\xa0", 400), strings.Repeat("\x81\xa5Begun\x01", 400), "\xc0\xc0")...)
	}
	return b
}

// serverFrames appends what a server may say next, or not quite.
func serverFrames(b []byte, r *rand.Rand) []byte {
	id, body := []uint64{1 + r.Uint64N(4)}, randomBytes(r)
	switch k := pick[byte](r, frReply, frReply, frBytes, frBytes, frBytes, frEnd, frGrant, frGrant, frBlocked, frAbort, frRefuse, frGoAway, frSettings, frData); k {
	case frReply:
		return rig.Frame(b, k, append(id, uint64(len(body)+r.IntN(8)/7)), body)
	case frBytes, frEnd:
		return rig.Frame(b, k, id, body)
	case frGrant:
		return rig.Frame(b, k, append(id, pick[uint64](r, 0, 1, 1<<20, 1<<31)), nil)
	case frBlocked, frAbort:
		return rig.Frame(b, k, id, nil)
	case frRefuse:
		return rig.Frame(b, k, append(id, pick[uint64](r, 14, 8, 0, 1<<63)), []byte("\xff\x00refused"))
	case frGoAway:
		return rig.Frame(b, k, []uint64{r.Uint64N(6), pick[uint64](r, 0, 14, 1<<40)}, []byte("go"))
	case frSettings:
		return rig.Frame(b, k, nil, []byte{1, 3, 3, 0x80, 0x80, 0x80, 0x80, 0x20})
	}
	if r.IntN(8) > 0 {
		return b // it ends most sessions
	}
	return rig.Frame(b, frData, id, []byte("\x07"))
}

// randomServer makes b one that says anything, once something has come.
func randomServer(b host.Host, seed uint64) {
	var streams atomic.Uint64
	handle := func(p protocol.ID, say func(st network.Stream, r *rand.Rand)) {
		b.SetStreamHandler(p, func(st network.Stream) {
			defer func() { _ = st.Reset() }()
			_ = st.SetDeadline(time.Now().Add(20 * time.Second))
			r := rand.New(rand.NewPCG(seed, streams.Add(1)))
			if _, err := st.Read(make([]byte, 4096)); err == nil {
				say(st, r)
			}
		})
	}
	handle(rig.Sessions, func(st network.Stream, r *rand.Rand) {
		out := rig.Frame(nil, frSettings, nil, binary.AppendUvarint([]byte{1, pick[byte](r, 0, 1, 5, 100), 3}, pick[uint64](r, 0, 5000, 1<<63)))
		for range 1 + r.IntN(6) {
			for range r.IntN(6) {
				out = serverFrames(out, r)
			}
			if _, err := st.Write(out); err != nil {
				return
			}
			out = out[:0]
			if _, err := st.Read(make([]byte, 4096)); err != nil { // the next call, or part of it
				return
			}
		}
	})
	for _, p := range []protocol.ID{rig.Extended, rig.Protocol} {
		handle(p, func(st network.Stream, r *rand.Rand) {
			if _, err := st.Write(randomBytes(r)); err == nil && r.IntN(2) == 0 {
				_ = st.CloseWrite()
			}
		})
	}
}

var randomCalls = []func(ctx context.Context, c *rpc.Client, dest peer.ID){
	func(ctx context.Context, c *rpc.Client, dest peer.ID) {
		_, _ = rpc.NewMethod[int, int]("Svc", "Unary").Call(ctx, c, dest, 7)
	},
	func(ctx context.Context, c *rpc.Client, dest peer.ID) {
		_ = c.CallContext(ctx, dest, "Svc", "Unary", make([]byte, 20_000), new(string))
	},
	func(ctx context.Context, c *rpc.Client, dest peer.ID) {
		for range rpc.NewServerStream[int, []byte]("Svc", "Gives").Call(ctx, c, dest, 1) {
		}
	},
	func(ctx context.Context, c *rpc.Client, dest peer.ID) {
		call := rpc.NewClientStream[[]byte, string]("Svc", "Takes").Open(ctx, c, dest)
		for range 10 {
			if call.Send(ctx, make([]byte, 5000)) != nil {
				break
			}
		}
		_, _ = call.Finish(ctx)
	},
	func(ctx context.Context, c *rpc.Client, dest peer.ID) {
		call := rpc.NewDuplex[[]byte, string]("Svc", "Both").Open(ctx, c, dest)
		defer call.Close()
		_ = call.Send(ctx, make([]byte, 10))
		_, _ = call.Begun(ctx)
		_, _ = call.Header(ctx)
		_ = call.Send(ctx, make([]byte, 2000))
		for {
			if _, err := call.Receive(ctx); err != nil {
				break
			}
		}
		_ = call.Trailer()
	},
	func(ctx context.Context, c *rpc.Client, dest peer.ID) {
		args, replies := make(chan []byte, 3), make(chan string, 10_000)
		args <- make([]byte, 100)
		args <- make([]byte, 3000)
		_ = c.Stream(ctx, dest, "Svc", "Both", args, replies)
	},
}

// Not parallel: it looks for goroutines of the library that stay.
func TestClientOfARandomServer(t *testing.T) {
	seed := newSeed(t)
	var wg sync.WaitGroup
	var clients []*rpc.Client
	var hosts []host.Host
	for w := range uint64(randomPeers) {
		a, b := rig.NewHosts(t)
		randomServer(b, seed+w)
		c := rig.Client(t, a, rpc.WithClientLimits(rpc.Limits{MessageSize: 200_000}))
		clients, hosts = append(clients, c), append(hosts, a)
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1<<32|w))
			for range randomRounds {
				var calls sync.WaitGroup
				for range 1 + r.IntN(4) { // of one session
					call, patience := pick(r, randomCalls...), time.Duration(20+r.IntN(80))*time.Millisecond
					calls.Go(func() {
						ctx, cancel := context.WithTimeout(context.Background(), patience)
						defer cancel()
						call(ctx, c, b.ID())
					})
				}
				calls.Wait()
			}
		})
	}
	wg.Wait()
	for i, c := range clients {
		rig.Eventually(t, "nothing is under way", func() bool { return c.State().UnderWay == 0 })
		_ = c.Close()
		rig.Released(t, hosts[i])
	}
	rig.NoGoroutineStays(t)
}
