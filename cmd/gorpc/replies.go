package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
)

// object is a JSON object whose members have an order.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(m.name)
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(m.value); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// reply is a decoded reply as JSON shows it to people: what values.argument reads.
func (v values) reply(key string, in any) any {
	t, known := v.types[key]
	if !known || t.Kind == "any" {
		return shown(in)
	}
	switch t.Kind {
	case "struct":
		return v.replyStruct(key, in)
	case "list":
		list, ok := in.([]any)
		if !ok {
			return shown(in)
		}
		out := make([]any, len(list))
		for i, e := range list {
			out[i] = v.reply(t.Elem, e)
		}
		return out
	case "map":
		return v.replyMap(t.Key, t.Elem, in)
	case "duration":
		if n, ok := in.(int64); ok {
			return time.Duration(n).String()
		}
	}
	if text, ok := in.(string); ok {
		in = []byte(text) // which of the two it was, the type tells
	}
	if b, ok := in.([]byte); ok {
		return ofBytes(t.Kind, b)
	}
	return shown(in)
}

// ofBytes is what bytes are of a type.
func ofBytes(kind string, b []byte) any {
	switch kind {
	case "string":
		return string(b)
	case "peer":
		if len(b) == 0 {
			return ""
		}
		if id, err := peer.IDFromBytes(b); err == nil {
			return id.String()
		}
	case "cid":
		if len(b) == 0 {
			return ""
		}
		if c, err := cid.Cast(b); err == nil {
			return c.String()
		}
	case "multiaddr":
		if a, err := multiaddr.NewMultiaddrBytes(b); err == nil {
			return a.String()
		}
	}
	return base64.StdEncoding.EncodeToString(b)
}

// replyStruct has the fields in their order, and after them what the description does
// not have.
func (v values) replyStruct(key string, in any) any {
	fields := v.types[key].Fields
	if list, ok := in.([]any); ok { // it travels as an array
		out := object{}
		for i, e := range list[:min(len(list), len(fields))] {
			out = append(out, member{fields[i].Name, v.reply(fields[i].Type, e)})
		}
		return out
	}
	had, ok := byText(in)
	if !ok {
		return shown(in)
	}
	out := object{}
	for _, f := range fields {
		if e, ok := had[f.Name]; ok {
			out = append(out, member{f.Name, v.reply(f.Type, e)})
			delete(had, f.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(had)) {
		out = append(out, member{name, shown(had[name])})
	}
	return out
}

func (v values) replyMap(key, elem string, in any) any {
	out := object{}
	each := func(k, e any) {
		if name, ok := v.reply(key, k).(string); ok {
			out = append(out, member{name, v.reply(elem, e)})
		} else {
			out = append(out, member{fmt.Sprint(k), v.reply(elem, e)})
		}
	}
	switch m := in.(type) {
	case map[string]any:
		for k, e := range m {
			each(k, e)
		}
	case map[any]any:
		for k, e := range m {
			each(k, e)
		}
	default:
		return shown(in)
	}
	slices.SortFunc(out, func(a, b member) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return out
}

// byText is a map by strings.
func byText(in any) (map[string]any, bool) {
	switch m := in.(type) {
	case map[string]any:
		return maps.Clone(m), true
	case map[any]any:
		out := make(map[string]any, len(m))
		for k, e := range m {
			out[fmt.Sprint(shown(k))] = e
		}
		return out, true
	}
	return nil, false
}

// shown is a value of which no type tells: bytes that are text are shown as that.
func shown(in any) any {
	switch in := in.(type) {
	case []byte:
		if utf8.Valid(in) {
			return string(in)
		}
		return base64.StdEncoding.EncodeToString(in)
	case float64:
		if math.IsNaN(in) || math.IsInf(in, 0) {
			return fmt.Sprint(in)
		}
	case time.Time:
		return in.Format(time.RFC3339Nano)
	case []any:
		out := make([]any, len(in))
		for i, e := range in {
			out[i] = shown(e)
		}
		return out
	case map[string]any, map[any]any:
		had, _ := byText(in)
		out := object{}
		for _, name := range slices.Sorted(maps.Keys(had)) {
			out = append(out, member{name, shown(had[name])})
		}
		return out
	}
	return in
}
