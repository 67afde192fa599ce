package codec

import (
	"encoding/binary"
	"reflect"
	"strconv"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// appendKey appends a field's name as keys of the kind are written.
func appendKey(b []byte, form Form, name string, kind reflect.Kind) ([]byte, error) {
	switch kind {
	case reflect.Int64:
		n, err := strconv.ParseInt(name, 10, 64)
		return appendInt(b, n), err
	case reflect.Uint64:
		n, err := strconv.ParseUint(name, 10, 64)
		return msgpack.AppendUint(b, n), err
	case reflect.Float64:
		f, err := strconv.ParseFloat(name, 64)
		return appendFloat64(b, f), err
	}
	return form.appendString(b, name), nil
}

// shortKey is a key of up to 16 bytes, as two words: to move or to compare those is
// faster than to call for the bytes.
type shortKey struct {
	n     int // 0: the key is longer
	words [2]uint64
	masks [2]uint64 // of the words' bytes that belong to the key
}

// shorten returns the short form of a key.
func shorten(key [2]string) (k shortKey) {
	var b, mask [16]byte
	if len(key[Plain]) > len(b) || key[Plain] != key[Modern] {
		return k
	}
	k.n = copy(b[:], key[Plain])
	for i := range k.n {
		mask[i] = 0xff
	}
	for i := range k.words {
		k.words[i] = binary.LittleEndian.Uint64(b[8*i:])
		k.masks[i] = binary.LittleEndian.Uint64(mask[8*i:])
	}
	return k
}

// appendKey appends the name.
func (f *fieldPlan) appendKey(b []byte, form Form) []byte {
	n := len(b)
	if f.short.n == 0 || cap(b)-n < 16 {
		return append(b, f.key[form&1]...)
	}
	to := b[n : n+16]
	binary.LittleEndian.PutUint64(to, f.short.words[0])
	binary.LittleEndian.PutUint64(to[8:], f.short.words[1])
	return b[:n+f.short.n]
}

// begins reports whether b, of at least 16 bytes, begins with the key.
func (k *shortKey) begins(b []byte) bool {
	return (binary.LittleEndian.Uint64(b)^k.words[0])&k.masks[0]|(binary.LittleEndian.Uint64(b[8:])^k.words[1])&k.masks[1] == 0
}

// begins reports whether the next key is the field's, in its usual form.
func (f *fieldPlan) begins(b []byte) bool {
	if f.short.n > 0 && len(b) >= 16 {
		return f.short.begins(b)
	}
	key := f.key[Plain]
	return len(b) > len(key) && string(b[:len(key)]) == key
}
