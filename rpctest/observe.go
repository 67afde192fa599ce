package rpctest

import (
	"context"
	"reflect"
	"runtime/debug"
	"strings"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// observed returns f as a function of the same type that tells of panics, and of
// the items of a stream. What is no method is returned as it is, for RegisterFunc
// to say what is wrong with it.
func (s *Server) observed(id rpc.ServiceID, f any) any {
	v := reflect.ValueOf(f)
	if v.Kind() != reflect.Func || v.IsNil() || !isMethod(v.Type()) {
		return f
	}
	return s.guarded(id, v.Type(), func(in []reflect.Value) []reflect.Value {
		if in[1].Kind() == reflect.Chan {
			rec, _ := in[0].Interface().(context.Context).Value(recordKey{}).(*record)
			s.update(func() { rec.itemized = true })
			args, stop := s.tap(in[1], rec)
			defer stop()
			in[1] = args
		}
		return v.Call(in)
	}).Interface()
}

// guarded returns call as a function of type t that tells of panics.
func (s *Server) guarded(id rpc.ServiceID, t reflect.Type, call func([]reflect.Value) []reflect.Value) reflect.Value {
	return reflect.MakeFunc(t, func(in []reflect.Value) []reflect.Value {
		defer func() {
			if r := recover(); r != nil {
				s.report.errorf("rpctest: the function for %v panicked: %v\n%s", id, r, debug.Stack())
				panic(r)
			}
		}()
		return call(in)
	})
}

func isMethod(t reflect.Type) bool {
	return t.NumIn() == 3 && t.NumOut() == 1 && !t.IsVariadic() &&
		t.In(0) == reflect.TypeFor[context.Context]() && t.Out(0) == reflect.TypeFor[error]() &&
		(t.In(1).Kind() != reflect.Chan || t.In(1).ChanDir() == reflect.RecvDir)
}

// isTyped reports whether a function has a form that method values are served
// by, or nearly so.
func isTyped(t reflect.Type) bool {
	if t == nil || t.Kind() != reflect.Func {
		return false
	}
	for in := range t.Ins() {
		for _, end := range []string{"Receiver[", "Sender["} {
			if in.Kind() == reflect.Pointer && in.Elem().PkgPath() == rpcPackage && strings.HasPrefix(in.Elem().Name(), end) {
				return true
			}
		}
	}
	return t.NumIn() == 2 && t.NumOut() == 2
}

var rpcPackage = reflect.TypeFor[rpc.Server]().PkgPath()

// tap returns a channel of what comes from args, and what ends it. Each item is
// recorded as it is offered, and once more forgotten if it was not taken.
func (s *Server) tap(args reflect.Value, rec *record) (tapped reflect.Value, stop func()) {
	out := reflect.MakeChan(reflect.ChanOf(reflect.BothDir, args.Type().Elem()), 0)
	returned, done := make(chan struct{}), make(chan struct{})
	over := reflect.SelectCase{Dir: reflect.SelectRecv, Chan: reflect.ValueOf(returned)}
	go func() {
		defer close(done)
		for {
			chosen, item, ok := reflect.Select([]reflect.SelectCase{over, {Dir: reflect.SelectRecv, Chan: args}})
			if chosen == 0 {
				return
			}
			if !ok {
				out.Close()
				return
			}
			s.update(func() { rec.Items = append(rec.Items, item.Interface()) })
			if chosen, _, _ = reflect.Select([]reflect.SelectCase{over, {Dir: reflect.SelectSend, Chan: out, Send: item}}); chosen == 0 {
				s.update(func() { rec.Items = rec.Items[:len(rec.Items)-1] })
				return
			}
		}
	}()
	return out, func() {
		close(returned)
		<-done
	}
}
