package msgpack

import "encoding/binary"

type kind uint8

const (
	kindInvalid kind = iota
	kindNil
	kindBool
	kindInt
	kindFloat
	kindString // raw, str or bin: v0.6 writes strings and byte slices alike
	kindArray
	kindMap
	kindExt
)

// kindNames are what a person reads in an error.
var kindNames = [...]string{
	kindInvalid: "an invalid byte", kindNil: "msgpack nil", kindBool: "a msgpack boolean",
	kindInt: "a msgpack integer", kindFloat: "a msgpack float", kindString: "a msgpack string",
	kindArray: "a msgpack array", kindMap: "a msgpack map", kindExt: "a msgpack extension",
}

// head is the first part of a value: its kind and lengths, without payload.
type head struct {
	kind     kind
	size     uint8  // bytes of the head itself, a number's value among them
	payload  uint64 // bytes that follow the head
	children uint64 // values that follow the head
	num      uint64 // an integer's bits, a boolean's 1; sign extended
	negative bool
}

// parse reads the head at the start of b; ok is false when b is too short.
func parse(b []byte) (h head, ok bool) {
	if len(b) == 0 {
		return h, false
	}
	c := b[0]
	switch {
	case c < 0x80:
		return head{kind: kindInt, size: 1, num: uint64(c)}, true
	case c < 0x90:
		return head{kind: kindMap, size: 1, children: 2 * uint64(c&0x0f)}, true
	case c < 0xa0:
		return head{kind: kindArray, size: 1, children: uint64(c & 0x0f)}, true
	case c < 0xc0:
		return head{kind: kindString, size: 1, payload: uint64(c & 0x1f)}, true
	case c >= 0xe0:
		return head{kind: kindInt, size: 1, num: uint64(int64(int8(c))), negative: true}, true
	}
	f := fixed[c-0xc0]
	if len(b) < 1+int(f.length) {
		return h, false
	}
	n := bigEndian(b[1 : 1+f.length])
	h = head{kind: f.kind, size: 1 + f.length}
	switch f.kind {
	case kindBool:
		h.num = uint64(c & 1)
	case kindInt:
		h.num = n
		if c >= 0xd0 { // signed: extend
			shift := 64 - 8*uint(f.length)
			h.num = uint64(int64(n<<shift) >> shift)
			h.negative = int64(h.num) < 0
		}
	case kindString:
		h.payload = n
	case kindArray:
		h.children = n
	case kindMap:
		h.children = 2 * n
	case kindExt:
		h.payload = n + 1 // the type byte
		if f.length == 0 {
			h.payload = 1 + 1<<(c-0xd4)
		}
	}
	return h, true
}

// fixed says of each byte from 0xc0 to 0xdf what it starts and how many bytes
// of number or length follow it.
var fixed = [32]struct {
	kind   kind
	length uint8
}{
	{kindNil, 0}, {kindInvalid, 0}, {kindBool, 0}, {kindBool, 0}, // c0..c3
	{kindString, 1}, {kindString, 2}, {kindString, 4}, // c4 bin8..32
	{kindExt, 1}, {kindExt, 2}, {kindExt, 4}, // c7 ext8..32
	{kindFloat, 4}, {kindFloat, 8}, // ca
	{kindInt, 1}, {kindInt, 2}, {kindInt, 4}, {kindInt, 8}, // cc uint8..64
	{kindInt, 1}, {kindInt, 2}, {kindInt, 4}, {kindInt, 8}, // d0 int8..64
	{kindExt, 0}, {kindExt, 0}, {kindExt, 0}, {kindExt, 0}, {kindExt, 0}, // d4 fixext
	{kindString, 1}, {kindString, 2}, {kindString, 4}, // d9 str8, da, db
	{kindArray, 2}, {kindArray, 4}, {kindMap, 2}, {kindMap, 4}, // dc..df
}

func bigEndian(b []byte) uint64 {
	switch len(b) {
	case 1:
		return uint64(b[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(b))
	case 4:
		return uint64(binary.BigEndian.Uint32(b))
	case 8:
		return binary.BigEndian.Uint64(b)
	}
	return 0
}
