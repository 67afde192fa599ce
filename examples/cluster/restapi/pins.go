package restapi

import (
	"net/http"
	"strconv"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

func (a *API) pin(w http.ResponseWriter, r *http.Request) {
	root, err := parseCid(r)
	if err != nil {
		fail(w, err)
		return
	}
	replicas, err := parseReplicas(r)
	if err != nil {
		fail(w, err)
		return
	}
	want := api.Pin{Cid: root, Name: r.URL.Query().Get("name"), Replicas: replicas}
	pin, err := api.Cluster.Pin.Call(r.Context(), a.client, "", want)
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, pinJSON(pin))
}

// parseReplicas returns 0, the default, if the request does not say.
func parseReplicas(r *http.Request) (int, error) {
	text := r.URL.Query().Get("replicas")
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return 0, rpc.Errorf(codes.InvalidArgument, "%q is no number of replicas", text)
	}
	return n, nil
}

func (a *API) unpin(w http.ResponseWriter, r *http.Request) {
	root, err := parseCid(r)
	if err == nil {
		_, err = api.Cluster.Unpin.Call(r.Context(), a.client, "", root)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *API) status(w http.ResponseWriter, r *http.Request) {
	root, err := parseCid(r)
	if err != nil {
		fail(w, err)
		return
	}
	infos, err := api.Cluster.Status.Call(r.Context(), a.client, "", root)
	if err != nil {
		fail(w, err)
		return
	}
	for _, s := range statusJSON(infos) {
		reply(w, s)
	}
}

func (a *API) statusAll(w http.ResponseWriter, r *http.Request) {
	infos, err := api.Cluster.StatusAll.Call(r.Context(), a.client, "", api.Nothing{})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, statusJSON(infos))
}

func (a *API) peers(w http.ResponseWriter, r *http.Request) {
	ids, err := api.Cluster.Peers.Call(r.Context(), a.client, "", api.Nothing{})
	if err != nil {
		fail(w, err)
		return
	}
	reply(w, peersJSON(ids))
}

func (a *API) leave(w http.ResponseWriter, r *http.Request) {
	p, err := parsePeer(r)
	if err == nil {
		_, err = api.Cluster.Leave.Call(r.Context(), a.client, "", p)
	}
	if err != nil {
		fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
