package restapi

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

// view is what a browser shows.
type view struct {
	Self  string    `json:"self"`
	Peers []Peer    `json:"peers"`
	Pins  []*Status `json:"pins"`
	Error string    `json:"error,omitempty"`
}

// events sends a view of the cluster, and another whenever it has changed, as
// server-sent events.
func (a *API) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	controller := http.NewResponseController(w)
	ticks := time.NewTicker(a.interval)
	defer ticks.Stop()
	var shown []byte
	for {
		data, err := json.Marshal(a.view(r.Context()))
		if err == nil && !bytes.Equal(data, shown) {
			shown = data
			_, err = fmt.Fprintf(w, "data: %s\n\n", data)
		} else if err == nil {
			_, err = fmt.Fprint(w, ": nothing new\n\n") // finds out whether the browser is there
		}
		if err != nil || controller.Flush() != nil {
			return
		}
		select {
		case <-ticks.C:
		case <-r.Context().Done():
			return
		}
	}
}

func (a *API) view(ctx context.Context) view {
	v := view{Self: a.client.ID().String()}
	var infos []api.PinInfo
	peers, err := api.Cluster.Peers.Call(ctx, a.client, "", api.Nothing{})
	if err == nil {
		infos, err = api.Cluster.StatusAll.Call(ctx, a.client, "", api.Nothing{})
	}
	v.Peers, v.Pins = peersJSON(peers), statusJSON(infos)
	if err != nil {
		v.Error = err.Error()
	}
	return v
}
