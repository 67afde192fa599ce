package limits_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"

	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// A peer asks for far more than it reads. What waits for it counts, whoever made
// the bytes, and what is more than that is answered with an error. Not parallel,
// for it looks at all goroutines.
func TestRepliesThatNobodyReadsCount(t *testing.T) {
	const (
		calls = 60
		size  = 1 << 20
		// What libp2p grants a peer, what the library lends one, and the last of
		// which a part was written.
		most = 16 + 4 + 1
	)
	handleAll := func(t *testing.T, s *rpc.Server) {
		rig.MustHandle(t, s, rpc.NewMethod[int, []byte]("Typed", "Bytes"), func(_ context.Context, n int) ([]byte, error) {
			return make([]byte, n), nil
		})
		rig.MustHandle(t, s, rpc.NewMethod[int, wrapped]("Typed", "Struct"), func(_ context.Context, n int) (wrapped, error) {
			return wrapped{make([]byte, n)}, nil
		})
	}
	for _, how := range []struct {
		carrier string
		ask     func(t *testing.T, a, b host.Host, svc, method string, n int) (read func() (answered []rig.Answer))
		kinds   []string
	}{
		{"stream", askOnStreams, []string{"Svc.Give", "Svc.Wrap", "Typed.Bytes", "Typed.Struct", "Svc.GiveAll", "Svc.WrapAll"}},
		{"session", askOnSession, []string{"Svc.Give", "Svc.Wrap", "Typed.Bytes", "Typed.Struct"}},
	} {
		for _, name := range how.kinds {
			t.Run(how.carrier+"/"+name, func(t *testing.T) {
				a, b := rig.NewHosts(t)
				var begun atomic.Int32
				s := rig.Serve(t, b, struct {
					rig.Giver
					wrapper
				}{}, rpc.WithServerLimits(rpc.Limits{MessageSize: size + 100}), rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
					return func(ctx context.Context, call *rpc.CallInfo) error {
						begun.Add(1)
						return next(ctx, call)
					}
				}))
				handleAll(t, s)
				svc, method, _ := strings.Cut(name, ".")
				read := how.ask(t, a, b, svc, method, calls)
				rig.Eventually(t, "what is too much is refused", func() bool {
					waiting := 0
					for _, stack := range rig.LibraryGoroutines() {
						if strings.Contains(stack, ".(*serverSession).serve(") || strings.Contains(stack, "carry/wire.(*Server).Serve(") {
							waiting++
						}
					}
					return begun.Load() == calls && waiting <= most
				})
				if m := rig.Held(b).Memory; m < 8<<20 {
					t.Errorf("%d bytes are reserved for replies that wait", m/2)
				}
				replies, refused := 0, 0
				for _, got := range read() {
					switch {
					case got.Error == "":
						replies++
					case codes.Code(got.Code) == codes.ResourceExhausted && strings.Contains(got.Error, "no memory granted"):
						refused++
					default:
						t.Errorf("a call is answered with %+v", got.Response)
					}
				}
				// A call that comes to its reply while others are read may get their memory.
				if replies == 0 || replies > most+most/4 || replies+refused != calls {
					t.Errorf("%d replies and %d refusals of %d calls", replies, refused, calls)
				}
				rig.Released(t, b)
			})
		}
	}
}

// askOnStreams makes so many calls, each on a stream, and returns what reads the
// answers.
func askOnStreams(t *testing.T, a, b host.Host, svc, method string, n int) (read func() []rig.Answer) {
	var all []network.Stream
	for range n {
		st := rig.Open(t, a, b, rig.Protocol)
		rig.Write(t, st, rig.Cat(rig.Header(svc, method), "\xd2\x00\x10\x00\x00"))
		if strings.HasSuffix(method, "All") {
			_ = st.CloseWrite()
		}
		all = append(all, st)
	}
	return func() (answered []rig.Answer) {
		for _, st := range all {
			got, err := io.ReadAll(st)
			if err != nil {
				t.Errorf("a call is not answered: %v", err)
				continue
			}
			answered = append(answered, rig.Answers(t, got)...)
			_ = st.Close()
		}
		return answered
	}
}

// askOnSession is askOnStreams for calls on one session, by hand: docs/session.md.
func askOnSession(t *testing.T, a, b host.Host, svc, method string, n int) (read func() []rig.Answer) {
	st := rig.Open(t, a, b, rig.Sessions)
	rig.Write(t, st, []byte{1, 1}) // settings
	request := rig.Cat("\x83", string(rig.Header(svc, method))[1:], rig.Str("Kind"), "\x01\xd2\x00\x10\x00\x00")
	for id := range uint64(n) {
		frame := binary.AppendUvarint([]byte{2}, id+1)
		frame = append(append(frame, byte(len(request))), request...)
		rig.Write(t, st, append([]byte{byte(len(frame))}, frame...))
	}
	return func() (answered []rig.Answer) {
		r := &sessionReader{st: st, partial: map[uint64]*bytes.Buffer{}, length: map[uint64]uint64{}}
		for len(answered) < n {
			b, err := r.next()
			if err != nil {
				t.Errorf("%d of %d calls are answered: %v", len(answered), n, err)
				break
			}
			if b[0] == 0xc0 { // there is no error
				b = rig.Cat("\x80", string(b[1:]))
			}
			answered = append(answered, rig.Answers(t, b)...)
		}
		_ = st.Close()
		return answered
	}
}

// sessionReader puts the replies of a session together.
type sessionReader struct {
	st      network.Stream
	partial map[uint64]*bytes.Buffer
	length  map[uint64]uint64
}

// next returns the next reply that is whole, and answers pings.
func (r *sessionReader) next() ([]byte, error) {
	one := oneByte{r.st}
	for {
		n, err := binary.ReadUvarint(one)
		if err != nil {
			return nil, err
		}
		frame := make([]byte, n)
		if _, err := io.ReadFull(r.st, frame); err != nil {
			return nil, err
		}
		kind, frame := frame[0], frame[1:]
		switch kind {
		case 8: // ping
			if _, err := r.st.Write(append([]byte{9, 9}, frame...)); err != nil {
				return nil, err
			}
			continue
		case 3, 4:
		default:
			continue
		}
		id, size := binary.Uvarint(frame)
		frame = frame[size:]
		if kind == 3 {
			r.length[id], size = binary.Uvarint(frame)
			frame = frame[size:]
			r.partial[id] = new(bytes.Buffer)
		}
		r.partial[id].Write(frame)
		if uint64(r.partial[id].Len()) == r.length[id] {
			return r.partial[id].Bytes(), nil
		}
	}
}

type oneByte struct{ io.Reader }

func (r oneByte) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(r, b[:])
	return b[0], err
}
