package call

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/account"
	"github.com/libp2p/go-libp2p-gorpc/internal/codec"
	"github.com/libp2p/go-libp2p-gorpc/internal/msgpack"
	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// Limits are those in force, of a program or of one of a server's methods.
type Limits struct {
	Set
	OfMethod int // the method's own MessageSize, if it has one
}

// Set are the root's Limits: every field is set.
type Set struct {
	MessageSize     int
	MessageValues   int
	MessageDepth    int
	MetadataSize    int
	HeaderTimeout   time.Duration
	ProgressTimeout time.Duration
	SilenceTimeout  time.Duration
	IdleTimeout     time.Duration
	QueueTimeout    time.Duration
	CallsPerPeer    int
	Calls           int
	DecodedPerPeer  int
}

// WithDefaults returns the limits that are in force where l is set.
func (l Set) WithDefaults() Set {
	l.MessageSize = limitOr(l.MessageSize, 16<<20)
	l.MessageValues = limitOr(l.MessageValues, 1<<18)
	l.MessageDepth = min(limitOr(l.MessageDepth, 64), codec.MaxDepth)
	if l.MetadataSize == 0 {
		l.MetadataSize = 8 << 10
	}
	l.MetadataSize = min(max(l.MetadataSize, 0), maxMetadata)
	l.HeaderTimeout = timeoutOr(l.HeaderTimeout, 10*time.Second)
	l.ProgressTimeout = timeoutOr(l.ProgressTimeout, 30*time.Second)
	l.SilenceTimeout = timeoutOr(l.SilenceTimeout, 15*time.Second)
	l.IdleTimeout = timeoutOr(l.IdleTimeout, 5*time.Minute)
	l.QueueTimeout = timeoutOr(l.QueueTimeout, 30*time.Second)
	l.CallsPerPeer = limitOr(l.CallsPerPeer, 1<<10)
	l.Calls = limitOr(l.Calls, 1<<14)
	if l.DecodedPerPeer == 0 {
		in := Limits{Set: l}
		l.DecodedPerPeer = max(128<<20, int(min(in.MostDecoded(), math.MaxInt)))
	} else if l.DecodedPerPeer < 0 {
		l.DecodedPerPeer = math.MaxInt
	}
	return l
}

// maxMetadata leaves room for the rest of a header where 32 bits count.
const maxMetadata = math.MaxInt32 - 1<<20

// limitOr applies the rule of the fields; a lifted limit is what 32 bits
// can count, and so is a larger one.
func limitOr(n, def int) int {
	switch {
	case n == 0:
		return def
	case n < 0:
		return math.MaxInt32
	}
	return min(n, math.MaxInt32)
}

// timeoutOr is limitOr for times; 0 is never, once the limit is lifted.
func timeoutOr(d, def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return max(d, 0)
}

// MostDecoded is how many bytes one decoded message may take. Maps take far more
// than their bytes, so a small limit of messages does not bound what they hold.
func (l *Limits) MostDecoded() uint64 { return max(4*uint64(l.MessageSize), 1<<20) }

// MostBytes is how long one argument or reply may be, and the option that sets it.
func (l *Limits) MostBytes() (n int, option string) {
	if l.OfMethod > 0 {
		return l.OfMethod, "MethodConfig.MessageSize"
	}
	return l.MessageSize, "Limits.MessageSize"
}

// Message is what one argument or reply is scanned against.
func (l *Limits) Message() msgpack.Limits {
	n, _ := l.MostBytes()
	return msgpack.Limits{Bytes: n, Values: l.MessageValues, Depth: l.MessageDepth}
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
// libp2p's: it returns them masked, but for the bare io.EOF of a stream's own end.
func (l *Limits) Fault(err error, o Origin, what string) error {
	var over *msgpack.LimitError
	switch {
	case errors.As(err, &over):
		_, size := l.MostBytes()
		option := [...]string{size, "Limits.MessageValues", "Limits.MessageDepth"}[over.Limit]
		return Fail(o, codes.ResourceExhausted, "%s is over the limit: %w", what, err).Limited(option)
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
	case err == io.EOF:
		return err
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
