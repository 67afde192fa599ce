package wire_test

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	"github.com/ugorji/go/codec"

	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// headerLimits are about production's.
var headerLimits = msgpack.Limits{Bytes: 9 << 10, Values: 1 << 10, Depth: 8}

// addSeeds adds what v0.6 said in a direction, and headers of every sort.
func addSeeds(f *testing.F, dir string) {
	for _, c := range recorded(f) {
		for _, b := range c.said(f, dir) {
			f.Add(b[:min(len(b), 9<<10)])
		}
	}
	for _, b := range anything {
		f.Add(b)
		f.Add(unhex("83", pair("Name", b), pair("Unknown", b), pair("Metadata", unhex("81 a16b", b))))
		f.Add(unhex("83", pair("Error", b), pair("Code", b), pair("Details", unhex("81 a16b", b))))
	}
	f.Add(unhex("85", pair("Name", unhex("a153")), pair("Kind", unhex("02")), pair("Timeout", unhex("cf ffffffffffffffff")),
		pair("Metadata", unhex("82 a16b a176 a16b c0")), pair("Name", unhex("c0"))))
	f.Add(wire.AppendHeader(nil, &wire.Header{Service: "S", Method: "M", Kind: wire.KindStreaming, Begun: true, Timeout: 1}))
	f.Add(wire.AppendResponse(nil, &wire.Response{Code: -1, Begun: true}))
	f.Add(unhex("81 a178", fill(0x91, 100), []byte{0}))
	f.Add(unhex("82 a44e616d65 db7fffffff"))
	f.Add(unhex("df ffffffff"))
}

func decodeLikeV06(b []byte, v any) error {
	return codec.NewDecoderBytes(b, &codec.MsgpackHandle{}).Decode(v)
}

func FuzzParseHeader(f *testing.F) {
	addSeeds(f, "client->server")
	f.Fuzz(func(t *testing.T, b []byte) {
		if msgpack.Check(b, headerLimits) != nil {
			_, _ = wire.ParseHeader(b) // must not panic even so
			return
		}
		h, err := wire.ParseHeader(b)
		if err != nil {
			return
		}
		if h.Timeout < 0 || h.Kind > wire.KindStreaming {
			t.Fatalf("%x: %+v", b, h)
		}
		again := wire.AppendHeader(nil, &h)
		if err := msgpack.Check(again, msgpack.Limits{Bytes: 1 << 20, Values: 1 << 11, Depth: 2}); err != nil {
			t.Fatalf("%x becomes %x: %v", b, again, err)
		}
		if got, err := wire.ParseHeader(again); err != nil || !reflect.DeepEqual(got, h) {
			t.Fatalf("%x: %+v becomes %+v, %v", b, h, got, err)
		}
		// The installed base must read what is written.
		var id struct{ Name, Method string }
		if err := decodeLikeV06(again, &id); err != nil || id.Name != h.Service || id.Method != h.Method {
			t.Fatalf("%x: v0.6 reads %+v as %+v, %v", again, h, id, err)
		}
	})
}

func FuzzParseResponse(f *testing.F) {
	addSeeds(f, "server->client")
	for _, md := range []map[string]string{nil, {"a": "1"}, {"": "", "b": "\xff"}} {
		f.Add(wire.AppendResponse(nil, &wire.Response{Code: -1, Header: md}))
		f.Add(wire.AppendResponse(nil, &wire.Response{Error: "no", Code: 5, Details: md, Header: md, Trailer: md}))
	}
	f.Add(unhex("82", pair("Header", unhex("80")), pair("Trailer", unhex("c0"))))
	f.Add(unhex("81", pair("Trailer", unhex("81 a161 01"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		if msgpack.Check(b, headerLimits) != nil {
			_, _ = wire.ParseResponse(b) // must not panic even so
			return
		}
		r, err := wire.ParseResponse(b)
		if err != nil {
			return
		}
		if r.Code < -1 || r.ErrType < 0 {
			t.Fatalf("%x: %+v", b, r)
		}
		again := wire.AppendResponse(nil, &r)
		if err := msgpack.Check(again, msgpack.Limits{Bytes: 1 << 20, Values: 1 << 11, Depth: 2}); err != nil {
			t.Fatalf("%x becomes %x: %v", b, again, err)
		}
		if got, err := wire.ParseResponse(again); err != nil || !reflect.DeepEqual(got, r) {
			t.Fatalf("%x: %+v becomes %+v, %v", b, r, got, err)
		}
		var theirs struct {
			Service struct{ Name, Method string }
			Error   string
			ErrType int
		}
		if err := decodeLikeV06(again, &theirs); err != nil || theirs.Error != r.Error || theirs.ErrType != r.ErrType {
			t.Fatalf("%x: v0.6 reads %+v as %+v, %v", again, r, theirs, err)
		}
	})
}

// However the bytes come, the same values are found in them.
func FuzzReader(f *testing.F) {
	for _, c := range recorded(f) {
		for i, e := range c.Events {
			if b := unhex(e.Hex); len(b) > 0 && len(b) < 9<<10 {
				f.Add(b, byte(i), i%2 == 0)
			}
		}
	}
	f.Add(unhex("c6 00001000", fill(0, 1<<12)), byte(200), true)
	f.Add(unhex("01 02 c1"), byte(1), false)
	f.Add(unhex("01 dd 7fffffff"), byte(3), false)
	l := msgpack.Limits{Bytes: 8 << 10, Values: 1 << 10, Depth: 8}
	f.Fuzz(func(t *testing.T, b []byte, size byte, eofWithData bool) {
		mem := &memory{}
		var src io.Reader = &chunks{b: b, size: 1 + int(size)}
		if eofWithData {
			src = iotest.DataErrReader(src)
		}
		var r wire.Reader
		r.Init(readOnly{src}, mem, 0)
		for rest := b; ; {
			var s msgpack.Scanner
			s.Reset(l)
			end, done, scanErr := s.Scan(rest)
			v, err := r.Next(l, wire.PaceNone)
			if done {
				if err != nil || !bytes.Equal(v, rest[:end]) {
					t.Fatalf("%x in %x: %x, %v", rest[:end], b, v, err)
				}
				rest = rest[end:]
				continue
			}
			want := scanErr
			if want == nil {
				if want = io.EOF; len(rest) > 0 {
					want = io.ErrUnexpectedEOF
				}
			}
			if v != nil || err == nil || err.Error() != want.Error() {
				t.Fatalf("%x at the end of %x: %x, %v; want %v", rest, b, v, err, want)
			}
			if errors.Is(want, io.EOF) && r.Pending() {
				t.Fatalf("%x: something is left", b)
			}
			break
		}
		r.Close()
		if n := mem.held(); n != 0 {
			t.Fatalf("%d bytes stay reserved", n)
		}
	})
}
