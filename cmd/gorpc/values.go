package main

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"

	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// values turns JSON, as people write it, into what travels, by the types of a
// description. Without a type it guesses.
type values struct {
	types map[string]describe.Type
}

// misfit is an error of a part of a value.
type misfit struct {
	path string // ".Lines[2].Quantity"
	text string
}

func (e *misfit) Error() string {
	if e.path == "" {
		return e.text
	}
	return strings.TrimPrefix(e.path, ".") + ": " + e.text
}

func misfitf(path, format string, args ...any) error {
	return &misfit{path, fmt.Sprintf(format, args...)}
}

// argument is what travels for a JSON value, which was decoded with UseNumber.
func (v values) argument(key string, in any, path string) (any, error) {
	t, known := v.types[key]
	if !known || t.Kind == "any" {
		return guessed(in, path)
	}
	if in == nil {
		return nil, nil // the zero value
	}
	switch t.Kind {
	case "struct":
		return v.structure(key, t, in, path)
	case "list":
		return v.list(key, t, in, path)
	case "map":
		return v.mapping(key, t, in, path)
	case "bool":
		if b, ok := in.(bool); ok {
			return b, nil
		}
		return nil, wants(path, key, "true or false", in)
	case "int", "uint", "float", "duration":
		return number(key, t, in, path)
	}
	s, ok := in.(string)
	if !ok {
		return nil, wants(path, key, "a string"+hintOf(t.Kind), in)
	}
	out, err := fromText(t, s)
	if err != nil {
		return nil, misfitf(path, "%q is no %s%s: %v", s, key, hintOf(t.Kind), err)
	}
	return out, nil
}

// zero is the zero value of a type, which is called with where no argument is given.
func (v values) zero(key string) any {
	t := v.types[key]
	switch t.Kind {
	case "any":
		return nil
	case "bool":
		return false
	case "int", "uint", "float", "duration":
		return 0
	case "string":
		return ""
	case "list":
		return make([]any, length(t)) // nil is an element's zero value
	case "time":
		return time.Time{}
	case "bytes", "own", "peer", "cid", "multiaddr":
		return make([]byte, length(t))
	}
	return struct{}{}
}

// length is that of an array, by a peer's word.
func length(t describe.Type) int { return min(max(t.Len, 0), 1<<16) }

func hintOf(kind string) string {
	if hints[kind] == "" {
		return ""
	}
	return " (" + hints[kind] + ")"
}

func wants(path, key, what string, in any) error {
	b, _ := json.Marshal(in)
	if len(b) > 40 {
		b = append(b[:37:37], "..."...)
	}
	return misfitf(path, "a %s is written as %s, and not as %s", key, what, b)
}

// fromText reads what is written as a string.
func fromText(t describe.Type, s string) (any, error) {
	switch t.Kind {
	case "string":
		return s, nil
	case "bytes", "own":
		b, err := bytesOf(s)
		if err == nil && t.Len > 0 && len(b) != t.Len {
			err = fmt.Errorf("it has %d bytes, and %d are wanted", len(b), t.Len)
		}
		return b, err
	case "time":
		return time.Parse(time.RFC3339Nano, s)
	case "peer":
		if s == "" {
			return peer.ID(""), nil
		}
		return peer.Decode(s)
	case "cid", "multiaddr":
		if s == "" {
			return nil, nil
		}
		if t.Kind == "cid" {
			return cid.Decode(s)
		}
		return multiaddr.NewMultiaddr(s)
	}
	return nil, fmt.Errorf("values of this type do not travel")
}

// bytesOf reads base64, or hexadecimal digits after "hex:", or a text after "text:".
func bytesOf(s string) ([]byte, error) {
	if text, ok := strings.CutPrefix(s, "text:"); ok {
		return []byte(text), nil
	}
	if digits, ok := strings.CutPrefix(s, "hex:"); ok {
		return hex.DecodeString(digits)
	}
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		if raw, err2 := base64.RawURLEncoding.DecodeString(s); err2 == nil {
			return raw, nil
		}
		return nil, fmt.Errorf("%w; hex: and text: before it say that it is not base64", err)
	}
	return b, nil
}

