package mux

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
)

// script is a program as a seed of the fuzzers.
type script []byte

// say sends a frame, whose size and piece are of [sizes].
func (s script) say(k kind, id, size, piece int) script {
	return append(s, 0, byte(k), byte(id), byte(size), byte(piece), 0)
}

// half sends so many bytes of one.
func (s script) half(k kind, id, size, piece, n int) script {
	return append(s, 128, byte(k), byte(id), byte(size), byte(piece), byte(n-1), 0)
}

// pause lets so many halves of a second pass.
func (s script) pause(halves byte) script { return append(s, 5, halves, 0) }

// do has the other side's program do something, of which args say more.
func (s script) do(op byte, args ...byte) script { return append(append(append(s, op), args...), 0) }

// seed is a script, and what comes of it, by which one is noticed that says another thing
// than it is to.
type seed struct {
	script script
	calls  int  // that the server serves, or the client begins
	breaks bool // the protocol
}

// What some sizes are in [sizes].
const (
	size0, size1, size5, size100 = 0, 1, 2, 3
	sizeBuffer, sizePiece        = 4, 8
	sizePieces, size200K         = 11, 12
	size2G, size1T               = 13, 14
)

// What the other side's program does.
const (
	goesAway      = 6 // a server
	makesCall     = 6 // a client; its size follows
	opens, opens2 = 22, 30
	retires       = 63
)

// serverPrograms are what clients say after their settings.
var serverPrograms = map[string]seed{
	"a call":                     {script{}.say(kindRequest, 7, size5, size5), 1, false},
	"in pieces":                  {script{}.say(kindRequest, 7, sizePieces, sizePiece).say(kindData, 7, 0, sizePiece).say(kindData, 7, 0, sizePiece), 1, false},
	"given up":                   {script{}.say(kindRequest, 8, size5, size5).say(kindCancel, 8, size1, 0), 1, false},
	"given up, and gone on with": {script{}.say(kindRequest, 8, size200K, sizePiece).say(kindCancel, 8, size1, 0).say(kindData, 8, 0, sizePiece), 1, true},
	"2 GiB announced":            {script{}.say(kindRequest, 1, size2G, size5).pause(255), 0, true},
	"a TiB announced":            {script{}.say(kindRequest, 1, size1T, size5), 0, true},
	"out of order":               {script{}.say(kindRequest, 2, size5, size5).say(kindRequest, 1, size5, size5), 1, true},
	"again":                      {script{}.say(kindRequest, 1, size5, size5).say(kindRequest, 1, size5, size5), 1, true},
	"going away":                 {script{}.do(goesAway).say(kindRequest, 7, size5, size5), 0, false},
	"a stream":                   {script{}.say(kindOpen, 7, sizePiece, size5).say(kindBytes, 7, 0, size100).say(kindGrant, 7, sizePiece, 0).say(kindCancel, 7, size1, 0), 1, false},
	"more than may come":         {script{}.say(kindOpen, 6, sizePiece, size5).say(kindBytes, 6, 0, sizePiece), 1, true},
	"granted too much":           {script{}.say(kindOpen, 8, sizePiece, size5).say(kindGrant, 8, size2G, 0), 1, true},
	"granted nothing":            {script{}.say(kindOpen, 8, sizeBuffer, size5).say(kindGrant, 8, size0, 0).pause(255), 1, false},
	"blocked":                    {script{}.say(kindOpen, 6, sizeBuffer, size5).say(kindBlocked, 6, 0, 0).say(kindBlocked, 6, 0, 0).say(kindCancel, 6, size1, 0).say(kindBytes, 6, 0, size5), 1, false},
	"a last reply waits":         {script{}.say(kindOpen, 2, sizeBuffer, size5).pause(4).say(kindGrant, 2, sizePiece, 0).pause(4), 1, false},
	"given up while it waits":    {script{}.say(kindOpen, 2, sizeBuffer, size5).pause(4).say(kindCancel, 2, size1, 0), 1, false},
	"and while the session ends": {script{}.say(kindOpen, 2, sizeBuffer, size5).pause(4).do(goesAway).say(kindCancel, 2, size1, 0).pause(20), 1, false},
	"half a frame":               {script{}.half(kindRequest, 1, size200K, size200K, 40).pause(255), 0, false},
	"pings":                      {script{}.pause(255).pause(255).say(kindPing, 0, 0, 0), 0, false},
	"a flood":                    {flood(), 4, false},
}

// flood has more requests half sent than a session may have calls.
func flood() (s script) {
	for _, id := range []int{5, 6, 7, 8, 13, 14, 15} {
		s = s.say(kindRequest, id, size200K, sizePiece)
	}
	return s.say(kindCancel, 8, size1, 0)
}

