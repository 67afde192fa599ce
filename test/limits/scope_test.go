package limits_test

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// endedScopes is a resource manager to which every stream has ended when memory
// is to be reserved for it: so libp2p answers in the moment of the end.
type endedScopes struct{ network.ResourceManager }

func (m endedScopes) OpenStream(p peer.ID, dir network.Direction) (network.StreamManagementScope, error) {
	s, err := m.ResourceManager.OpenStream(p, dir)
	return endedScope{s}, err
}

type endedScope struct{ network.StreamManagementScope }

func (endedScope) ReserveMemory(int, uint8) error { return network.ErrResourceScopeClosed }

// A stream that ends while its reply is read is a broken call. It is no limit,
// which nobody could set, and a caller may take it for the peer's going.
func TestMemoryOfAStreamThatHasEndedIsNoLimit(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		a := rig.NewHost(t, libp2p.ResourceManager(endedScopes{&network.NullResourceManager{}}))
		b := rig.NewHost(t)
		rig.Connect(t, a, b)
		rig.Serve(t, b, rig.Giver{})
		c := tr.Client(t, a)
		var reply []byte
		err := c.CallContext(rig.Context(t), b.ID(), "Svc", "Give", 1<<20, &reply)
		var broke *rpc.TransportError
		if rpc.CodeOf(err) != codes.Unavailable || !errors.As(err, &broke) || errors.As(err, new(*rpc.LimitError)) {
			t.Errorf("the call ends with %v", err)
		}
	})
}
