package rpc

import (
	"context"
	"reflect"
	"runtime"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/internal/account"
)

// transport is the seam: it carries one call to its end. Everything else that
// happens to a call (its deadline, interceptors, stats, authorization, limits,
// recovery) stands above it, once.
//
// A unary call has its argument in call.Args and its reply in call.Reply,
// which must not be written to after carry has returned. A streaming call's
// are in call.stream.
type transport interface {
	carry(ctx context.Context, call *CallInfo) error
}

// remoteCall is a server's side of a transport between processes.
type remoteCall interface {
	// receive gets the argument, or the stream's ends.
	receive(ctx context.Context, call *CallInfo) error
	// respond sends the reply and the error; it is the last that is sent. It
	// returns the error that was told.
	respond(call *CallInfo, err error) error
	// watched returns ctx, the call's, or one of it, that ends when the caller
	// has gone.
	watched(ctx context.Context) context.Context
	// caller is the peer.
	caller() peer.ID
	// context is where the method's context is made: one allocation less.
	context() *serverContext
	// holding is what the call's arguments hold, decoded.
	holding() *account.Holding
}

// streamEnds are a streaming call's: its arguments come from in, its replies
// go to out.
type streamEnds struct {
	in  source
	out sink

	args, replies reflect.Type // what the caller sends and takes, in a client
}

// recording is an end whose items are told to a stats handler.
type recording interface{ record(*recorder) }

// record makes a client's ends tell r of the items of a local call.
func (e *streamEnds) record(r *recorder) {
	e.in.(recording).record(r)
	e.out.(recording).record(r)
}

// item is one of a stream's.
type item struct {
	value reflect.Value   // the item; none if a typed end holds it
	ptr   any             // points to it, if that is known
	size  *int            // where to say how long it is, encoded, if anybody asks
	holds *account.Charge // of one that was decoded
}

// newItem returns a new value of a type, and the pointer to decode it by. Where
// the type is a pointer, it points to a new value: nil is never handed to a
// method or a caller that asked for items.
func newItem(t reflect.Type) item {
	if t.Kind() == reflect.Pointer {
		p := reflect.New(t.Elem())
		return item{value: p, ptr: p.Interface()}
	}
	p := reflect.New(t)
	return item{value: p.Elem(), ptr: p.Interface()}
}

func (it item) reflected() reflect.Value {
	if it.value.IsValid() {
		return it.value
	}
	return reflect.ValueOf(it.ptr).Elem()
}

// encodable returns what to encode the item by.
func (it item) encodable() any {
	if it.value.IsValid() {
		return it.value.Interface()
	}
	return it.ptr
}

func (it item) sized(n int) {
	if it.size != nil {
		*it.size = n
	}
}

// source is where one direction of a streaming call comes from: a channel, or
// a typed end, of the caller's or of the method's, or the stream.
type source interface {
	// next returns the next item, to be put into a sink. Without wait it
	// returns stateIdle rather than block.
	next(wait bool, into sink) (it item, st state, err error)
	// halt makes a next that waits, or a later one, return an error at once.
	halt()
}

type state uint8

const (
	stateItem state = iota
	stateIdle
	stateEnd
)

// sink is where one direction of a streaming call goes to.
type sink interface {
	// fresh returns an item to be decoded into, for the next put. A stream has
	// none.
	fresh() item
	put(it item) error
	// flush is called when there is nothing more to put for now.
	flush() error
	// end is called after the last item.
	end() error
}

// pump moves items until the source ends or either side fails. It flushes
// when the source has nothing ready, not after each item; whoever fills the
// source is given the chance to go on before that is found to be so.
func pump(src source, dst sink) error {
	for {
		it, st, err := src.next(false, dst)
		for try := 0; try < 2 && st == stateIdle && err == nil; try++ {
			runtime.Gosched()
			it, st, err = src.next(false, dst)
		}
		if st == stateIdle && err == nil {
			if err = dst.flush(); err != nil {
				return err
			}
			it, st, err = src.next(true, dst)
		}
		switch {
		case err != nil:
			return err
		case st == stateEnd:
			return dst.end()
		}
		if err := dst.put(it); err != nil {
			return err
		}
	}
}
