package msgpack

import "bytes"

// headUint64 starts an integer of eight bytes without a sign.
const headUint64 = 0xcf

// MayHoldGreat reports whether b may hold an integer over math.MaxInt64. It
// looks at bytes, not at values: those of a string can look like one.
func MayHoldGreat(b []byte) bool {
	for {
		i := bytes.IndexByte(b, headUint64)
		if i < 0 || len(b)-i < 9 {
			return false
		}
		if b[i+1] >= 0x80 {
			return true
		}
		b = b[i+1:]
	}
}

// Great reads an integer over math.MaxInt64; ok is false for anything else.
func Great(b []byte) (n uint64, ok bool) {
	if len(b) < 9 || b[0] != headUint64 || b[1] < 0x80 {
		return 0, false
	}
	return bigEndian(b[1:9]), true
}
