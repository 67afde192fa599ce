package codec

import "encoding/binary"

// repeats are strings that a message has had already: names and keys of batches come
// again and again, and to find one takes less time than to allocate it. Each is
// allocated by itself, so holding one keeps no other memory.
type repeats [1 << repeatBits]string

const (
	repeatBits = 7

	// repeatsFrom is how large a message is in which they are looked for.
	repeatsFrom = 2 << 10

	leastRepeat, mostRepeat = 2, 64 // bytes of a string
)

// text returns s as a string.
func (d *decoder) text(s []byte) string {
	if d.repeats == nil || len(s) < leastRepeat || len(s) > mostRepeat {
		return string(s)
	}
	place := &d.repeats[repeatHash(s)]
	if *place != string(s) {
		*place = string(s)
	}
	return *place
}

// repeatHash is a place in repeats, by a string's ends and its length.
func repeatHash(s []byte) uint64 {
	n := len(s)
	var first, last uint64
	switch {
	case n >= 8:
		first, last = binary.LittleEndian.Uint64(s), binary.LittleEndian.Uint64(s[n-8:])
	case n >= 4:
		first, last = uint64(binary.LittleEndian.Uint32(s)), uint64(binary.LittleEndian.Uint32(s[n-4:]))
	default:
		first, last = uint64(s[0]), uint64(s[n-1])
	}
	const odd = 0x9e3779b97f4a7c15 // which spreads the bits upward
	return ((first^uint64(n))*odd ^ last) * odd >> (64 - repeatBits)
}
