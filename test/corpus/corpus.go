// Package corpus has the messages that tests of msgpack's readers share.
package corpus

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
)

// Production is what the library sets unless told otherwise.
var Production = msgpack.Limits{Bytes: 16 << 20, Values: 262144, Depth: 64}

// Unhex joins hex digits and spaces; what follows them is appended as it is.
func Unhex(digits string, tail ...[]byte) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		panic(err)
	}
	return slices.Concat(append([][]byte{b}, tail...)...)
}

func fill(c byte, n int) []byte { return bytes.Repeat([]byte{c}, n) }

// Input is what no reader of messages may be impressed by.
type Input struct {
	Name  string
	B     []byte
	Limit msgpack.Limit // of Production, that it exceeds
	Shows int           // how many of its bytes show that; -1 is all
}

// Hostile returns inputs that exceed a limit: by one level, value or byte, or by a
// length that nothing follows.
func Hostile() []Input {
	const all = -1
	nested := func(level string, n int) []byte { return append(bytes.Repeat(Unhex(level), n), 0xc0) }
	return []Input{
		{"bin32 of 16 MiB and a byte", Unhex("c6 00fffffc"), msgpack.LimitBytes, all},
		{"raw32 of 16 MiB and a byte", Unhex("db 00fffffc"), msgpack.LimitBytes, all},
		{"ext32 of 16 MiB and a byte", Unhex("c9 00fffffb 05"), msgpack.LimitBytes, 5},
		{"array32 of a value too many", Unhex("dd 00040000"), msgpack.LimitValues, all},
		{"map32 of two values too many", Unhex("df 00020000"), msgpack.LimitValues, all},
		{"a name that is too long", Unhex("82 a44e616d65 db00fffffc"), msgpack.LimitBytes, all},
		{"a string that is too long in a struct", Unhex("81 a153 c6 00fffffc"), msgpack.LimitBytes, all},
		{"arrays of 64 Ki, the fourth inside others", bytes.Repeat(Unhex("dc ffff"), 5), msgpack.LimitValues, 15},
		{"array16, a level too many", nested("dc 0001", 65), msgpack.LimitDepth, 65 * 3},
		{"arrays, a level too many", nested("91", 65), msgpack.LimitDepth, 65},
		{"maps, a level too many", nested("81", 65), msgpack.LimitDepth, 65},
		{"map values, a level too many", nested("81 c0", 65), msgpack.LimitDepth, 64*2 + 1},
		{"a level too many in an unknown field", Unhex("81 a178", nested("91", 64)), msgpack.LimitDepth, 3 + 64},
		{"array32 of a value too many, whole", Unhex("dd 00040000", fill(0xc0, 1<<18)), msgpack.LimitValues, 5},
		{"a value too many, late", Unhex("92 dc fffe", fill(0xc0, 0xfffe), Unhex("dd 00030000"), fill(0xc0, 0x30000)),
			msgpack.LimitValues, 1 + 3 + 0xfffe + 5},
		{"16 MiB and a byte", Unhex("c6 00fffffc", fill(0, 16<<20-4)), msgpack.LimitBytes, 5},
	}
}

// Recorded returns what v0.6 said, direction by direction.
func Recorded(tb testing.TB) (all [][]byte) {
	raw, err := os.ReadFile("../../test/compat/testdata/transcripts.json")
	if err != nil {
		tb.Fatal(err)
	}
	var file struct {
		Cases []struct{ Events []struct{ Hex string } }
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		tb.Fatal(err)
	}
	for _, c := range file.Cases {
		for _, e := range c.Events {
			if e.Hex == "" {
				continue
			}
			b, err := hex.DecodeString(e.Hex)
			if err != nil {
				tb.Fatal(err)
			}
			all = append(all, b)
		}
	}
	if len(all) < 100 {
		tb.Fatalf("only %d recordings", len(all))
	}
	return all
}
