// Package fan has the options of calls of many peers, such as [Method.CallAll]:
//
//	got, err := Read.CollectAll(ctx, client, replicas, key, fan.Quorum(2))       // a read: others are cancelled
//	got, err := Write.CollectAll(ctx, client, replicas, item, fan.WriteQuorum(2)) // a write: others go on
//
// Every call option, such as [rpc.CallTimeout], is one of them too, but for
// [rpc.CallReplyMetadata]. Of options that
// say different things the last counts. docs/calling.md says which form is for what.
//
// [Method.CallAll]: https://pkg.go.dev/github.com/libp2p/go-libp2p-gorpc#Method.CallAll
// [rpc.CallTimeout]: https://pkg.go.dev/github.com/libp2p/go-libp2p-gorpc#CallTimeout
package fan

import (
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/many"
)

// Option configures a call of many peers. Options are made by this package, and are
// the call options of package rpc; programs cannot implement it.
type Option interface{ ApplyFan(*many.Options) }

type option func(*many.Options)

func (o option) ApplyFan(f *many.Options) { o(f) }

// InFlight bounds how many peers' calls are under way at once, or have ended
// with a result that the loop has not come to yet. Each has a goroutine. Below
// 1, the default, all are made at once, so that no peer waits for another; so
// they are by a call that sends to many, such as Duplex.OpenAll.
func InFlight(n int) Option {
	return option(func(f *many.Options) { f.InFlight = n })
}

// First ends the results when n peers have succeeded: their calls have ended well.
// The calls that are still under way are cancelled, so it is for reads. If fewer
// succeed, all results come. Below 1, the default, all come.
func First(n int) Option { return enough(n, false, false) }

// Quorum is [First] that also ends the results as soon as so many peers have failed
// that n can no longer succeed. No call is made if there are fewer than n peers. It is
// for reads: it cancels the calls that are under way. For writes see [WriteQuorum].
func Quorum(n int) Option { return enough(n, true, false) }

// WriteQuorum ends the results when [Quorum] does, and lets the calls that are under
// way go on: it is for writes, which are to reach every peer. Peers that wait for
// [InFlight] are still called if n have succeeded. A loop that is left early lets calls
// go on, too. Until the results have ended, the calls end with the caller's context
// ([Detached] says otherwise), and from then on by their CallTimeout only, 30 s later
// if they have none, or when the client is closed. Results.Rest tells what became of
// them. The argument is theirs until then: do not change what it points to.
func WriteQuorum(n int) Option { return enough(n, true, true) }

func enough(n int, strict, write bool) Option {
	return option(func(f *many.Options) { f.Enough, f.Strict, f.Write = n, strict, write })
}

// Detached makes the calls of a [WriteQuorum] go on when the caller's context ends
// before there is an answer, too: the context then bounds only how long the caller
// waits, and the results end with its error. Default false: the calls end with it. It
// does nothing without WriteQuorum.
func Detached(on bool) Option {
	return option(func(f *many.Options) { f.Detached = on })
}

// Answers makes errors for which is returns true count as successes for [First],
// [Quorum] and [WriteQuorum], and for the error of CollectAll: "not found", say, is the
// answer of a peer that works. They stay errors in the results. is gets the errors that
// the results have, in the goroutine that takes those. Default nil: none count.
func Answers(is func(err error) bool) Option {
	return option(func(f *many.Options) { f.Answers = is })
}

// Buffer sets how many arguments a call that sends to many, such as Duplex.OpenAll,
// holds for each peer, beside those that are on their way to it. Default 16; below 0
// is 0.
func Buffer(n int) Option {
	return option(func(f *many.Options) { f.Buffer = max(n, 0) })
}

// StallTimeout makes a call that sends to many, such as Duplex.OpenAll, give up a peer
// that has had no room for an argument for d: its error has codes.ResourceExhausted,
// and the others go on without it. 0, the default, is no limit: they wait for it.
func StallTimeout(d time.Duration) Option {
	return option(func(f *many.Options) { f.Stall = d })
}
