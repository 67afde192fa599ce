package calling

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"

	"whole/api"
)

func right(ctx context.Context, c *rpc.Client, dest peer.ID, v any) error {
	var pin api.Pin
	var old api.OldPin
	var n int64
	var out any
	_ = c.Call(dest, api.Pins, "Get", "a", &pin)
	_ = c.CallContext(ctx, dest, "Pi"+"ns", "Get", "a", &old)
	_ = c.Call(dest, "Pins", "Put", pin, &struct{}{})
	_ = c.Call(dest, "Pins", "Put", &pin, &struct{}{})
	_ = c.Call(dest, "Pins", "Put", old, &struct{}{})
	_ = c.Call("", "Pins", "Put", pin, &struct{}{})
	_ = c.Call(dest, "Pins", "Count", "a", &n)
	_ = c.Call(dest, "Pins", "Any", 1, &out)
	_ = c.Call(dest, "Pins", "Any", "a", &pin)
	_ = c.Call(dest, "Pins", "Get", v, v)
	_ = c.Go(dest, "Clock", "Now", "UTC", new(int), make(chan *rpc.Call, 1))
	_ = c.GoContext(ctx, dest, "Clock", "Now", "UTC", new(int), nil)
	replies := []any{&pin, &api.Pin{}}
	_ = c.MultiCall(make([]context.Context, 2), make([]peer.ID, 2), "Pins", "Get", "a", replies)
	_ = c.Call(dest, "rpc.Descriptions", "Describe", struct{}{}, &out)
	_ = c.Call(dest, "Pinz", "Get", "a", &pin) //gorpcvet:ignore service served by a plug-in
	return nil
}

func wrong(ctx context.Context, c *rpc.Client, dest peer.ID) {
	var pin api.Pin
	var thin api.ThinPin
	var old api.OldPin
	var n int
	_ = c.Call(dest, "Pinz", "Get", "a", &pin)                                     // want `service: no service Pinz is registered.*is Pins meant`
	_ = c.Call(dest, "Pins", "Gett", "a", &pin)                                    // want `method: service Pins has no method Gett: is Get meant\?; it has Any, Count, Find, Get, Hash, List, New, Put`
	_ = c.Call(dest, "Clock", "Then", "a", &pin)                                   // want `method: service Clock has no method Then`
	_ = c.Call(dest, "Pins", "List", "a", &pin)                                    // want `kind: Pins.List is a streaming method`
	_ = c.Call(dest, "Pins", "Get", 7, &pin)                                       // want `argument: Pins.Get: the argument is a int here, and the method \(serving.go:29\) has a string`
	_ = c.Call(dest, "Pins", "Get", "a", &n)                                       // want `reply: Pins.Get: the reply is a int here`
	_ = c.Call(dest, "Pins", "Get", "a", pin)                                      // want `reply: Pins.Get: the reply is a api.Pin, no pointer`
	_ = c.Call(dest, "Pins", "Get", "a", nil)                                      // want `reply: Pins.Get: the reply is nil`
	_ = c.Call(dest, "Pins", "Get", "a", &thin)                                    // want `reply: .*the method sends Depth, which the caller does not have`
	_ = c.Call(dest, "Pins", "Put", thin, &struct{}{})                             // want `argument: .*the caller does not send Depth`
	_ = c.Call("", "Pins", "Put", old, &struct{}{})                                // want `argument: .*a call of the own process needs the same type`
	_ = c.Call(dest, "Pins", "Count", "a", &n)                                     // want `reply: .*the reply is a int here, and the method .* has a int64`
	_ = c.Go(dest, "Clock", "Now", "UTC", &n, make(chan *rpc.Call))                // want `done: Clock.Now: the done channel has no room`
	_ = c.GoContext(ctx, dest, "Clock", "Now", "UTC", &n, make(chan *rpc.Call, 0)) // want `done: Clock.Now: the done channel has no room`
	none := make(chan *rpc.Call)                                                   // want `done: Clock.Now: the done channel has no room`
	_ = c.Go(dest, "Clock", "Now", "UTC", &n, none)
	_ = c.MultiCall(make([]context.Context, 2), []peer.ID{dest}, "Pins", "Get", "a", []any{&pin, &pin}) // want `lengths: Pins.Get: 2 contexts and 1 destinations`
	_ = c.MultiCall(nil, nil, "Pins", "Get", "a", []any{&n})                                            // want `lengths: .*0 contexts and 1 replies` `reply: Pins.Get: the reply is a int here`
	service := "Pinz"
	_ = c.Call(dest, service, "Get", "a", &pin) // want `service: no service Pinz`
}

func streams(ctx context.Context, c *rpc.Client, dest peer.ID, out <-chan api.Pin) {
	names, pins := make(chan string), make(chan api.Pin)
	close(names)
	_ = c.Stream(ctx, dest, "Pins", "List", names, pins)
	_ = c.Stream(ctx, dest, "Pins", "List", (<-chan string)(names), (chan<- api.Pin)(pins))
	_ = c.Stream(ctx, dest, "Pins", "Get", names, pins)                   // want `kind: Pins.Get is a unary method`
	_ = c.Stream(ctx, dest, "Pins", "List", names, out)                   // want `channel: Pins.List: the replies are a <-chan api.Pin, a channel of the wrong direction`
	_ = c.Stream(ctx, dest, "Pins", "List", "a", pins)                    // want `channel: Pins.List: the arguments are a string, no channel`
	_ = c.Stream(ctx, dest, "Pins", "List", nil, pins)                    // want `channel: Pins.List: the arguments channel is nil`
	_ = c.Stream(ctx, dest, "Pins", "List", (chan<- string)(names), pins) // want `channel: Pins.List: the arguments are a chan<- string, a channel of the wrong direction`
	_ = c.Stream(ctx, dest, "Pins", "List", make(chan int), pins)         // want `argument: Pins.List: the argument is a int here`
	_ = c.MultiStream(ctx, nil, "Pins", "List", names, make(chan int))    // want `reply: Pins.List: the reply is a int here`
}

