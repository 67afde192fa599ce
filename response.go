package rpc

import (
	"cmp"
	"context"
	"errors"
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/call"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/flow"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// This file is about what a remote caller sends, and what it is told.

// receive gets the argument of a remote call.
func (r *remoteServed) receive(ctx context.Context, c *servedCall) error {
	if c.Kind == Streaming {
		return nil // its ends are made when the method's are
	}
	m := c.method
	b, err := r.carried.Argument(ctx, r.rules.Limits, codec.IsBytes(m.arg))
	switch err {
	case nil:
	case call.ErrNilArgument:
		return call.Mismatched(m.arg.String(), "nil")
	case call.ErrNoArgument:
		return call.Fail(call.OfServer, codes.InvalidArgument, "there is no argument: the method is unary").Advised(call.UseUnary)
	default:
		return err
	}
	arg := flow.NewItem(m.arg)
	_, err = codec.Decode(b, arg.Ptr, r.methods.server.limits.MostDecoded(), &r.holds)
	if err != nil {
		f, full := call.ArgumentFault(m.arg, r.rules.Limits, b.B, err), new(account.DecodedError)
		r.carried.Taken()
		return f.NotSent(errors.As(err, &full) && full.Passes())
	}
	c.Args = m.box.Box(arg.Value, arg.Ptr)
	c.stats.In(arg.Value, b.B)
	r.carried.Taken()
	return nil
}

// givenUp reports whether a call that ended with err has failed because its caller
// waits for it no longer.
func givenUp(ctx context.Context, err error) bool {
	f := call.FaultOf(err)
	return ctx.Err() != nil || f != nil && f.Ended != nil
}

// untyped stands for a method that is not there, while its argument is read.
var untyped = &method{kind: Unary, arg: reflect.TypeFor[any](), reply: reflect.TypeFor[any]()}

// receiveUntyped gets the argument of a method that is not there. A caller that
// does not tell the kind of call sends no one knows what.
func (c *servedCall) receiveUntyped(ctx context.Context) error {
	if c.Local || c.Kind != Unary {
		return nil
	}
	c.method = untyped
	err := c.from.receive(ctx, c)
	if err != nil {
		c.Args = nil
	}
	c.method = nil
	return err
}

// responding sends what the call ends with, unless that is done. The caller is
// told of a method that ends its goroutine, too.
func (s *Server) responding(next Handler) Handler {
	return func(ctx context.Context, info *CallInfo) (err error) {
		returned := false
		defer func() {
			if !returned {
				info.Reply = nil
				_ = s.respond(info.served, exited(info))
			}
		}()
		err = next(ctx, info)
		returned = true
		if failed := s.respond(info.served, err); failed != nil && err == nil {
			err = failed
		}
		return err
	}
}

// respond sends the reply and the error of a call, unless the caller was told; it
// is the last that is sent. It returns the error that was told.
func (s *Server) respond(c *servedCall, err error) error {
	if c.told || c.remote == nil {
		return nil
	}
	c.remote.methods.takeBack()
	if err == nil && c.Kind == Streaming {
		err = c.stream.Finish(c.remote.methods.appendBack(nil))
		c.told = err == nil
		return err
	}
	carried, replies := c.remote.carried, c.Reply != nil
	b, users, told := s.appendResponse(carried.Buffer(), c, rendered(c.ID(), err))
	failed := carried.Send(b, users)
	if call.FaultOf(failed) != nil && replies { // nothing was sent: say why
		c.Reply = nil
		told = cmp.Or(told, rendered(c.ID(), failed))
		b, users, told = s.appendResponse(carried.Buffer(), c, told)
		failed = carried.Send(b, users)
	}
	c.told = failed == nil
	return cmp.Or(told, rendered(c.ID(), failed))
}

// appendResponse appends what the caller is told: a header with the error, if
// there is one, and the reply, but for those bytes of it that are the method's
// own. The error returned is the one that is told.
func (s *Server) appendResponse(b []byte, c *servedCall, err error) (out, users []byte, told error) {
	start := len(b) // replies of a stream may be waiting
	if err == nil {
		if b = c.remote.methods.appendBack(b); len(b) == start {
			b = append(b, c.remote.carried.OK(c.method.ok)...)
		}
		if b, users, err = s.appendReply(b, c); err == nil {
			return b, users, nil
		}
		b, c.Reply = b[:start], nil
		err = rendered(c.ID(), err)
	}
	r := toWire(err)
	r.Service, r.Method, r.Header, r.Trailer = c.Service, c.Method, c.remote.methods.header, c.remote.methods.trailer
	if c.errorNames != "" {
		r.Details = withDetail(r.Details, detailErrors, c.errorNames)
	}
	b = wire.AppendResponse(b, &r)
	head := len(b)
	var failed error
	if c.Kind == Unary && c.Reply != nil {
		b, users, failed = s.appendReply(b, c) // it arrives beside its error
	}
	if len(b) == head || failed != nil {
		b = append(b[:head], msgpack.Nil)
	}
	return b, users, err
}

// appendReply appends the encoding of a unary call's reply, but for those bytes
// of it that are the method's own.
func (s *Server) appendReply(b []byte, c *servedCall) (out, users []byte, err error) {
	start, raw := len(b), false
	if c.stats == nil {
		users, raw = codec.Raw(c.Reply)
	}
	if raw {
		b = codec.AppendRawHead(b, len(users), c.remote.carried.Form())
	} else if b, err = codec.Append(b, c.Reply, c.remote.carried.Form()); err != nil {
		return b, nil, call.Fail(call.OfServer, codes.Internal, "the reply: %w", err)
	}
	most, option := c.remote.rules.Limits.MostBytes()
	if n := len(b) - start + len(users); n > most {
		return b, nil, call.Fail(call.OfServer, codes.ResourceExhausted, "the reply is %d bytes long, and %d may be", n, most).
			LimitedBy(option, "server")
	}
	if c.stats != nil {
		c.stats.Out(reflect.ValueOf(c.Reply), b[start:])
	}
	if users == nil && !s.watched {
		c.Reply = nil // the bytes may wait long, and are enough to hold
	}
	return b, users, nil
}
