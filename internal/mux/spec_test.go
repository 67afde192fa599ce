package mux

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
)

// rows are those of the tables of docs/session.md that end in bytes.
func rows(t *testing.T) map[string]string {
	t.Helper()
	doc, err := os.ReadFile("../../docs/session.md")
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| (.*) \\| `([0-9a-f ]+)` \\|$").FindAllStringSubmatch(string(doc), -1) {
		all[m[1]] = m[2]
	}
	return all
}

// request and reply are those of the examples.
const (
	exampleRequest = "\x83\xa4Name\xa5Arith\xa6Method\xa8Multiply\xa4Kind\x01\x82\xa1A\x02\xa1B\x03"
	exampleReply   = "\xc0\x06"
	exampleOpen    = "\x83\xa4Name\xa4Feed\xa6Method\xa4List\xa4Kind\x02\xa2a/\xc1"
	exampleItem    = "\xc0\xa3a/b"
	exampleBack    = "\x82\xa6Header\x81\xa1n\xa11\xa7Trailer\x81\xa1m\xa12\x06"
)

func TestExamplesOfTheSpecification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ping = "\x00\x00\x00\x00\x00\x00\x00\x05"
		want := map[string][]byte{
			"settings of a client: messages of 17 MiB":                                            settingsFrame(settingMessage, 17<<20),
			"settings of a server: 1,024 calls, messages of 17 MiB, windows of 8 KiB":             settingsFrame(settingCalls, 1024, settingMessage, 17<<20, settingWindow, 8<<10),
			"open 3: `Feed.List` of \"a/\", its arguments have ended; 32 KiB of replies may come": openFrame(3, 32<<10, exampleOpen),
			"open 5: `Feed.List`, no argument yet; 1,024 bytes of replies may come":               openFrame(5, 1024, exampleOpen[:len(exampleOpen)-4]),
			"bytes of call 3: the reply \"a/b\"":                                                  bytesFrame(kindBytes, 3, exampleItem),
			"bytes of call 5: an argument, 7":                                                     bytesFrame(kindBytes, 5, "\x07"),
			"end of call 3: the reply \"a/b\" is the last":                                        bytesFrame(kindEnd, 3, exampleItem+"\xc1"),
			"end of call 3: there is no other reply":                                              bytesFrame(kindEnd, 3, "\xc1"),
			"grant of 16 KiB for call 3":                                                          appendFrame(nil, kindGrant, []uint64{3, 16 << 10}),
			"blocked: more is to be sent of call 3":                                               appendFrame(nil, kindBlocked, []uint64{3}),
			"request 1: `Arith.Multiply` of {A: 2, B: 3}":                                         wholeRequest(1, exampleRequest),
			"reply 1: 6": wholeReply(1, exampleReply),
			"reply 1: 6, with the header {n: 1} and the trailer {m: 2}": wholeReply(1, exampleBack),
			"request 2: 100,000 bytes, of which these are the first":    requestFrame(2, 100_000, "first"),
			"data of call 2": dataFrame(2, "more"),
			"cancel of call 2, its deadline has passed":      cancelFrame(2, 4),
			"cancel of call 2: no more of the request comes": cancelFrame(2, noMore),
			"abort of call 2":                   abortFrame(2),
			"refusal of call 3: too many calls": refuseFrame(3, refusedForNow, "too many calls at once"),
			"ping":                              pingFrame(kindPing, ping),
			"pong":                              pingFrame(kindPong, ping),
			"go-away after call 300: the server is shutting down": goAwayFrame(300, 14, "the server is shutting down"),
			"a frame of a kind that is not known yet":             appendFrame(nil, firstExtension, nil, []byte("?")),
		}
		want["client"], want["server"] = recordedSession(t, func(c *testClient) {
			if reply, err := c.roundTrip(t.Context(), []byte(exampleRequest)); err != nil || string(reply) != exampleReply {
				t.Errorf("got %q, %v", reply, err)
			}
		})
		want["client of a stream"], want["server of a stream"] = recordedSession(t, func(c *testClient) {
			f, err := c.Open([]byte(exampleOpen), 4, Deadline{})
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(f); err != nil || string(got) != exampleItem+"\xc1" {
				t.Errorf("got %q, %v", got, err)
			}
			f.Close()
		})
		got := rows(t)
		for name, b := range want {
			if s := fmt.Sprintf("% x", b); got[name] != s {
				t.Errorf("%s: the page has %q, not\n| %s | `%s` |", name, got[name], name, s)
			}
			delete(got, name)
		}
		for name := range got {
			t.Errorf("%s: not known here", name)
		}
	})
}

// recordedSession returns what both sides of a session write in which call makes a call.
func recordedSession(t *testing.T, call func(*testClient)) (client, server []byte) {
	lim := testLimits()
	lim.Calls, lim.Message = 1024, 17<<20
	a, b := newPipe(1 << 16)
	x, y := newPipe(1 << 16)
	go relay(y, a, func(b []byte) error { client = append(client, b...); return nil })
	go relay(a, y, func(b []byte) error { server = append(server, b...); return nil })
	c := newTestClient(x, lim)
	s := newTestServer(b, lim, func(in *Incoming) {
		if in.Flow != nil {
			_ = in.Flow.Give([]byte(exampleItem+"\xc1"), false, true)
			return
		}
		_ = in.Reply([]byte(exampleReply), nil)
	})
	call(c)
	c.Close(ErrIdle)
	c.check(t)
	s.check(t)
	synctest.Wait()
	return client, server
}

// The figures that the page gives are the code's.
func TestFiguresOfTheSpecification(t *testing.T) {
	doc, err := os.ReadFile("../../docs/session.md")
	if err != nil {
		t.Fatal(err)
	}
	for what, n := range map[string]int{
		"from 1 to %s |": MaxFrame, "pieces of %s bytes": FirstPiece, "longer than\n%s bytes": FirstPiece,
		"At most %s bytes are sent": maxText, "has at most %s.": initialCalls, "Kinds 16 to %s,": firstExtension - 1,
		"less than %s bytes": leastWindow, "up to %s MiB, while": mostWindow >> 20, "session have at most %s MiB": mostWindows >> 20,
		"what has more than %s KiB": smallMessage >> 10, "lets %s KiB of them wait": maxBacklog >> 10, "with %s bytes more": backlogOfCall, "(%s KiB a tick": lively >> 10, "A server waits %s s for it": int(lingerTime.Seconds()),
	} {
		number := fmt.Sprint(n)
		if n > 999 {
			number = fmt.Sprintf("%d,%03d", n/1000, n%1000)
		}
		if text := fmt.Sprintf(what, number); !strings.Contains(string(doc), text) {
			t.Errorf("the page lacks %q", text)
		}
	}
}
