package mux

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
)

// lanePeer is a client played by hand, of a server whose replies are as long as
// the requests say.
type lanePeer struct {
	*raw
	last   uint64
	length map[uint64]uint64 // of replies that have begun
	got    map[uint64]uint64
}

func newLanePeer(t *testing.T) (*lanePeer, *testServer) {
	a, b := newPipe(1 << 10)
	s := newTestServer(b, testLimits(), func(in *Incoming) {
		_ = in.Reply(nil, make([]byte, binary.BigEndian.Uint32(in.First())))
	})
	p := &lanePeer{newRaw(t, a), 0, make(map[uint64]uint64), make(map[uint64]uint64)}
	p.send(settingsFrame())
	p.expect(kindSettings)
	return p, s
}

// ask makes so many calls, whose replies have that length, and returns the first
// one's ID.
func (p *lanePeer) ask(n, length int) uint64 {
	first := p.last + 1
	for range n {
		p.last++
		p.send(wholeRequest(p.last, string(binary.BigEndian.AppendUint32(nil, uint32(length)))))
	}
	synctest.Wait() // the replies wait for their turn
	return first
}

// next reads a piece, and returns the ID of the reply that it has ended, or 0.
func (p *lanePeer) next() (ended uint64) {
	f, err := p.read()
	switch {
	case err != nil:
		p.t.Fatal(err)
	case f.kind == kindPing:
		p.send(pingFrame(kindPong, string(f.body)))
		return 0
	case f.kind == kindReply:
		p.length[f.id] = f.num
	case f.kind != kindData:
		return 0
	}
	p.got[f.id] += uint64(f.size)
	if p.got[f.id] < p.length[f.id] {
		return 0
	}
	delete(p.length, f.id)
	return f.id
}

// Of large messages no more begin than there is room for: a few of those that
// are not very large, and of the others few, or one.
func TestFewLargeMessagesAreUnderWayAtOnce(t *testing.T) {
	const calls = 8
	for _, c := range []struct{ length, most int }{
		{mediumUnder / 3, 3}, {largeMessage, 8}, {largeUnder / 2, 2}, {largeUnder + 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, s := newLanePeer(t)
			p.ask(calls, c.length)
			begun := 0
			for ended := 0; ended < calls; {
				if p.next() != 0 {
					ended++
				}
				begun = max(begun, len(p.length))
			}
			if begun > c.most || begun < min(c.most, 2) {
				t.Errorf("%d of %d bytes are under way at once, and %d may be", begun, c.length, c.most)
			}
			_ = p.st.Close()
			s.check(t)
		})
	}
}

// One that is not very large does not wait for those that are.
func TestMediumMessageDoesNotWaitForLargeOnes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newLanePeer(t)
		p.ask(4, largeUnder)
		p.next()
		medium := p.ask(1, largeMessage-1)
		for ended := uint64(0); ended != medium; {
			if ended = p.next(); ended != 0 && ended != medium {
				t.Fatalf("the large reply %d was first", ended)
			}
		}
		_ = p.st.Reset()
		s.check(t)
	})
}

// A held message that is given up does not leave those behind it waiting, for
// which there is room.
func TestHeldMessageThatIsGivenUpLetsTheNextBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newLanePeer(t)
		first := p.ask(1, largeUnder/2+1)
		held := p.ask(1, largeUnder/2)
		next := p.ask(1, largeMessage)
		p.send(cancelFrame(held, canceled))
		synctest.Wait()
		for p.length[next] == 0 {
			if p.next() == first {
				t.Fatal("it has begun only when the first had ended")
			}
		}
		_ = p.st.Reset()
		s.check(t)
	})
}
