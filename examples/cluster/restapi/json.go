package restapi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// Pin is a pin as JSON has it.
type Pin struct {
	Cid         string    `json:"cid"`
	Name        string    `json:"name,omitempty"`
	Replicas    int       `json:"replicas"`
	Allocations []string  `json:"allocations"`
	Created     time.Time `json:"created"`
}

func pinJSON(p api.Pin) *Pin {
	out := &Pin{Cid: p.Cid.String(), Name: p.Name, Replicas: p.Replicas, Created: p.Created}
	for _, a := range p.Allocations {
		out.Allocations = append(out.Allocations, a.String())
	}
	return out
}

// Status is what has become of a pin, by peer.
type Status struct {
	Cid   string                `json:"cid"`
	Name  string                `json:"name,omitempty"`
	Peers map[string]PeerStatus `json:"peers"`
}

// PeerStatus is what has become of a pin on one peer.
type PeerStatus struct {
	Status api.Status `json:"status"`
	Error  string     `json:"error,omitempty"`
}

// statusJSON puts together what peers say of the same pin.
func statusJSON(infos []api.PinInfo) []*Status {
	byCid := make(map[cid.Cid]*Status)
	list := []*Status{}
	for _, info := range infos {
		s := byCid[info.Cid]
		if s == nil {
			s = &Status{Cid: info.Cid.String(), Peers: make(map[string]PeerStatus)}
			byCid[info.Cid] = s
			list = append(list, s)
		}
		s.Name = cmp.Or(s.Name, info.Name)
		s.Peers[info.Peer.String()] = PeerStatus{info.Status, info.Error}
	}
	slices.SortFunc(list, func(a, b *Status) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Cid, b.Cid)) })
	return list
}

// Peer is a peer as JSON has it.
type Peer struct {
	ID      string   `json:"id"`
	Name    string   `json:"name,omitempty"`
	Addrs   []string `json:"addrs,omitempty"`
	Leader  string   `json:"leader,omitempty"` // whom it takes for the leader
	Tracker string   `json:"tracker,omitempty"`
	Free    uint64   `json:"free"`
	Error   string   `json:"error,omitempty"`
}

func peersJSON(ids []api.ID) []Peer {
	list := []Peer{}
	for _, id := range ids {
		p := Peer{ID: id.Peer.String(), Name: id.Name, Addrs: id.Addrs, Tracker: id.Tracker, Free: id.Free, Error: id.Error}
		if id.Leader != "" {
			p.Leader = id.Leader.String()
		}
		list = append(list, p)
	}
	slices.SortFunc(list, func(a, b Peer) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) })
	return list
}

// Added is a line of the answer to an upload. The last has a pin, or an error.
type Added struct {
	Bytes  int64  `json:"bytes"`
	Blocks int    `json:"blocks"`
	Stored int    `json:"stored"`
	Pin    *Pin   `json:"pin,omitempty"`
	Error  string `json:"error,omitempty"`
}

func addedJSON(added api.Added, err error) Added {
	line := Added{Bytes: added.Bytes, Blocks: added.Blocks, Stored: added.Stored}
	if added.Pin != nil {
		line.Pin = pinJSON(*added.Pin)
	}
	if err != nil {
		line.Error = err.Error()
	}
	return line
}

func reply(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}

// fail answers with an error, whose code says which of HTTP's it is.
func fail(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(httpStatus(rpc.CodeOf(err)))
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error(), "code": rpc.CodeOf(err).String()})
}

func httpStatus(code codes.Code) int {
	switch code {
	case codes.InvalidArgument:
		return http.StatusBadRequest
	case codes.NotFound:
		return http.StatusNotFound
	case codes.PermissionDenied:
		return http.StatusForbidden
	case codes.ResourceExhausted:
		return http.StatusInsufficientStorage
	case codes.Unavailable, codes.Aborted:
		return http.StatusServiceUnavailable
	case codes.DeadlineExceeded:
		return http.StatusGatewayTimeout
	}
	return http.StatusInternalServerError
}

func parseCid(r *http.Request) (cid.Cid, error) {
	id, err := cid.Decode(r.PathValue("cid"))
	if err != nil {
		err = rpc.Errorf(codes.InvalidArgument, "%q is no CID: %v", r.PathValue("cid"), err)
	}
	return id, err
}

func parsePeer(r *http.Request) (peer.ID, error) {
	id, err := peer.Decode(r.PathValue("peer"))
	if err != nil {
		err = rpc.Errorf(codes.InvalidArgument, "%q is no peer ID: %v", r.PathValue("peer"), err)
	}
	return id, err
}
