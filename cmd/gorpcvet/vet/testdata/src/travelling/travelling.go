package travelling

import (
	"context"
	"io"
	"math/big"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"
)

type Whole struct {
	At     time.Time
	From   peer.ID
	Any    any
	Next   *Whole
	Parts  map[string][]Whole
	hidden func()
	Out    func()   `codec:"-"`
	Log    chan int `json:"-"`
}

type Inner struct {
	C chan int // want `travels: the argument of travelling.Bad.Chan cannot travel whole: of travelling.Chans, field List.C is a chan \(chan int\)`
}

type Chans struct{ List []Inner }

type Funcs struct {
	F func() // want `travels: the reply of travelling.Bad.Func cannot travel whole: of travelling.Funcs, field F is a func`
}

type Readers struct {
	R io.Reader // want `travels: .*field R is the interface io.Reader, which does not say what to decode into; use a concrete type`
}

type Numbers struct {
	N big.Int // want `travels: .*field N is a big.Int, which has no exported fields and only a text form`
}

type Good struct{}

func (Good) Get(ctx context.Context, a Whole, r *Whole) error { return nil }

type Bad struct{}

func (Bad) Chan(ctx context.Context, a Chans, r *int) error                    { return nil }
func (Bad) Func(ctx context.Context, a int, r *Funcs) error                    { return nil }
func (Bad) Read(ctx context.Context, in <-chan *Readers, out chan<- int) error { return nil }

var numbers = rpc.NewMethod[Numbers, int]("Numbers", "Add")

func serve(s *rpc.Server) {
	_ = s.Register(Good{})
	_ = s.Register(Bad{})
	_ = numbers.Handle(s, nil)
	_ = s.RegisterFunc("F", "Err", func(ctx context.Context, a int, r *error) error { return nil }) // want `travels: the reply of the function cannot travel whole: of error, it is the interface error`
}
