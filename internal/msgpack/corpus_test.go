package msgpack_test

import (
	"bytes"

	"github.com/libp2p/go-libp2p-gorpc/test/corpus"
)

var (
	production = corpus.Production
	unhex      = corpus.Unhex
	hostile    = corpus.Hostile
	recorded   = corpus.Recorded
)

// sample is one whole value with what it takes of each limit.
type sample struct {
	name   string
	b      []byte
	kind   string // as Describe says it
	values int
	depth  int
}

func fill(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// samples has each form of the format, and a few of them nested. Payloads are
// of 0xc1, so that a scanner that looked into one would notice.
func samples() []sample {
	const (
		null, boolean, integer, float = "msgpack nil", "a msgpack boolean", "a msgpack integer", "a msgpack float"
		str, array, dict, ext         = "a msgpack string", "a msgpack array", "a msgpack map", "a msgpack extension"
	)
	payload := func(n int) []byte { return fill(0xc1, n) }
	return []sample{
		{"fixint 0", unhex("00"), integer, 1, 0},
		{"fixint 127", unhex("7f"), integer, 1, 0},
		{"negative -32", unhex("e0"), integer, 1, 0},
		{"negative -1", unhex("ff"), integer, 1, 0},
		{"nil", unhex("c0"), null, 1, 0},
		{"false", unhex("c2"), boolean, 1, 0},
		{"true", unhex("c3"), boolean, 1, 0},
		{"fixmap 0", unhex("80"), dict, 1, 0},
		{"fixmap 1", unhex("81 a161 01"), dict, 3, 1},
		{"fixmap 15", unhex("8f", fill(1, 30)), dict, 31, 1},
		{"fixarray 0", unhex("90"), array, 1, 0},
		{"fixarray 3", unhex("93 01 02 03"), array, 4, 1},
		{"fixarray 15", unhex("9f", fill(0xff, 15)), array, 16, 1},
		{"fixraw 0", unhex("a0"), str, 1, 0},
		{"fixraw 3", unhex("a3", payload(3)), str, 1, 0},
		{"fixraw 31", unhex("bf", payload(31)), str, 1, 0},
		{"bin8 0", unhex("c400"), str, 1, 0},
		{"bin8 255", unhex("c4ff", payload(255)), str, 1, 0},
		{"bin16", unhex("c5 0102", payload(0x102)), str, 1, 0},
		{"bin32", unhex("c6 00000103", payload(0x103)), str, 1, 0},
		{"ext8 0", unhex("c700 05"), ext, 1, 0},
		{"ext8 255", unhex("c7ff 05", payload(255)), ext, 1, 0},
		{"ext16", unhex("c8 0102 05", payload(0x102)), ext, 1, 0},
		{"ext32", unhex("c9 00000103 05", payload(0x103)), ext, 1, 0},
		{"float32", unhex("ca", payload(4)), float, 1, 0},
		{"float64", unhex("cb", payload(8)), float, 1, 0},
		{"uint8", unhex("cc", payload(1)), integer, 1, 0},
		{"uint16", unhex("cd", payload(2)), integer, 1, 0},
		{"uint32", unhex("ce", payload(4)), integer, 1, 0},
		{"uint64", unhex("cf", payload(8)), integer, 1, 0},
		{"int8", unhex("d0", payload(1)), integer, 1, 0},
		{"int16", unhex("d1", payload(2)), integer, 1, 0},
		{"int32", unhex("d2", payload(4)), integer, 1, 0},
		{"int64", unhex("d3", payload(8)), integer, 1, 0},
		{"fixext 1", unhex("d4 05", payload(1)), ext, 1, 0},
		{"fixext 2", unhex("d5 05", payload(2)), ext, 1, 0},
		{"fixext 4", unhex("d6 05", payload(4)), ext, 1, 0},
		{"fixext 8", unhex("d7 05", payload(8)), ext, 1, 0},
		{"fixext 16", unhex("d8 05", payload(16)), ext, 1, 0},
		{"str8", unhex("d920", payload(32)), str, 1, 0},
		{"raw16", unhex("da 0102", payload(0x102)), str, 1, 0},
		{"raw32", unhex("db 00000103", payload(0x103)), str, 1, 0},
		{"array16 0", unhex("dc 0000"), array, 1, 0},
		{"array16", unhex("dc 0102", fill(0xc0, 0x102)), array, 0x103, 1},
		{"array32", unhex("dd 00000103", fill(0xc0, 0x103)), array, 0x104, 1},
		{"map16 0", unhex("de 0000"), dict, 1, 0},
		{"map16", unhex("de 0011", fill(0xc0, 0x22)), dict, 0x23, 1},
		{"map32", unhex("df 00000012", fill(0xc0, 0x24)), dict, 0x25, 1},
		{"chain", unhex("91 91 91 91 01"), array, 5, 4},
		{"first child deep", unhex("92 92 92 01 02 03 04"), array, 7, 3},
		{"last child deep", unhex("92 04 92 03 92 02 01"), array, 7, 3},
		{"siblings", unhex("93 91 01 91 02 91 03"), array, 7, 2},
		{"empty innermost", unhex("91 91 90"), array, 3, 2},
		{"map of maps", unhex("82 a161 81 a162 c0 a163 92 cb", payload(8), unhex("d8 05", payload(16))), dict, 9, 2},
	}
}
