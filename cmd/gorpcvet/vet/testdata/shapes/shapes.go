// Package shapes has types that are described twice: as a program has them, and as
// its sources say.
package shapes

import (
	"io"
	"math/big"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/ugorji/go/codec"
)

type Scalars struct {
	A int8
	B uint
	C float32
	D string
	E []byte
	F [4]byte
	G bool
	H complex128
	I uintptr
}

type Tagged struct {
	A int `codec:"a,omitempty"`
	B int `json:"b"`
	C int `codec:"-"`
	d int
}

type Array struct {
	_struct bool `codec:",toarray"`
	X, Y    int
}

type Inner struct {
	Name  string
	Depth int
}

type Embeds struct {
	Inner
	*Tagged
	Depth string
	Own   peer.ID
	At    time.Time
	Any   any
}

type Nested struct {
	Next  *Nested
	Parts map[string][]*Embeds
	Lists [3]map[int]Array
	Of    Of[Inner]
}

type Of[T any] struct{ Value T }

type (
	WithFunc   struct{ In struct{ F func() } }
	WithChan   struct{ All map[string][]chan int }
	WithReader struct{ Inner Of[io.Reader] }
	WithText   struct{ N *big.Int }
	WithHidden struct{ n int }
)

// What of a type is lost, by each of the rules.
type (
	HalfForm  struct{ n int }
	OtherHalf struct{ n int }
	JSONOnly  struct{ n int }
	GobOnly   struct{ n int }

	BesideTime struct {
		time.Time
		Name string
		Note string `codec:"-"`
	}
	BesideDeep struct { // the form is that of Time, which is embedded less deep
		Deep BesideTime
		hasTime
		time.Time
		Name string
	}
	hasTime       struct{ T }
	T             struct{ time.Time }
	BesideGeneric struct {
		Generic[int]
		Name string
	}
	Generic[V any] struct{ time.Time }
	Declares       struct {
		time.Time
		Name string
	}
	HiddenPointer struct {
		*inner
		Own string
	}
	inner   struct{ X int }
	OneName struct{ left }
	left    struct{ A, B int }
	right   struct{ B int }
	Twice   struct {
		left
		right
	}
	TaggedTwice struct {
		A int `codec:"n"`
		B int `codec:"n"`
	}
	EmbedsHidden struct {
		JSONOnly
		Own string
	}
	TwoForms struct {
		time.Time
		Tiny
		Own string
	}
	Tiny   byte
	Locked struct {
		sync.Mutex
		N int
	}
	Options struct{ Array }
	Itself  struct {
		*Itself
		Depth int
	}
	Raw struct {
		Raw  codec.Raw
		Self Self
	}
	Self struct{ n int }
)

func (h HalfForm) MarshalBinary() ([]byte, error)   { return []byte{byte(h.n)}, nil }
func (h *OtherHalf) UnmarshalBinary(b []byte) error { h.n = int(b[0]); return nil }
func (j JSONOnly) MarshalJSON() ([]byte, error)     { return []byte{byte(j.n)}, nil }
func (g *GobOnly) GobEncode() ([]byte, error)       { return []byte{byte(g.n)}, nil }
func (d Declares) MarshalBinary() ([]byte, error)   { return []byte(d.Name), nil }
func (d *Declares) UnmarshalBinary(b []byte) error  { d.Name = string(b); return nil }
func (t Tiny) MarshalBinary() ([]byte, error)       { return []byte{byte(t)}, nil }
func (t *Tiny) UnmarshalBinary(b []byte) error      { *t = Tiny(b[0]); return nil }
func (s *Self) CodecEncodeSelf(e *codec.Encoder)    { e.MustEncode(s.n) }
func (s *Self) CodecDecodeSelf(d *codec.Decoder)    { d.MustDecode(&s.n) }

// All is one value of each.
var All = map[string]any{
	"Scalars": Scalars{}, "Tagged": Tagged{}, "Array": Array{}, "Embeds": Embeds{}, "Nested": Nested{}, "WithFunc": WithFunc{},
	"WithChan": WithChan{}, "WithReader": WithReader{}, "WithText": WithText{}, "WithHidden": WithHidden{},
	"HalfForm": HalfForm{}, "OtherHalf": OtherHalf{}, "JSONOnly": JSONOnly{}, "GobOnly": GobOnly{}, "BesideTime": BesideTime{},
	"BesideDeep": BesideDeep{}, "BesideGeneric": BesideGeneric{}, "Declares": Declares{}, "HiddenPointer": HiddenPointer{},
	"OneName": OneName{}, "Twice": Twice{}, "TaggedTwice": TaggedTwice{}, "EmbedsHidden": EmbedsHidden{}, "TwoForms": TwoForms{},
	"Locked": Locked{}, "Options": Options{}, "Itself": Itself{}, "Raw": Raw{},
}
