package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"testing"

	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// A large value with nothing behind it is handed over with its memory, which is
// no larger than it; nothing else is.
func TestReaderNextToKeep(t *testing.T) {
	t.Parallel()
	large := func(n int) []byte { return unhex(fmt.Sprintf("db %08x", n-5), fill(1, n-5)) }
	for _, test := range []struct {
		name   string
		values [][]byte
		kept   bool // the first
	}{
		{"small", [][]byte{unhex("a3 616263")}, false},
		{"as large as the first buffer", [][]byte{large(firstBuffer)}, false},
		{"larger", [][]byte{large(firstBuffer + 1)}, true},
		{"large", [][]byte{large(200_000)}, true},
		{"larger than its announcement lets it grow at once", [][]byte{large(1 << 20)}, true},
		{"much larger", [][]byte{large(4<<20 + 1)}, true},
		{"large, with one behind it", [][]byte{large(200_000), unhex("a1 78")}, true},
		{"small, with one behind it", [][]byte{unhex("a3 616263"), unhex("a1 78")}, false},
		{"list", [][]byte{unhex("dc 4000", fill(0xa0, 1<<14))}, true},
	} {
		for _, size := range []int{1 << 20, 1000} {
			t.Run(fmt.Sprint(test.name, "/", size), func(t *testing.T) {
				t.Parallel()
				src := &chunks{b: bytes.Join(test.values, nil), size: size}
				mem := &memory{}
				mem.check = func(total int) {
					if total > 5*src.given && (src.given < unreserved || total > 16*unreserved) {
						t.Errorf("%d bytes are reserved when %d have come", total, src.given)
					}
				}
				var r wire.Reader
				r.Init(readOnly{src}, mem, 0)
				first, kept, err := r.NextToKeep(production, wire.PaceNone, true)
				if !bytes.Equal(first, test.values[0]) || err != nil || kept != test.kept {
					t.Fatalf("%d bytes, kept %v, %v", len(first), kept, err)
				}
				if kept && cap(first) != len(first) {
					t.Errorf("%d bytes keep %d", len(first), cap(first))
				}
				if kept && mem.held() != 0 {
					t.Errorf("%d bytes of what was handed over are still accounted for", mem.held())
				}
				copied := bytes.Clone(first)
				for _, want := range test.values[1:] {
					if v, err := r.Next(production, wire.PaceNone); !bytes.Equal(v, want) || err != nil {
						t.Errorf("then %x, %v", v, err)
					}
				}
				if _, kept, err := r.NextToKeep(production, wire.PaceNone, true); err != io.EOF || kept {
					t.Errorf("at the end: %v, %v", kept, err)
				}
				r.Close()
				if mem.held() != 0 {
					t.Errorf("%d bytes stay reserved", mem.held())
				}
				if kept && !bytes.Equal(first, copied) {
					t.Error("what was handed over has changed")
				}
			})
		}
	}
}
