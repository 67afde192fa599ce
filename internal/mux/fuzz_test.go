package mux

import (
	"bytes"
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// What parses is what is written again.
func FuzzFrame(f *testing.F) {
	for _, b := range badFrames {
		f.Add(b)
	}
	for _, b := range [][]byte{
		settingsFrame(1, 2, 3, 1<<63), wholeRequest(1, "x"), requestFrame(1<<63, 1<<63, "x"), replyFrame(300, 70_000, "x"),
		dataFrame(1, "x"), cancelFrame(1, 0), abortFrame(1), refuseFrame(1, 14, "x"), goAwayFrame(1, 14, "x"),
		pingFrame(kindPing, "12345678"), pingFrame(kindPong, "12345678"), openFrame(1, 1<<10, "x"), bytesFrame(kindBytes, 1, "x"), bytesFrame(kindEnd, 1, ""),
		appendFrame(nil, kindGrant, []uint64{1, 1 << 20}), appendFrame(nil, kindBlocked, []uint64{1}), appendFrame(nil, firstExtension, nil, []byte("x")),
	} {
		f.Add(b[1:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, err := parseFrame(b, 0)
		if err != nil {
			if !errors.Is(err, errFrame) {
				t.Errorf("got %v", err)
			}
			return
		}
		var numbers []uint64
		switch {
		case fr.unsure:
		case fr.kind == kindData, fr.kind == kindAbort, fr.kind == kindBytes, fr.kind == kindEnd, fr.kind == kindBlocked:
			numbers = []uint64{fr.id}
		case fr.kind != kindSettings && fr.kind != kindPing && fr.kind != kindPong:
			numbers = []uint64{fr.id, fr.num}
		}
		again, err := parseFrame(appendFrame(nil, fr.kind, numbers, fr.body)[uvarintLen(uint64(len(b))):], 0)
		if len(appendFrame(nil, fr.kind, numbers, fr.body)) <= len(b) && err != nil {
			return // numbers that were longer than need be: the length is another
		}
		if err == nil && (again.kind != fr.kind || again.id != fr.id || again.num != fr.num || !bytes.Equal(again.body, fr.body)) {
			t.Errorf("%+v became %+v", fr, again)
		}
		// Without its body it says the same.
		head := min(len(b), maxHead)
		skimmed, err := parseFrame(b[:head], len(b)-head)
		if err != nil || skimmed.kind != fr.kind || skimmed.id != fr.id || skimmed.num != fr.num || skimmed.size != fr.size {
			t.Errorf("%+v is skimmed as %+v, %v", fr, skimmed, err)
		}
	})
}

// program is what a fuzzer makes the sides of a session do: numbers, one after
// the other, and zeros when there are no more.
type program struct {
	left    []byte
	mangled bool // some of what was sent was no frame: the next is read as anything
}

func (p *program) next() int {
	if len(p.left) == 0 {
		return 0
	}
	b := p.left[0]
	p.left = p.left[1:]
	return int(b)
}

// sizes are those of messages and pieces, around all bounds.
var sizes = []uint64{0, 1, 5, 100, readBuffer - 8, readBuffer + 8, smallMessage, smallMessage + 1, FirstPiece, FirstPiece + 1,
	MaxFrame - maxHead, 3 * FirstPiece, 200 << 10, 1 << 31, 1 << 40}

func (p *program) size() uint64 { return sizes[p.next()%len(sizes)] }

var zeros = strings.Repeat("\x00", MaxFrame-maxHead)

// frame returns a frame of any kind, most of them legal.
func (p *program) frame() []byte {
	k, id := kind(p.next()), uint64(p.next()%16)
	num := p.size()
	piece := zeros[:min(p.size(), uint64(len(zeros)))]
	switch k %= lastKind + 4; k {
	case kindRequest, kindReply:
		return appendFrame(nil, k, []uint64{id, num}, []byte(piece[:min(num, uint64(len(piece)))]))
	case kindData:
		return dataFrame(id, piece)
	case kindCancel, kindGoAway:
		return appendFrame(nil, k, []uint64{id, num % 20})
	case kindRefuse:
		return refuseFrame(id, uint64([]int{refusedForNow, refusedForMemory, 3}[num%3]), "no")
	case kindAbort:
		return abortFrame(id)
	case kindOpen:
		return openFrame(id, max(num, leastWindow-1), piece)
	case kindBytes, kindEnd:
		return bytesFrame(k, id, piece)
	case kindGrant:
		return appendFrame(nil, k, []uint64{id, num})
	case kindBlocked:
		return appendFrame(nil, k, []uint64{id})
	case kindPing, kindPong:
		return pingFrame(k, "12345678")
	case kindSettings:
		return settingsFrame(id%4, num)
	case 0, lastKind + 1:
		p.mangled = true
		return []byte{byte(p.next()), byte(p.next()), byte(p.next())}
	}
	return appendFrame(nil, firstExtension+k, nil, []byte(piece))
}

// play does what the program says until its end; act is for what is no frame.
func (p *program) play(st *stream, act func(op int)) {
	for steps := 0; len(p.left) > 0 && steps < 200; steps++ {
		switch op := p.next(); {
		case op%8 < 5:
			b := p.frame()
			if op >= 128 && len(b) > 1 {
				b = b[:1+p.next()%(len(b)-1)]
				p.mangled = true
			}
			written := make(chan error, 1)
			go func() {
				_, err := st.Write(b)
				written <- err
			}()
			select {
			case err := <-written:
				if err != nil {
					return
				}
			case <-time.After(10 * time.Minute): // long after any limit
				panic("the session takes nothing, and does not end")
			}
		case op%8 == 5:
			time.Sleep(time.Duration(p.next()) * time.Second / 2)
		default:
			act(op)
		}
		if p.next()%2 == 0 {
			synctest.Wait()
		}
	}
}

// fuzzLimits are met by small programs.
func fuzzLimits() Limits {
	return Limits{Calls: 4, Message: 256 << 10, Silence: 15 * time.Second, Progress: 30 * time.Second,
		Idle: 5 * time.Minute, Settings: 10 * time.Second}
}

// steps are the bytes of a program.
func steps(n ...int) []byte {
	b := make([]byte, len(n))
	for i, s := range n {
		b[i] = byte(s)
	}
	return b
}

func addPrograms(f *testing.F) {
	const (
		s, rq, rp, dt, cn, ab, rf = int(kindSettings), int(kindRequest), int(kindReply), int(kindData), int(kindCancel), int(kindAbort), int(kindRefuse)
		pi, ga                    = int(kindPing), int(kindGoAway)
		op, by, en, gr, bl        = int(kindOpen), int(kindBytes), int(kindEnd), int(kindGrant), int(kindBlocked)
		memory                    = 1
	)
	open := []int{memory, 0, 0, s, 1, 0, 0, 0}
	add := func(more ...int) {
		f.Add(steps(append(open[:len(open):len(open)], more...)...))
		f.Add(steps(append([]int{0, 0, 0, s, 1, 0, 0, 0}, more...)...))
	}
	add(0, rq, 1, 2, 2, 0, 0, rp, 1, 2, 2, 0)                          // a call
	add(0, rq, 1, 12, 8, 0, 0, dt, 1, 0, 8, 0, 0, dt, 1, 0, 8, 0)      // in pieces
	add(0, rq, 1, 12, 8, 0, 0, cn, 1, 1, 0, 0, 0, dt, 1, 0, 8, 0)      // given up, and gone on with
	add(6, 0, 0, rp, 1, 12, 8, 0, 0, ab, 1, 0, 0, 0, 0, dt, 1, 0, 8)   // aborted, and gone on with
	add(6, 0, 0, rf, 1, 2, 0, 0, 6, 0, 0, rf, 2, 1, 0, 0)              // refused
	add(6, 0, 6, 0, 0, ga, 1, 2, 0, 0, 0, rp, 1, 2, 2, 0, 0, rq, 9, 2) // going away
	add(0, rq, 1, 13, 2, 0, 5, 255, 0)                                 // 2 GiB announced
	add(0, rq, 1, 14, 2, 0)
	add(0, rq, 2, 2, 2, 0, 0, rq, 1, 2, 2, 0)                                       // out of order
	add(0, rq, 1, 2, 2, 0, 0, rq, 1, 2, 2, 0)                                       // again
	add(0, op, 1, 8, 2, 0, 0, by, 1, 0, 3, 0, 0, gr, 1, 8, 0, 0, 0, en, 1, 0, 3, 0) // a stream
	add(0, op, 1, 8, 2, 0, 0, by, 1, 0, 8, 0, 0, by, 1, 0, 8, 0)                    // more than may come
	add(0, op, 2, 8, 12, 0, 0, gr, 2, 13, 0, 0, 0, gr, 2, 13, 0, 0)                 // granted too much
	add(0, op, 3, 3, 3, 0, 0, bl, 3, 0, 0, 0, 0, bl, 3, 0, 0, 0, 0, cn, 3, 1, 0, 0, 0, by, 3, 0, 8, 0)
	add(6, 0, 22, 0, 0, bl, 1, 0, 0, 0, 0, gr, 1, 3, 0, 0, 0, by, 1, 0, 3, 0, 0, ab, 1, 0, 0, 0, 0, en, 2, 0, 0, 0)
	add(22, 0, 22, 0, 22, 0, 0, rf, 1, 0, 0, 0, 0, rf, 2, 1, 0, 0, 0, ga, 3, 0, 0, 0)
	add(0, op, 2, 8, 2, 0, 5, 4, 0, 0, cn, 2, 1, 0, 0)      // given up before the last replies have gone
	add(22, 0, 0, gr, 1, 8, 0, 0, 0, ga, 0, 2, 0, 0)        // granted, and not taken
	add(0, op, 2, 8, 2, 0, 0, gr, 2, 0, 0, 0, 5, 255, 0, 0) // granted nothing
	add(5, 255, 0, 5, 255, 0, 0, pi, 0, 0, 0, 0)
	add(128, rq, 1, 12, 12, 40, 0, 5, 255, 0) // half a frame
	for id := 1; id < 8; id++ {               // a flood
		open = append(open, 0, rq, id, 2, 2, 1, 0, cn, id, 1, 0, 1)
	}
	add()
}

// A client that does anything: no panic, no goroutine or byte is left, every
// method ends, and each place is given back once.
func FuzzServer(f *testing.F) {
	addPrograms(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := program{left: b}
		synctest.Test(t, func(t *testing.T) {
			a, st := newPipe(1 << 16)
			s := &testServer{fate: newFate()}
			if p.next()%2 == 0 {
				s.mem.max = 150 << 10
			}
			s.start(st, fuzzLimits(), serveFuzz)
			reads := p.next()%4 != 3
			if reads {
				go func() { _ = newRaw(t, a).end() }()
			}
			p.play(a, func(op int) {
				switch {
				case op%32 == 6:
					s.GoAway(14, "away")
				case op%32 == 7:
					s.Close(errReset)
				}
			})
			if len(b)%2 == 0 {
				_ = a.Close()
			}
			// Without that, time ends it: nobody answers pings.
			s.check(t)
			_ = a.Reset()
		})
	})
}

// serveFuzz does all that a method can.
func serveFuzz(in *Incoming) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if in.Flow != nil {
		fuzzFlow(in)
		return
	}
	switch in.id % 8 {
	case 0:
		in.OnCancel(func(uint64, error) { cancel() })
		<-ctx.Done()
	case 1:
		_ = in.Reply(nil, []byte("early"))
	case 2:
		time.Sleep(time.Second)
		_ = in.Reply(make([]byte, 100<<10), make([]byte, 50<<10))
	case 3:
		runtime.Goexit()
	case 4: // forgets it
	case 5:
		if b, _, err := in.Whole(ctx, true); err == nil {
			in.Release()
			_ = in.Reply(make([]byte, len(b)), nil)
		}
	case 6:
		time.Sleep(time.Minute)
		echo(in)
	default:
		echo(in)
	}
}

