// Package rpc makes the methods of Go values callable by the peers of a libp2p
// host, and by the other components of the same process, without generated
// code.
//
// A method is declared once, with its names and its types, and that value
// serves both ends:
//
//	var Multiply = rpc.NewMethod[Args, int]("Arith", "Multiply")
//
//	server := rpc.NewServer(host1, "/arith/1.0")
//	err := Multiply.Handle(server, func(ctx context.Context, args Args) (int, error) {
//		return args.A * args.B, nil
//	})
//
//	client := rpc.NewClient(host2, "/arith/1.0")
//	product, err := Multiply.Call(ctx, client, host1.ID(), Args{6, 7})
//
// A [Server] serves methods under a libp2p protocol ID. A [Client] calls them
// by peer ID. If the destination is the host itself, or empty, the client calls the
// method directly, in the same process, and encodes nothing. The components of a
// program can therefore call each other by RPC only: the same line of code calls one
// on the own peer or on another.
//
// Beside [Method] there are [ServerStream], [ClientStream] and [Duplex], for
// many replies, many arguments, and both.
//
// As with net/rpc, a server also takes receivers, whose methods it finds by
// reflection, and a client also calls by name. Both forms make the same calls: a typed
// client can call a receiver, and a client that calls by name a typed method.
//
//	type Arith struct{}
//
//	func (Arith) Multiply(ctx context.Context, args Args, product *int) error {
//		*product = args.A * args.B
//		return nil
//	}
//
//	err := server.Register(Arith{})
//
//	var product int
//	err = client.CallContext(ctx, host1.ID(), "Arith", "Multiply", Args{6, 7}, &product)
//
// # Methods
//
// Register takes the exported methods of a value that have one of two forms:
//
//	func (t T) Unary(ctx context.Context, arg A, reply *R) error
//	func (t T) Streaming(ctx context.Context, args <-chan A, replies chan<- R) error
//
// A and R travel as msgpack: exported fields, under their names or those of `codec`
// or `json` tags, maps, slices, pointers, interface{} values, times, and types with
// both halves of a marshaler (encoding.BinaryMarshaler and BinaryUnmarshaler), such as
// peer.ID and cid.Cid. A may be a pointer; a caller may pass a value for a pointer, or
// a pointer for a value. Unexported fields beside exported ones do not travel. A channel,
// a func, the content of an interface with methods, or a struct without exported fields
// cannot travel: the call fails with an error that names the field, unless it is nil or
// zero. docs/wire.md has the tables.
//
// A method's context ends when the method has returned, when the caller's context ends
// or the caller goes away, at the caller's deadline, and, in a remote call, when the
// server closes. It holds the caller's peer ID ([GetRequestSender]) and the metadata
// that the caller sent ([MetadataFromContext]). The reply is a new zero value. The
// server sends what the method has stored in it, beside an error too.
//
// A streaming method receives its arguments from one channel, which the library closes
// after the last, and sends its replies to another, which it may close. The call is
// over when the method returns; until then the library serves both channels, also if
// the caller has gone. Back pressure holds in both directions: the library takes
// arguments from the stream no faster than the method does, and replies no faster than
// the caller does. A typed streaming method has a [Receiver] and a [Sender] instead of
// the channels: their methods return errors, and they buffer a few items.
//
// Calls run concurrently, each in a goroutine ([MethodConfig].HeedsContext has an
// exception). A panic in a method ends its call with [codes.Internal].
//
// # Calls
//
// A method value makes its own calls: of one peer ([Method.Call]) or of many
// ([Method.CallAll]), for which package fan has options. By name, [Client.Call] waits
// for a unary call, [Client.Go] does not, and [Client.MultiCall] calls many peers at
// once; [Client.Stream] and [Client.MultiStream] make streaming calls.
//
// A call is over when the method has returned or the caller's context has ended,
// whichever is first. After that the library does not write to the reply or to the
// channels. Two things can outlive the call: a method that ignores the end of its
// context, and a goroutine that drains an arguments channel which the program has not
// closed ([Client.Stream]).
//
// The library's errors are of type [*Error]: a [codes.Code] says what failed, an
// [ErrorType] where. A method may return an [*Error], too; of any other error the text
// travels. errors.Is(err, context.Canceled) and errors.Is(err,
// context.DeadlineExceeded) hold on both sides if the caller's context ended, or if the
// method returned such an error, and never otherwise.
//
// # Peers that are not to be trusted
//
// libp2p authenticates every caller. [WithAuthorizeFunc], or package policy, says which
// peer may call which method; a server asks before it reads more than the request's
// header. Neither side decodes what a peer sends before it is whole and within the
// [Limits], all of which are on by default.
//
// # Testing
//
// Package rpctest tests a component without the others: it mocks the methods that the
// component calls, makes them fail, hang or panic, and connects any number of hosts in
// memory.
//
// # Compatibility
//
// The package has the API of go-libp2p-gorpc v0.6 and speaks its protocol as a client
// and as a server. docs/migrating.md lists the differences, docs/wire.md specifies the
// protocol, docs/calling.md is about options, retries and calls of many peers, and
// docs/operating.md about limits, metrics and shutting down.
package rpc
