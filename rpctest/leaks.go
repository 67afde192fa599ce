package rpctest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// CheckLeaks fails the test if goroutines that were started after it are still
// running when the test has ended and everything that was set up after it has
// been closed. It gives them 10 seconds to end. Call it first in a test. Of
// goroutines that drain the arguments channel of a streaming call by name, which
// was left open, it says so, and of calls that go on after a fan.WriteQuorum.
//
// It looks at the goroutines of the whole process: a test that uses it must not
// run in parallel with others. A test that has failed for other reasons is not
// looked at.
func CheckLeaks(t testing.TB) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return
		}
		var err error
		for late := time.Now().Add(patience); ; {
			if err = goleak.Find(before); err == nil {
				return
			}
			if time.Now().After(late) {
				break
			}
		}
		t.Errorf("rpctest: goroutines outlive the test: %s%v", explained(err.Error()), err)
	})
}

// explanations are of the goroutines that a program can leave of the library, by the
// functions that they are in. Their creators have returned, and so no stack shows the
// call.
var explanations = []struct{ function, words string }{
	{"/internal/flow.drainArguments(", "%d of them, in drainArguments, receive from the arguments channel of a Client.Stream or MultiStream call" +
		" that is over, because the channel was not closed; close it after the last argument, also when the call has failed," +
		" or close the client: "},
	{"/internal/many.(*Fan[...]).work(", "%d of them, in Fan.work, make calls that go on after a fan.WriteQuorum was answered;" +
		" loop over Results.Rest to wait for them, or close the client: "},
}

func explained(stacks string) (words string) {
	module := reflect.TypeFor[rpc.Client]().PkgPath()
	for _, e := range explanations {
		if n := strings.Count(stacks, module+e.function); n > 0 {
			words += fmt.Sprintf(e.words, n)
		}
	}
	return words
}