// number reads a number, or a string of its digits.
func number(key string, t describe.Type, in any, path string) (any, error) {
	s, isString := in.(string)
	if n, ok := in.(json.Number); ok {
		s = n.String()
	} else if !isString {
		return nil, wants(path, key, "a number", in)
	}
	var out any
	var err error
	switch t.Kind {
	case "duration":
		if isString {
			if d, err := time.ParseDuration(s); err == nil {
				return int64(d), nil
			}
		}
		out, err = strconv.ParseInt(s, 10, 64)
	case "int":
		out, err = strconv.ParseInt(s, 10, t.Bits)
	case "uint":
		out, err = strconv.ParseUint(s, 10, t.Bits)
	default:
		out, err = strconv.ParseFloat(s, max(t.Bits, 32))
	}
	if ne, ok := err.(*strconv.NumError); ok && ne.Err == strconv.ErrRange {
		return nil, misfitf(path, "%s does not fit into a %s", s, key)
	}
	if err != nil {
		return nil, wants(path, key, map[string]string{"duration": "a duration, as 1m30s, or nanoseconds", "float": "a number"}[t.Kind]+
			map[string]string{"int": "a whole number", "uint": "a whole number, not negative"}[t.Kind], in)
	}
	return out, nil
}

func (v values) structure(key string, t describe.Type, in any, path string) (any, error) {
	object, ok := in.(map[string]any)
	if !ok {
		return nil, wants(path, key, "an object", in)
	}
	fields := make(map[string]string, len(t.Fields))
	var names []string
	for _, f := range t.Fields {
		fields[f.Name] = f.Type
		names = append(names, f.Name)
	}
	out := make(map[string]any, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		of, ok := fields[name]
		if !ok {
			return nil, misfitf(path, "a %s has no field %q; it has %s", key, name, strings.Join(names, ", "))
		}
		value, err := v.argument(of, object[name], path+"."+name)
		if err != nil {
			return nil, err
		}
		out[name] = value
	}
	return out, nil
}

func (v values) list(key string, t describe.Type, in any, path string) (any, error) {
	list, ok := in.([]any)
	if !ok {
		return nil, wants(path, key, "an array", in)
	}
	if t.Len > 0 && len(list) != t.Len {
		return nil, misfitf(path, "it has %d elements, and a %s has %d", len(list), key, t.Len)
	}
	out := make([]any, len(list))
	for i, e := range list {
		value, err := v.argument(t.Elem, e, fmt.Sprintf("%s[%d]", path, i))
		if err != nil {
			return nil, err
		}
		out[i] = value
	}
	return out, nil
}

func (v values) mapping(key string, t describe.Type, in any, path string) (any, error) {
	object, ok := in.(map[string]any)
	if !ok {
		return nil, wants(path, key, "an object", in)
	}
	out := make(map[any]any, len(object))
	for _, name := range slices.Sorted(maps.Keys(object)) {
		var k any = name
		var err error
		if kind := v.types[t.Key].Kind; kind == "bool" {
			k, err = strconv.ParseBool(name)
		} else {
			k, err = v.argument(t.Key, name, path+"["+name+"]")
		}
		if err != nil {
			return nil, err
		}
		switch k.(type) {
		case []byte, map[string]any, []any, map[any]any, multiaddr.Multiaddr:
			return nil, misfitf(path, "maps by %s cannot be written here", t.Key)
		}
		if out[k], err = v.argument(t.Elem, object[name], path+"["+name+"]"); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// guessed is what travels for a value whose type nothing tells: numbers are integers
// if they look like that, strings are strings.
func guessed(in any, path string) (any, error) {
	switch in := in.(type) {
	case json.Number:
		if n, err := strconv.ParseInt(in.String(), 10, 64); err == nil {
			return n, nil
		}
		if n, err := strconv.ParseUint(in.String(), 10, 64); err == nil {
			return n, nil
		}
		f, err := strconv.ParseFloat(in.String(), 64)
		if err != nil || math.IsInf(f, 0) {
			return nil, misfitf(path, "%v does not fit into a float64", in)
		}
		return f, nil
	case []any:
		out := make([]any, len(in))
		for i, e := range in {
			value, err := guessed(e, fmt.Sprintf("%s[%d]", path, i))
			if err != nil {
				return nil, err
			}
			out[i] = value
		}
		return out, nil
	case map[string]any:
		out := make(map[string]any, len(in))
		for name, e := range in {
			value, err := guessed(e, path+"."+name)
			if err != nil {
				return nil, err
			}
			out[name] = value
		}
		return out, nil
	}
	return in, nil
}
