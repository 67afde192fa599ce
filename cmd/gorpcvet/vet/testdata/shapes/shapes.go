// Package shapes has types that are described twice: as a program has them, and as
// its sources say.
package shapes

import (
	"io"
	"math/big"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
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

// All is one value of each.
var All = map[string]any{
	"Scalars": Scalars{}, "Tagged": Tagged{}, "Array": Array{}, "Embeds": Embeds{}, "Nested": Nested{}, "WithFunc": WithFunc{},
	"WithChan": WithChan{}, "WithReader": WithReader{}, "WithText": WithText{}, "WithHidden": WithHidden{},
}
