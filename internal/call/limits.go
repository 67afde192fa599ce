package call

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Limits are the root's, in force: every field is set.
type Limits struct {
	MessageSize     int
	MessageValues   int
	MessageDepth    int
	MetadataSize    int
	HeaderTimeout   time.Duration
	ProgressTimeout time.Duration
	SilenceTimeout  time.Duration
	IdleTimeout     time.Duration
	CallsPerPeer    int
	Calls           int
	DecodedPerPeer  int
}

// MostDecoded is how many bytes one decoded message may take. Maps take far more
// than their bytes, so a small limit of messages does not bound what they hold.
func (l *Limits) MostDecoded() uint64 { return max(4*uint64(l.MessageSize), 1<<20) }

// Message is what one argument or reply is scanned against.
func (l *Limits) Message() msgpack.Limits {
	return msgpack.Limits{Bytes: l.MessageSize, Values: l.MessageValues, Depth: l.MessageDepth}
}

// Header is what a request's header is scanned against: v0.6's two names, and
// room for the keys and for metadata.
func (l *Limits) Header() msgpack.Limits {
	return msgpack.Limits{Bytes: MaxIDLength + 128 + l.MetadataSize, Values: 16 + l.MetadataSize, Depth: 4}
}

// Response is what a reply's header is scanned against: an error's text and details,
// of which MaxErrorText is sent by this library, and metadata.
func (l *Limits) Response() msgpack.Limits {
	md := min(l.MetadataSize, 1<<28)
	return msgpack.Limits{Bytes: max(1<<20, 3*MaxErrorText+2*md), Values: 1<<16 + 2*md, Depth: 16}
}

// MaxErrorText is how much of an error's message and of its details travels.
const MaxErrorText = 256 << 10

// Fault names the limit that reading or writing ran into. Other errors are
// libp2p's: it returns them without the errors of contexts.
func (l *Limits) Fault(err error, o Origin, what string) error {
	var over *msgpack.LimitError
	switch {
	case errors.As(err, &over):
		name := [...]string{"MessageSize", "MessageValues", "MessageDepth"}[over.Limit]
		return Fail(o, codes.ResourceExhausted, "%s is over the limit: %w", what, err).Limited("Limits." + name)
	case errors.Is(err, wire.ErrStalled):
		return Fail(o, codes.DeadlineExceeded, "%s: no progress for %v", what, l.ProgressTimeout).Limited("Limits.ProgressTimeout")
	case RefusedMemory(err):
		return Fail(o, codes.ResourceExhausted, "%s: %w by libp2p's resource manager", what, err).LimitedByLibp2p(LimitOfScope(err.Error()))
	case errors.Is(err, msgpack.ErrInvalid):
		code := codes.Internal // a server that writes no msgpack
		if o == OfServer {
			code = codes.InvalidArgument
		}
		return Fail(o, code, "%s: %w", what, err)
	}
	return Masked(err)
}

// RefusedMemory reports whether libp2p's resource manager has no memory left. Of a
// stream that has ended it says that too.
func RefusedMemory(err error) bool {
	return errors.Is(err, account.ErrMemory) && !errors.Is(err, network.ErrResourceScopeClosed)
}

// BadHeader is the fault of a request whose header is refused. Nothing of it is
// echoed.
func BadHeader(c codes.Code, format string, args ...any) *Fault {
	return Fail(OfServer, c, "%s", fmt.Sprintf(format, args...))
}

// HeaderFault is the fault of a header that is none, or too large.
func (l *Limits) HeaderFault(err error) *Fault {
	if errors.As(err, new(*msgpack.LimitError)) {
		return BadHeader(codes.ResourceExhausted, "bad request header: %v; a header has at most %d bytes of names and %d of metadata",
			err, MaxIDLength, l.MetadataSize).Limited("Limits.MetadataSize")
	}
	return BadHeader(codes.InvalidArgument, "bad request header: %v", err)
}

// ParseHeader reads a request's header. What is refused is not echoed.
func (l *Limits) ParseHeader(b []byte) (h wire.Header, err error) {
	h, err = wire.ParseHeader(b)
	switch n := len(h.Service) + 1 + len(h.Method); {
	case err != nil:
		return wire.Header{}, l.HeaderFault(err)
	case n > MaxIDLength:
		return wire.Header{}, BadHeader(codes.InvalidArgument, "the method's name is %d bytes long, and %d may be", n, MaxIDLength)
	case len(h.Metadata) > 0 && msgpack.StringMapSize(h.Metadata) > l.MetadataSize:
		return wire.Header{}, BadHeader(codes.ResourceExhausted, "metadata of %d bytes, and %d may be",
			msgpack.StringMapSize(h.Metadata), l.MetadataSize).Limited("Limits.MetadataSize")
	}
	return h, nil
}

// scopes are libp2p's, by how their names begin and, of those of one peer, what
// follows. A name has the IDs of peers and streams.
var scopes = []struct{ prefix, infix, what, field string }{
	{"stream-", "", "one stream", "Stream"},
	{"service:", ".peer:", "the service and one peer", "ServicePeer"},
	{"service:", "", "the service", "Service"},
	{"protocol:", ".peer:", "the protocol and one peer", "ProtocolPeer"},
	{"protocol:", "", "the protocol", "Protocol"},
	{"peer:", "", "one peer", "Peer"},
	{"system", "", "all together", "System"},
}

// LimitOfScope says which limit a refusal of memory is about: libp2p's text names
// the scopes, and the one that refused last.
func LimitOfScope(text string) string {
	words := strings.Split(text, ": ")
	for _, name := range slices.Backward(words) {
		for _, s := range scopes {
			if strings.HasPrefix(name, s.prefix) && strings.Contains(name, s.infix) {
				return "its limit for " + s.what + " sets it (" + s.field + " of rcmgr's limits)"
			}
		}
	}
	return fmt.Sprintf("its limits for the service %q or the protocol set it", ServiceName)
}
