package mux

import "time"

// Request is what a call sends: two parts in a row.
type Request struct {
	Head, Body []byte
	// Owned is how many bytes of a large request are accounted for: the others
	// are the caller's own.
	Owned int
	// Keep is for a reply that is to be kept; see [Reply.Keep].
	Keep bool
	// Code says what the server is told of the error of a context that has
	// ended. It is not 0.
	Code func(error) uint64
	Deadline
}

// Deadline is that of a call whose request says how much time is left.
type Deadline struct {
	At time.Time // zero: there is none
	// Left writes into a request's head, in place, that so much is left: it has waited
	// for its turn.
	Left func(head []byte, d time.Duration)
}

// prepare makes a call of a request.
func (k *call) prepare(r *Request) {
	k.message.call = k
	k.set(kindRequest, r.Head, r.Body)
	k.owned, k.in.keep, k.deadline = r.Owned, r.Keep, r.Deadline
}

// isSeen reports whether the server has sent something of a stream. That it has taken the
// call is not what it may deny later.
func (k *call) isSeen() bool { return k.flow != nil && k.flow.seen }

// tellTime puts the time that is left into a request that has waited.
func (k *call) tellTime() {
	if !k.late || k.deadline.At.IsZero() {
		return
	}
	head := k.message.head
	if k.flow != nil {
		head = k.flow.out.list[0].b[:k.flow.head]
	}
	k.deadline.Left(head, time.Until(k.deadline.At))
}
