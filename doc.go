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
// A [Server] serves methods as a libp2p stream protocol. A [Client] calls them
// by peer ID. When the destination is the host itself, or empty, the call
// stays in the process: the method is called directly, and nothing is encoded.
// So a program made of components can have them reach one another by RPC only,
// on their own peer or on any other, with the same line of code.
//
// Beside [Method] there are [ServerStream], [ClientStream] and [Duplex], for
// many replies, many arguments, and both.
//
// A server takes receivers too, as net/rpc does, by reflection, and a client
// calls by names. Either end may be the one or the other: they are the same
// calls.
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
// A, R and what they contain travel as msgpack: exported fields, under their
// names or those of `codec` or `json` tags, maps, slices, pointers, interface{}
// values, times, and types that marshal themselves (encoding.BinaryMarshaler with
// its counterpart), as peer.ID and cid.Cid do. A
// may be a pointer, and a caller may pass a value where the method takes a
// pointer, and the other way round. Unexported fields beside exported ones stay
// behind. What cannot travel, such as a channel, a func, what an interface with
// methods holds, or a struct without exported fields, is an error that names the
// field, unless it is nil or zero. docs/wire.md has the tables.
//
// A method's context ends with the call: when the method has returned, when its
// caller gives up, by its own context or by going away, when the caller's deadline
// has come, and, of a remote call, when the server closes.
// It holds the caller's peer ID ([GetRequestSender]) and the metadata that was
// sent along ([MetadataFromContext]). The reply is a new zero value; what the
// method has stored in it when it returns is sent, beside its error too.
//
// A streaming method receives its arguments from a channel, which is closed
// after the last, and sends its replies to another. It may close that, and
// need not: when it returns the call is over. Both channels are its own, and
// are read and filled for it until it returns, whatever becomes of the caller.
// Arguments are taken off the stream no faster than the method takes them, and
// replies no faster than the caller does. A typed one has a [Receiver] and a
// [Sender] in their place, which tell it of errors, and hold a few items so
// that they are faster.
//
// Methods are called concurrently, each call in a goroutine. A panic in one
// ends its call with [codes.Internal].
//
// # Calls
//
// [Client.Call], [Client.Go] and [Client.MultiCall] make unary calls, waiting,
// not waiting, and of many peers at once. [Client.Stream] and
// [Client.MultiStream] make streaming calls. Those of typed methods are made by
// the method; package fan has options for those of many peers. A call is over when the method
// has returned or the context has ended, whichever is first, and when it is
// over nobody writes to the reply or the channels any more. Two things may remain
// of it: a method that goes on though its context has ended, and a goroutine that
// receives from an arguments channel that is not closed ([Client.Stream]).
//
// Errors that the library makes are of type [*Error], and tell by a [Code] and
// an [ErrorType] what failed and where. A method may return such errors too;
// of other errors the text travels. errors.Is(err, context.Canceled) and
// errors.Is(err, context.DeadlineExceeded) hold for calls that ended so, on
// both sides, and for nothing else but an error that the method returned.
//
// # Peers that are not to be trusted
//
// libp2p has authenticated every caller. [WithAuthorizeFunc], or package policy,
// says which peer may call what; it is asked before anything but the method's name has been
// read. Nothing that a peer sends is decoded before it has been found to be
// whole and within the [Limits], which are in force unless lifted.
//
// # Testing
//
// Package rpctest tests components of such programs alone: it replaces what
// they call by a few functions, makes it fail, hang or panic, and connects any
// number of hosts in memory.
//
// # Compatibility
//
// The package has the API of go-libp2p-gorpc v0.6 and speaks its protocol in
// both roles; docs/migrating.md lists what is different, docs/wire.md is the
// protocol's specification, docs/calling.md is about options, retries and calls
// of many peers, and docs/operating.md about limits, metrics
// and shutting down.
package rpc
