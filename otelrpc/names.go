package otelrpc

// The names of the semantic conventions for RPC, which are stable since v1.45. Packages
// semconv of OpenTelemetry's have none of that version yet.
const (
	SystemNameKey     = "rpc.system.name"
	MethodKey         = "rpc.method"
	MethodOriginalKey = "rpc.method_original"
	StatusCodeKey     = "rpc.status_code"
	ErrorTypeKey      = "error.type"
	ServerAddressKey  = "server.address"

	// SystemName is the value of rpc.system.name.
	SystemName = "gorpc"
	// Other is the value of rpc.method for names that a peer made up, and of
	// rpc.status_code and error.type for a code without a name.
	Other = "_OTHER"

	schemaURL = "https://opentelemetry.io/schemas/1.45.0"
)

// Names of this package's own, which only spans have: the number of an attempt, and who
// is at the other end, over which transport, and whether through a relay.
const (
	AttemptKey   = "gorpc.attempt"
	PeerKey      = "libp2p.peer.id"
	TransportKey = "libp2p.transport"
	RelayedKey   = "libp2p.relayed"
)

// histogram is what a duration is recorded in.
type histogram struct{ name, what string }

var (
	clientDuration = histogram{"rpc.client.call.duration", "Measures the duration of an outgoing Remote Procedure Call (RPC)."}
	serverDuration = histogram{"rpc.server.call.duration", "Measures the duration of an incoming Remote Procedure Call (RPC)."}
)

// boundaries are those of the conventions, in seconds. Without them exporters take
// others, which are meant for milliseconds.
var boundaries = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}
