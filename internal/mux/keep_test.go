package mux

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
)

// What is kept of messages that come in pieces is nobody else's, no larger than
// it is long, and accounted for no more.
func TestMessagesAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		requests := make(map[string][]byte) // as they came
		lim := testLimits()
		lim.Message = 8 << 20
		c, s := newSession(lim, func(in *Incoming) {
			b, kept, err := in.Whole(t.Context(), true)
			if err != nil || kept && cap(b) != len(b) {
				t.Errorf("a request of %d bytes keeps %d, %v", len(b), cap(b), err)
			}
			reply := bytes.Clone(b)
			if in.Release(); kept {
				requests[string(b)] = b
			}
			if in.s.account.Used() != 0 {
				t.Errorf("%d bytes are accounted for", in.s.account.Used())
			}
			_ = in.Reply(reply, nil)
		})
		replies := make(map[string][]byte)
		for _, n := range []int{1, smallMessage, FirstPiece - 1, FirstPiece, FirstPiece + 1, MaxFrame, 5*FirstPiece + 7, 1 << 20, 4<<20 + 1} {
			for range 3 {
				request := bytes.Repeat([]byte(fmt.Sprint(len(replies), ",")), n)[:n]
				reply, err := c.Call(t.Context(), &Request{Head: request, Keep: true, Code: nobody})
				if err != nil || !bytes.Equal(reply.Bytes(), request) {
					t.Fatalf("%d bytes: %v", n, err)
				}
				b, kept := reply.Keep()
				if kept != (n > FirstPiece) || kept && cap(b) != len(b) || !kept && requests[string(request)] != nil {
					t.Errorf("%d bytes of %d: the reply is kept %v, the request %v", n, cap(b), kept, requests[string(request)] != nil)
				}
				if _, again := reply.Keep(); again {
					t.Error("a reply is kept twice")
				}
				if reply.Release(); kept {
					replies[string(request)] = b
				}
			}
		}
		if len(requests) == 0 { // one whose pieces have all come before it is waited for is copied
			t.Error("no request is kept")
		}
		for _, all := range []map[string][]byte{requests, replies} {
			for want, b := range all {
				if string(b) != want {
					t.Errorf("%d bytes have changed", len(b))
				}
			}
		}
		c.Close(ErrIdle)
		c.check(t)
		s.check(t)
	})
}