// clientPrograms are what servers say after their settings, while two calls are under way.
var clientPrograms = map[string]seed{
	"replies":                   {script{}.say(kindReply, 2, size5, size5).say(kindReply, 1, size5, size5), 2, false},
	"in pieces":                 {script{}.say(kindReply, 1, sizePieces, sizePiece).say(kindData, 1, 0, sizePiece).say(kindData, 1, 0, sizePiece), 2, false},
	"aborted":                   {script{}.say(kindReply, 1, size200K, sizePiece).say(kindAbort, 1, 0, 0).say(kindAbort, 2, 0, 0), 2, false},
	"aborted, and gone on with": {script{}.say(kindReply, 1, size200K, sizePiece).say(kindAbort, 1, 0, 0).say(kindData, 1, 0, sizePiece), 2, true},
	"refused":                   {script{}.say(kindRefuse, 1, size5, 0).say(kindRefuse, 2, size0, 0).say(kindRefuse, 3, size1, 0), 3, false},
	"gone away":                 {script{}.say(kindGoAway, 1, size0, 0).say(kindReply, 1, size5, size5), 2, false},
	"more calls, one given up":  {script{}.do(makesCall, size200K).do(128+makesCall, size5, 4).pause(4).say(kindReply, 3, size5, size5), 4, false},
	"2 GiB announced":           {script{}.say(kindReply, 1, size2G, size5), 2, true},
	"a stream":                  {script{}.do(opens).say(kindGrant, 3, sizePiece, 0).say(kindBytes, 3, 0, size5).say(kindEnd, 3, 0, size5), 3, false},
	"a stream's window":         {script{}.do(opens).say(kindSettings, 3, size1T, 0).do(opens2).pause(4), 4, false},
	"more than may come":        {script{}.do(opens).say(kindBytes, 3, 0, sizePiece).say(kindBytes, 3, 0, sizePiece), 3, true},
	"granted too much":          {script{}.do(opens).say(kindGrant, 3, size2G, 0), 3, true},
	"granted nothing":           {script{}.do(opens).say(kindGrant, 3, size0, 0).pause(60), 3, false},
	"blocked, and aborted":      {script{}.do(opens).say(kindBlocked, 3, 0, 0).say(kindAbort, 3, 0, 0), 3, false},
	"streams refused":           {script{}.do(opens).do(opens2).say(kindRefuse, 3, size0, 0).say(kindRefuse, 4, size1, 0).say(kindAbort, 5, 0, 0), 6, false},
	"refused when seen":         {script{}.do(opens).say(kindGrant, 3, size1, 0).say(kindRefuse, 3, size0, 0), 3, true},
	"a stream not taken":        {script{}.do(opens).say(kindGoAway, 2, size0, 0), 3, false},
	"seen, and not taken":       {script{}.do(opens).say(kindGrant, 3, sizePiece, 0).say(kindGoAway, 2, size0, 0), 3, false},
	"seen, and lost":            {script{}.do(opens).say(kindGrant, 3, sizePiece, 0), 3, false},
	"retired":                   {script{}.do(opens).do(retires).say(kindReply, 1, size5, size5).say(kindReply, 2, size5, size5).say(kindEnd, 3, 0, size0), 3, false},
}

// whole is a program: with memory for all or not, the other side reads, and its settings.
func (s seed) whole(memory byte, before ...byte) []byte {
	all := append(script{memory, 0}, before...)
	return append(all.say(kindSettings, 0, 0, 0), s.script...)
}

// firstCalls are the sizes of the two calls that a client begins with.
var firstCalls = []byte{size5, size5}

func addPrograms(f *testing.F, programs map[string]seed, before ...byte) {
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		f.Add(programs[name].whole(0, before...))
		f.Add(programs[name].whole(1, before...))
	}
}

// A seed that is no longer read as it is written finds nothing.
func TestProgramsSayWhatTheyAreTo(t *testing.T) {
	for side, of := range map[string]struct {
		programs map[string]seed
		before   []byte
		play     func(*testing.T, []byte) (int, error)
	}{
		"client": {serverPrograms, nil, playServer},
		"server": {clientPrograms, firstCalls, playClient},
	} {
		for name, s := range of.programs {
			t.Run(side+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					calls, err := of.play(t, s.whole(1, of.before...))
					if calls != s.calls || errors.Is(err, ErrProtocol) != s.breaks {
						t.Errorf("%d calls, and the session ends with %v; want %d, and a broken protocol: %v", calls, err, s.calls, s.breaks)
					}
				})
			})
		}
	}
}
