package rpctest

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// maxDescription is how many bytes of an argument a message shows.
const maxDescription = 1 << 10

// describeArgs returns the argument of a call in words. One that came without a
// type, of a method that is not there, reads like one that has a type.
func describeArgs(kind rpc.Kind, arg any, local bool) string {
	switch {
	case kind == rpc.Streaming:
		return "a stream"
	case arg == nil && !local:
		return "unknown"
	}
	s := fmt.Sprintf("%+v", readable(arg))
	if len(s) > maxDescription {
		s = strings.ToValidUTF8(s[:maxDescription], "") + "..."
	}
	return s
}

// readable returns what the codec decoded without a type with its text as text.
func readable(v any) any {
	switch v := v.(type) {
	case []byte:
		if utf8.Valid(v) && strings.IndexFunc(string(v), unicode.IsControl) < 0 {
			return string(v)
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for k, e := range v {
			m[fmt.Sprint(readable(k))] = readable(e)
		}
		return m
	case []any:
		l := make([]any, len(v))
		for i, e := range v {
			l[i] = readable(e)
		}
		return l
	}
	return v
}

func caller(p peer.ID, local bool) string {
	switch {
	case local && p == "":
		return "this process"
	case local:
		return p.String() + " itself"
	}
	return p.String()
}
