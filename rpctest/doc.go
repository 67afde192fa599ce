// Package rpctest helps to test programs whose parts reach one another by RPC
// only. Such a part can be tested alone: it has an RPC client and nothing else,
// and what the client calls can be anything.
//
//	func TestTrackerTriesAgain(t *testing.T) {
//		client, server := rpctest.Local(t)
//		server.Mock("Connector", rpctest.Methods{
//			"Pin": func(ctx context.Context, cid string, where *string) error {
//				*where = "disk 1"
//				return nil
//			},
//		})
//		pin := server.Method("Connector", "Pin")
//		pin.Fail(1, &rpc.Error{Code: codes.Unavailable, Message: "cut off"})
//
//		tracker := NewTracker(client)
//		tracker.Track("cid")
//
//		calls := pin.WaitDone(2)
//		...
//	}
//
// # Servers
//
// A [Server] is an [rpc.Server] that a test fills with what it needs.
// [Local] makes one that is called directly, as the components of one peer call
// one another. [Pair] puts client and server on two peers: calls go the whole way
// between peers, with encoding, streams, authentication, limits and all, yet in
// memory. [NewServer] makes one for any host, and [MemoryHosts] and
// [LoopbackHosts] any number of connected hosts. What takes a client takes any
// of theirs, so a test can be run over several.
//
// # Mocks
//
// [Server.Mock] gives a service some methods, each a function. Nothing else has
// to be there. A call of anything else fails the test, saying what was called,
// by whom and with which argument; so does a call of a mocked method that is of
// the other kind, or whose argument is not of its type. The caller gets the
// error that it would from any server. [Reply] makes a function of a value.
//
// What a component calls by method values is mocked by them, without names, and
// with functions whose types the compiler checks. [Handle] does that, and
// [HandleReply] with a value:
//
//	pin := rpctest.Handle(server, api.Pin, func(ctx context.Context, c Cid) (Status, error) { ... })
//	rpctest.HandleReply(server, api.Free, 1<<30)
//
// The server is an ordinary one beside that: receivers can be registered with
// it, for the parts that are to be real. Their calls are recorded and can be
// scripted too.
//
// # Scripts
//
// [Server.Method] stands for one method, mocked or real. The next calls of it
// can be made to fail ([Method.Fail]), to panic ([Method.Panic]), to wait until
// they are released ([Method.Hold]) or until they are cancelled
// ([Method.Block]). Scripts follow one another:
//
//	pin.Fail(2, err)      // the first two calls fail,
//	release := pin.Hold(1) // the third waits for release, and
//	                       // later ones go to the method at once
//
// # Calls
//
// Every call is recorded, with its argument, its caller, its reply and its
// error, when it begins. [Server.Calls] and [Method.Calls] return those so far
// in their order. [Method.Wait] waits for calls to come, [Method.WaitDone] for
// calls to end, and [Server.Until] for whatever the test can tell from them: no
// test needs to sleep.
//
// # Time
//
// [Local], [Pair] and [MemoryHosts] work in a bubble of testing/synctest, where
// timeouts of hours pass at once. Clients, servers and hosts must be made in
// the bubble, and belong to its test: synctest.Test has it end, and close them.
//
// # Failing
//
// What the package finds wrong in the goroutines of calls fails the test and
// lets it go on, and after the test has ended it is silent. Functions that set
// something up, and those that wait, fail the test at once and are for its own
// goroutine. Servers, clients and hosts are closed when the test ends, calls that
// scripts hold up are let go, and [CheckLeaks] tells whether anything goes on
// all the same.
//
// The package is for tests: it imports testing, libp2p, and go.uber.org/goleak.
package rpctest
