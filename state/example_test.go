package state_test

import (
	"context"
	"fmt"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/state"
)

// Two States of a server, or a client, tell what has come between them.
func Example() {
	server := rpc.NewServer(nil, "/example/1.0", rpc.WithLocalCallsCounted(true)) // in a program: a host
	defer server.Close()
	client := rpc.NewClientWithServer(nil, "/example/1.0", server)
	before := server.State()
	for range 3 {
		_ = client.CallContext(context.Background(), "", "Clock", "Now", struct{}{}, new(int))
	}
	now := server.State()
	since := now.Local.Latency.Since(before.Local.Latency)
	fmt.Println(since.Count(), "calls,", now.Local.Failures(), "failed, fast:", since.Quantile(0.99) < time.Minute)
	fmt.Println(report(now.Side, now.Places))
	// Output:
	// 3 calls, 3 failed, fast: true
	// 0 of 16384 places, nothing is wrong
}

// report says what may be wrong with a server.
func report(s state.Side, places state.Places) string {
	text := fmt.Sprintf("%d of %d places, ", places.Used, places.Most)
	var all state.Latency
	for _, m := range s.Methods { // at most MostMethods, and Other
		if all = all.Plus(m.Latency); slow(m) {
			text += m.Service + "." + m.Method + " is slow, "
		}
	}
	for _, p := range s.Peers { // at most MostPeers, and Other
		if p.ID != state.Other && failing(p) {
			text += p.ID + " fails, "
		}
	}
	for _, c := range s.Calls { // at most MostCalls, the oldest
		text += waits(c)
	}
	for _, c := range s.Refused {
		text += advice(c)
	}
	if held(s.Memory) > 1<<30 {
		text += "more than a gibibyte is held, "
	}
	if all.Count() > 0 && most(all.Buckets).From > time.Second {
		text += "most calls take more than a second, "
	}
	if len(text) > 0 && text[len(text)-2:] == ", " && len(s.Calls)+len(s.Refused) == 0 {
		text += "nothing is wrong"
	}
	return text
}

func slow(m state.Method) bool  { return m.Latency.Quantile(0.5) > time.Second }
func failing(p state.Peer) bool { return p.Failures() > p.Calls/2 }
func held(m state.Memory) int64 { return m.Reserved + m.Lent + m.Decoded }

// waits says what a client's call waits for.
func waits(c state.Call) string {
	switch c.Phase {
	case state.Connecting:
		return c.Peer + " is not reached, "
	case state.Pausing:
		return fmt.Sprintf("attempt %d of %s fails, ", c.Attempt, c.Method)
	}
	return ""
}

// advice says why calls were refused.
func advice(c state.Count) string {
	switch c.Name {
	case state.Denied:
		return "see the policy, "
	case state.NoMethod, state.BadRequest:
		return "there are peers of another version, "
	case state.ShuttingDown:
		return "it is about to end, "
	}
	return "raise " + c.Name + ", "
}

// most is where most calls are.
func most(all []state.Bucket) (b state.Bucket) {
	for _, next := range all {
		if next.N > b.N {
			b = next
		}
	}
	return b
}

// The lists of a State have ends, whatever strangers make up.
func Example_most() {
	fmt.Println(state.MostPeers, state.MostMethods, state.MostCalls)
	// Output: 256 1024 256
}