// fuzzFlow does all that a streaming method can.
func fuzzFlow(in *Incoming) {
	f := in.Flow
	f.Skip(1)
	switch in.id % 8 {
	case 0: // reads nothing
		_ = give(f, make([]byte, 100<<10), 5_000)
	case 1:
		_ = f.Give([]byte("early"), false, true)
	case 2:
		f.CloseRead()
		time.Sleep(time.Second)
		_ = f.Give(make([]byte, 70<<10), false, true)
	case 3:
		runtime.Goexit()
	case 4: // forgets it
	case 5:
		go f.StopReading()
		_, _ = io.Copy(f, f)
		_ = f.Give(nil, false, true)
	case 6:
		time.Sleep(time.Minute)
		f.StopWriting()
		_, _ = io.Copy(f, f)
	default:
		_, _ = io.Copy(f, f)
		_ = f.Give(nil, false, true)
	}
}

// A server that does anything: every call ends once, and nothing is left.
func FuzzClient(f *testing.F) {
	addPrograms(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		p := program{left: b}
		synctest.Test(t, func(t *testing.T) {
			st, b := newPipe(1 << 16)
			c := &testClient{fate: newFate()}
			if p.next()%2 == 0 {
				c.mem.max = 150 << 10
			}
			c.Client = NewClient(st, &c.mem, fuzzLimits(), c.fate.ended)
			if p.next()%4 != 3 {
				go func() { _ = newRaw(t, b).end() }()
			}
			var calls sync.WaitGroup
			var others atomic.Bool // bytes in a reply, than those of its frames
			call := func(op int) {
				size := int(p.size() % (300 << 10))
				// One that waits for a place waits for ever where a server holds
				// all of them; and it ends while others end.
				patience := time.Hour
				if op >= 128 {
					patience = time.Duration(p.next()) * time.Second / 8
				}
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				request := make([]byte, size)
				r := &Request{Head: request[:size/2], Body: request[size/2:], Owned: size / 2, Keep: op%8 >= 4, Code: nobody}
				over := func(reply Reply, err error) {
					defer calls.Done() // which panics when a call ends twice
					defer cancel()
					if err == nil {
						b, kept := reply.Keep()
						if bytes.Count(b, []byte{0}) != len(b) {
							others.Store(true)
						}
						if kept && !r.Keep {
							t.Error("a reply is kept that nobody wanted to")
						}
						reply.Release()
					}
					clear(request) // nobody reads it any more
				}
				calls.Add(1)
				if op%32 >= 16 {
					c.Start(ctx, r, over)
					return
				}
				go func() { over(c.Call(ctx, r)) }()
			}
			stream := func(op int) {
				f, err := c.Open(make([]byte, 1+op), 1, Deadline{})
				if err != nil {
					return
				}
				timer := time.AfterFunc(time.Duration(op)*time.Second, func() { f.Cancel(canceled) })
				calls.Go(func() {
					defer f.Close()
					defer timer.Stop()
					var sending sync.WaitGroup
					sending.Go(func() { _ = give(&f.Flow, make([]byte, op<<10), 3_000) })
					if op%32 != 31 {
						b, _ := io.ReadAll(f)
						if bytes.Count(b, []byte{0}) != len(b) {
							others.Store(true)
						}
					}
					sending.Wait()
				})
			}
			call(0)
			call(0)
			p.play(b, func(op int) {
				switch {
				case op%64 == 63:
					c.Retire()
				case op%32 >= 22:
					stream(op)
				default:
					call(op)
				}
			})
			if len(p.left)%2 == 0 {
				_ = b.Close()
			}
			calls.Wait()
			if others.Load() && !p.mangled {
				t.Error("another's bytes")
			}
			c.Close(ErrIdle) // if it is not over
			c.check(t)
			_ = b.Reset()
		})
	})
}
