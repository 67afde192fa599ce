package msgpack

import "encoding/binary"

// Kind is what a value is.
type Kind uint8

// The kinds of values.
const (
	KindInvalid Kind = iota
	KindNil
	KindBool
	KindInt
	KindFloat
	KindString // raw, str or bin: v0.6 writes strings and byte slices alike
	KindArray
	KindMap
	KindExt
)

// kindNames are what a person reads in an error.
var kindNames = [...]string{
	KindInvalid: "an invalid byte", KindNil: "msgpack nil", KindBool: "a msgpack boolean",
	KindInt: "a msgpack integer", KindFloat: "a msgpack float", KindString: "a msgpack string",
	KindArray: "a msgpack array", KindMap: "a msgpack map", KindExt: "a msgpack extension",
}

// Head is the first part of a value: its kind and lengths, without payload.
type Head struct {
	Kind     Kind
	Size     uint8  // bytes of the head itself, a number's value among them
	Payload  uint64 // bytes that follow the head
	Children uint64 // values that follow the head
	Num      uint64 // the bits of a number, a boolean's 1; integers are sign extended
	Negative bool
}

// Parse reads the head at the start of b; ok is false when b is too short.
func Parse(b []byte) (h Head, ok bool) {
	if len(b) == 0 {
		return h, false
	}
	c := b[0]
	switch {
	case c < 0x80:
		return Head{Kind: KindInt, Size: 1, Num: uint64(c)}, true
	case c < 0x90:
		return Head{Kind: KindMap, Size: 1, Children: 2 * uint64(c&0x0f)}, true
	case c < 0xa0:
		return Head{Kind: KindArray, Size: 1, Children: uint64(c & 0x0f)}, true
	case c < 0xc0:
		return Head{Kind: KindString, Size: 1, Payload: uint64(c & 0x1f)}, true
	case c >= 0xe0:
		return Head{Kind: KindInt, Size: 1, Num: uint64(int64(int8(c))), Negative: true}, true
	}
	f := fixed[c-0xc0]
	if len(b) < 1+int(f.length) {
		return h, false
	}
	n := bigEndian(b[1 : 1+f.length])
	h = Head{Kind: f.kind, Size: 1 + f.length}
	switch f.kind {
	case KindBool:
		h.Num = uint64(c & 1)
	case KindFloat:
		h.Num = n
	case KindInt:
		h.Num = n
		if c >= 0xd0 { // signed: extend
			shift := 64 - 8*uint(f.length)
			h.Num = uint64(int64(n<<shift) >> shift)
			h.Negative = int64(h.Num) < 0
		}
	case KindString:
		h.Payload = n
	case KindArray:
		h.Children = n
	case KindMap:
		h.Children = 2 * n
	case KindExt:
		h.Payload = n + 1 // the type byte
		if f.length == 0 {
			h.Payload = 1 + 1<<(c-0xd4)
		}
	}
	return h, true
}

// fixed says of each byte from 0xc0 to 0xdf what it starts and how many bytes
// of number or length follow it.
var fixed = [32]struct {
	kind   Kind
	length uint8
}{
	{KindNil, 0}, {KindInvalid, 0}, {KindBool, 0}, {KindBool, 0}, // c0..c3
	{KindString, 1}, {KindString, 2}, {KindString, 4}, // c4 bin8..32
	{KindExt, 1}, {KindExt, 2}, {KindExt, 4}, // c7 ext8..32
	{KindFloat, 4}, {KindFloat, 8}, // ca
	{KindInt, 1}, {KindInt, 2}, {KindInt, 4}, {KindInt, 8}, // cc uint8..64
	{KindInt, 1}, {KindInt, 2}, {KindInt, 4}, {KindInt, 8}, // d0 int8..64
	{KindExt, 0}, {KindExt, 0}, {KindExt, 0}, {KindExt, 0}, {KindExt, 0}, // d4 fixext
	{KindString, 1}, {KindString, 2}, {KindString, 4}, // d9 str8, da, db
	{KindArray, 2}, {KindArray, 4}, {KindMap, 2}, {KindMap, 4}, // dc..df
}

// fixedSize is how long a value is that begins with a byte, if the byte alone says
// so and the value has no parts; else 0.
var fixedSize = func() (sizes [256]uint8) {
	for c := range sizes {
		h, ok := Parse([]byte{byte(c), 0, 0, 0, 0, 0, 0, 0, 0, 0})
		lengths := c >= 0xc4 && c <= 0xc9 || c >= 0xd9 && c <= 0xdf
		if ok && h.Kind != KindInvalid && h.Children == 0 && !lengths {
			sizes[c] = h.Size + uint8(h.Payload)
		}
	}
	return sizes
}()

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