// ask is a call by name with names of its own.
func ask(c *rpc.Client, method string, args, reply any) error {
	return c.Call("", api.Pins, method, args, reply)
}

type component struct{ client *rpc.Client }

func (p *component) asking(method string, args, reply any) error {
	return ask(p.client, method, args, reply)
}

func wrapped(p *component) {
	var pin api.Pin
	_ = ask(nil, "Get", "a", &pin)
	_ = ask(nil, "Gett", "a", &pin) // want `method: service Pins has no method Gett`
	_ = p.asking("Get", 7, &pin)    // want `argument: Pins.Get: the argument is a int here`
	_ = p.asking("Get", "a", pin)   // want `reply: Pins.Get: the reply is a api.Pin, no pointer`
}

// askAny changes what it is called with.
func askAny(c *rpc.Client, method string, args, reply any) error {
	if method == "" {
		method = "Get"
	}
	if reply == nil {
		reply = &struct{}{}
	}
	return c.Call("", api.Pins, method, args, reply)
}

// askEither calls one of two services.
func askEither(c *rpc.Client, clock bool, method string, args, reply any) error {
	if clock {
		return c.Call("", "Clock", method, args, reply)
	}
	return c.Call("", api.Pins, method, args, reply)
}

// askSoon calls one service in two ways.
func askSoon(ctx context.Context, c *rpc.Client, method string, args, reply any) error {
	if ctx == nil {
		return c.Call("", api.Pins, method, args, reply)
	}
	return c.CallContext(ctx, "", api.Pins, method, args, reply)
}

func wrappedOtherwise(ctx context.Context, c *rpc.Client) {
	var pin api.Pin
	_ = askAny(c, "", "a", nil)
	_ = askEither(c, false, "Get", "a", &pin)
	_ = askSoon(ctx, c, "Get", "a", &pin)
	_ = askSoon(ctx, c, "Gett", "a", &pin) // want `method: service Pins has no method Gett`
}

func filledLater(ctx context.Context, c *rpc.Client, dest peer.ID) {
	var a, b api.Pin
	replies := []any{nil, nil}
	replies[0], replies[1] = &a, &b
	_ = c.MultiCall([]context.Context{ctx, ctx}, []peer.ID{dest, dest}, "Pins", "Get", "a", replies)
	_ = c.MultiCall([]context.Context{ctx}, []peer.ID{dest, dest}, "Pins", "Get", "a", replies) // want `lengths: Pins.Get: 1 contexts and 2 destinations`
	none := []any{nil}                                                                          // want `reply: Pins.Get: the reply is nil`
	_ = c.MultiCall([]context.Context{ctx}, []peer.ID{dest}, "Pins", "Get", "a", none)
}

// doubled is a name that is long to read.
func doubled(c *rpc.Client) {
	a := ""
	b := a + a + a + a + a + a + a + a
	d := b + b + b + b + b + b + b + b
	e := d + d + d + d + d + d + d + d
	f := e + e + e + e + e + e + e + e
	g := f + f + f + f + f + f + f + f
	h := g + g + g + g + g + g + g + g
	i := h + h + h + h + h + h + h + h
	j := i + i + i + i + i + i + i + i
	k := j + j + j + j + j + j + j + j
	l := k + k + k + k + k + k + k + k
	_ = c.Call("", "Pins", "Get"+l, "a", new(api.Pin))
}

var (
	get    = rpc.NewMethod[string, api.Pin]("Pins", "Get")
	count  = rpc.NewMethod[string, string]("Pins", "Count") // want `reply: Pins.Count .*the method sends int64`
	lister = rpc.NewMethod[string, api.Pin]("Pins", "List") // want `kind: Pins.List is declared as a unary method`
	list   = rpc.NewServerStream[string, api.Pin]("Pins", "List")
	new_   = rpc.NewMethod[string, api.Pin]("Pins", "New")
)

// bytes and strings fit each other, but for calls of the own process.
func bytes(c *rpc.Client, dest peer.ID) {
	var text string
	var raw []byte
	var short [4]byte
	_ = c.Call(dest, "Pins", "Hash", "of", &raw)
	_ = c.Call(dest, "Pins", "Hash", raw, &text)
	_ = c.Call(dest, "Pins", "Find", raw, &text)
	_ = c.Call(dest, "Pins", "Find", text, &raw)
	_ = c.Call("", "Pins", "Hash", "of", &raw)       // want `argument: .*the argument is a string here.*a call of the own process needs the same type; use a \[\]byte`
	_ = c.Call("", "Pins", "Find", raw, &text)       // want `argument: .*a call of the own process needs the same type; use a string`
	_ = c.Call(dest, "Pins", "Hash", []int{1}, &raw) // want `argument: .*the caller sends \[\]int \(a list\), and the method takes \[\]byte`
	_ = c.Call(dest, "Pins", "Hash", raw, &short)    // want `reply: .*the caller takes \[4\]byte \(bytes\): another length fails`
}
