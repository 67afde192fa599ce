package receivers

import (
	"context"
	"io"
	"log/slog"

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
func (*Crooked) NoContext(a string, reply *int) error            { return nil } // want `leftout: Register \(receivers.go:\d+\) leaves \*receivers.Crooked.NoContext out: it takes 2 arguments, not 3`
func (*Crooked) NoPointer(ctx context.Context, a string, result int) error { // want `leftout: .*its reply is a int, not a pointer: make it a \*int`
	return nil
}
func (*Crooked) NoError(ctx context.Context, a string, r *int)                    {}             // want `leftout: .*it must return one value, an error`
func (*Crooked) Both(ctx context.Context, a chan string, r chan<- int) error      { return nil } // want `leftout: .*a channel of the wrong direction: make it a <-chan string`
func (*Crooked) Replies(ctx context.Context, a <-chan string, r <-chan int) error { return nil } // want `leftout: .*make it a chan<- int`
func (*Crooked) One(ctx context.Context, a <-chan string, r *int) error           { return nil } // want `leftout: .*of which only one is a channel`
func (*Crooked) Typed(ctx context.Context, a string, out *rpc.Sender[int]) error  { return nil } // serves a typed method, perhaps
func (*Crooked) First(a, b string, resp *int) error                               { return nil } // want `leftout: .*its first argument is string, not a context.Context`

// Component has methods for its own program, which nobody calls from another.
type Component struct{}

func (*Component) Get(ctx context.Context, a string, r *int) error                   { return nil }
func (*Component) LoadConfig(path string, cfg *Config) error                         { return nil }
func (*Component) Walk(ctx context.Context, root string, f func(string) error) error { return nil }
func (*Component) Run(ctx context.Context) error                                     { return nil }
func (*Component) Fill(ctx context.Context, cfg *Config) error                       { return nil }
func (*Component) SetLogger(l *slog.Logger)                                          {}
func (*Component) Store(ctx context.Context, key string, value []byte) error         { return nil }
func (*Component) Copy(ctx context.Context, from, to string, cfg *Config) error      { return nil }
func (*Component) Query(ctx context.Context, q string, o *Config) (int, error)       { return 0, nil }
func (*Component) Equal(ctx context.Context, a, b *Config) bool                      { return false }
func (*Component) Render(ctx context.Context, name string, result io.Writer) error   { return nil }
func (*Component) Visit(ctx context.Context, name string, results func(int)) error   { return nil }
func (*Component) Modify(ctx context.Context, resp *Config) error                    { return nil }
func (*Component) Print(ctx context.Context, format string, a ...*Config) error      { return nil }
func (*Component) Swap(a, b *Config)                                                 {}
func (*Component) Subscribe(name string, events chan<- int) error                    { return nil }
func (*Component) Watch(ctx context.Context, name string, events chan<- int) error   { return nil } // want `leftout: .*of which only one is a channel`
func (*Component) Response(ctx context.Context, name string, response map[string]int) error { // want `leftout: .*its reply is a map\[string\]int, not a pointer`
	return nil
}
func (*Component) Many(ctx context.Context, name string, replies ...*int) error { return nil } // want `leftout: .*it is variadic`
func (*Component) Four(ctx context.Context, a, b string, reply *int) error      { return nil } // want `leftout: .*it takes 4 arguments, not 3`
func (*Component) ByName(ctx context.Context, key string, value []byte) error   { return nil } // want `leftout: .*its reply is a \[\]byte, not a pointer`
func (*Component) Typed(path string, cfg *Config) error                         { return nil } // want `leftout: .*it takes 2 arguments, not 3`

type Config struct{ Path string }

// calling shows which methods were meant to be called.
func calling(c *rpc.Client, n *int) error {
	rpc.NewMethod[string, Config]("Component", "Typed")
	return c.Call("", "Component", "ByName", "key", n)
}

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
	if err := s.Register(&Component{}); err != nil {
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
