package mux

import (
	"fmt"
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
	exampleBack    = "\x82\xa6Header\x81\xa1n\xa11\xa7Trailer\x81\xa1m\xa12\x06"
)

func TestExamplesOfTheSpecification(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ping = "\x00\x00\x00\x00\x00\x00\x00\x05"
		want := map[string][]byte{
			"settings of a client: messages of 17 MiB":              settingsFrame(settingMessage, 17<<20),
			"settings of a server: 1,024 calls, messages of 17 MiB": settingsFrame(settingCalls, 1024, settingMessage, 17<<20),
			"request 1: `Arith.Multiply` of {A: 2, B: 3}":           wholeRequest(1, exampleRequest),
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
		want["client"], want["server"] = recordedSession(t)
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

// recordedSession returns what both sides of a session with one call write.
func recordedSession(t *testing.T) (client, server []byte) {
	lim := testLimits()
	lim.Calls, lim.Message = 1024, 17<<20
	a, b := newPipe(1 << 16)
	x, y := newPipe(1 << 16)
	go relay(y, a, func(b []byte) error { client = append(client, b...); return nil })
	go relay(a, y, func(b []byte) error { server = append(server, b...); return nil })
	c := newTestClient(x, lim)
	s := newTestServer(b, lim, func(in *Incoming) { _ = in.Reply([]byte(exampleReply), nil) })
	if reply, err := c.roundTrip(t.Context(), []byte(exampleRequest)); err != nil || string(reply) != exampleReply {
		t.Fatalf("got %q, %v", reply, err)
	}
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
		"At most %s bytes are sent": maxText, "has at most %s.": initialCalls, "Kinds 11 to %s,": firstExtension - 1,
		"lets %s KiB of them wait": maxBacklog >> 10, "with %s bytes more": backlogOfCall, "(%s KiB a tick": lively >> 10, "A server waits %s s for it": int(lingerTime.Seconds()),
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
