package receivers

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

type Good struct{}

func (Good) Get(ctx context.Context, a string, r *int) error              { return nil }
func (Good) All(ctx context.Context, a <-chan string, r chan<- int) error { return nil }
func (Good) Close() error                                                 { return nil }
func (Good) String() string                                               { return "" }
func (Good) Start(ctx context.Context, n int) error                       { return nil }
func (Good) TagRPC(ctx context.Context, info *Good) context.Context       { return ctx }
func (Good) hidden(ctx context.Context, a string, r int) error            { return nil }

type Crooked struct{}

func (*Crooked) Get(ctx context.Context, a string, r *int) error { return nil }
func (*Crooked) NoContext(a string, r *int) error                { return nil } // want `leftout: Register \(receivers.go:\d+\) leaves \*receivers.Crooked.NoContext out: it takes 2 arguments, not 3`
func (*Crooked) NoPointer(ctx context.Context, a string, r int) error { // want `leftout: .*its reply is a int, not a pointer: make it a \*int`
	return nil
}
func (*Crooked) NoError(ctx context.Context, a string, r *int)                    {}             // want `leftout: .*it must return one value, an error`
func (*Crooked) Both(ctx context.Context, a chan string, r chan<- int) error      { return nil } // want `leftout: .*a channel of the wrong direction: make it a <-chan string`
func (*Crooked) Replies(ctx context.Context, a <-chan string, r <-chan int) error { return nil } // want `leftout: .*make it a chan<- int`
func (*Crooked) One(ctx context.Context, a <-chan string, r *int) error           { return nil } // want `leftout: .*of which only one is a channel`
func (*Crooked) Typed(ctx context.Context, a string, out *rpc.Sender[int]) error  { return nil } // serves a typed method, perhaps
func (*Crooked) First(a, b string, r *int) error                                  { return nil } // want `leftout: .*its first argument is string, not a context.Context`

type None struct{}

func (None) Close() error { return nil }

type unseen struct{}

func (unseen) Get(ctx context.Context, a string, r *int) error { return nil }

type Pointers struct{}

func (*Pointers) Get(ctx context.Context, a string, r *int) error { return nil }
func (Pointers) Put(ctx context.Context, a string, r *int) error  { return nil }

func right(s *rpc.Server, rcvr any) error {
	_ = s.Register(rcvr)
	_ = s.RegisterName("Unseen", unseen{})
	_ = s.RegisterFunc("Good", "More", Good{}.Get)
	if err := s.Register(&Pointers{}); err != nil {
		return err
	}
	return s.Register(Good{})
}

func wrong(s *rpc.Server, c *rpc.Client) error {
	s.Register(Good{})                    // want `dropped: the error of Register is dropped`
	go s.RegisterName("A", Good{})        // want `dropped: the error of RegisterName is dropped`
	c.MultiCall(nil, nil, "", "", 1, nil) // want `dropped: the errors of MultiCall`
	_ = s.Register(&Crooked{})
	_ = s.Register(nil)                              // want `register: nothing is registered: nil has no methods`
	_ = s.Register(None{})                           // want `register: Register refuses a receivers.None: it has no method of the form`
	_ = s.Register(unseen{})                         // want `register: Register refuses a receivers.unseen: its type has no exported name`
	_ = s.Register(Pointers{})                       // want `leftout: Register leaves out methods whose receiver is a pointer, Get: register a \*receivers.Pointers`
	_ = s.RegisterFunc("A", "B", 7)                  // want `register: a int is no function`
	_ = s.RegisterFunc("A", "B", func() {})          // want `register: the function is refused: it takes 0 arguments`
	rpc.NewMethod[int, int]("A", "C").Handle(s, nil) // want `dropped: the error of Handle is dropped`
	return nil
}

func mocks(s *rpctest.Server) {
	s.Mock("Mocked", rpctest.Methods{
		"Get":  func(ctx context.Context, a string, r *int) error { return nil },
		"Gone": func(ctx context.Context, a string) error { return nil }, // want `register: the mock of Gone is refused: it takes 2 arguments`
	})
}
