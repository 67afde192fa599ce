package rpc

import (
	"context"
	"reflect"
	"runtime"
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
}

// streamEnds are a streaming call's: its arguments come from in, its replies
// go to out.
type streamEnds struct {
	in      source
	out     sink
	replies reflect.Type // what the caller's channel takes, in a client
}

// source is where one direction of a streaming call comes from: a channel of
// the caller's or of the method's, or the stream.
type source interface {
	// next returns the next item. Without wait it returns stateIdle rather
	// than block.
	next(wait bool) (item reflect.Value, st state, err error)
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
	put(item reflect.Value) error
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
		item, st, err := src.next(false)
		for try := 0; try < 2 && st == stateIdle && err == nil; try++ {
			runtime.Gosched()
			item, st, err = src.next(false)
		}
		if st == stateIdle && err == nil {
			if err = dst.flush(); err != nil {
				return err
			}
			item, st, err = src.next(true)
		}
		switch {
		case err != nil:
			return err
		case st == stateEnd:
			return dst.end()
		}
		if err := dst.put(item); err != nil {
			return err
		}
	}
}
