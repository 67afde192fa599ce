package rpc

import (
	"fmt"
	"reflect"
)

// checkStreamChannels panics unless the two are channels that a streaming call
// can use, as v0.6 does: the program is wrong, and its own stack says where.
func checkStreamChannels(id ServiceID, args, replies any) (a, r reflect.Value) {
	return checkChannel(id, "arguments", args, reflect.RecvDir), checkChannel(id, "replies", replies, reflect.SendDir)
}

func checkChannel(id ServiceID, what string, ch any, dir reflect.ChanDir) reflect.Value {
	v := reflect.ValueOf(ch)
	form := "<-chan T"
	if dir == reflect.SendDir {
		form = "chan<- T"
	}
	switch {
	case v.Kind() != reflect.Chan:
		panic(fmt.Sprintf("rpc: %v: the %s must be a chan T or %s, not %s", id, what, form, typeName(reflect.TypeOf(ch))))
	case v.Type().ChanDir()&dir == 0:
		panic(fmt.Sprintf("rpc: %v: the %s must be a chan T or %s, not %v", id, what, form, v.Type()))
	case v.IsNil():
		panic(fmt.Sprintf("rpc: %v: the channel of %s is nil", id, what))
	}
	return v
}
