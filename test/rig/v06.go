package rig

import (
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/ugorji/go/codec"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// PlainMsgpack is what v0.6 speaks.
var PlainMsgpack = new(codec.MsgpackHandle)

// V06Response is v0.6's: it knows no other keys.
type V06Response struct {
	Service rpc.ServiceID
	Error   string        `codec:",omitempty"`
	ErrType rpc.ErrorType `codec:",omitempty"`
}

// CallAsV06 makes a call as v0.6's client does.
func CallAsV06(t *testing.T, h host.Host, dest peer.ID, method string, streaming bool, arg any) (r V06Response) {
	t.Helper()
	st, err := h.NewStream(Context(t), dest, Protocol)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Reset()
	enc, dec := codec.NewEncoder(st, PlainMsgpack), codec.NewDecoder(st, PlainMsgpack)
	if err := errors.Join(enc.Encode(rpc.ServiceID{Name: "Svc", Method: method}), enc.Encode(arg)); err != nil {
		t.Fatal(err)
	}
	if streaming {
		_ = st.CloseWrite()
	}
	var reply any
	if err := errors.Join(dec.Decode(&r), dec.Decode(&reply)); err != nil {
		t.Fatal(err)
	}
	return r
}

// ServeAsV06 answers every call as v0.6's server answers one that failed.
func ServeAsV06(h host.Host, r V06Response) {
	h.SetStreamHandler(Protocol, func(st network.Stream) {
		defer st.Close()
		r, arg := r, any(nil)
		enc, dec := codec.NewEncoder(st, PlainMsgpack), codec.NewDecoder(st, PlainMsgpack)
		if dec.Decode(&r.Service) != nil || dec.Decode(&arg) != nil {
			return
		}
		_ = enc.Encode(r)
		_ = enc.Encode(nil)
	})
}

// MultiplyAsV06 makes b a v0.6 server of Multiply for small numbers, by hand,
// and returns the number of its requests. It expects no deadline.
func MultiplyAsV06(b host.Host) *atomic.Int32 {
	requests := new(atomic.Int32)
	b.SetStreamHandler(Protocol, func(st network.Stream) {
		defer st.Close()
		_ = st.SetDeadline(time.Now().Add(patience))
		req := make([]byte, len(Header("Svc", "Multiply"))+7)
		if _, err := io.ReadFull(st, req); err == nil {
			requests.Add(1)
			_, _ = st.Write([]byte{0x80, req[len(req)-4] * req[len(req)-1]})
		}
	})
	return requests
}
