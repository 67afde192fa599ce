package restapi

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
)

const pieceSize = 256 << 10

// add takes the body of the request as a file. The answer has the pin, or an error. With
// progress=true there are lines of JSON before that, which say how far it has come: then
// the status is 200 however it ends.
func (a *API) add(w http.ResponseWriter, r *http.Request) {
	replicas, err := parseReplicas(r)
	if err != nil {
		fail(w, err)
		return
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	call := api.Adder.Add.Open(ctx, a.client, "")
	defer call.Close()

	// The answer begins before the body has ended.
	controller := http.NewResponseController(w)
	_ = controller.EnableFullDuplex()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		first := api.Upload{Name: r.URL.Query().Get("name"), Replicas: replicas}
		if err := upload(ctx, call, first, r.Body); err != nil {
			cancel(err) // a file that is cut off is no file
		}
	}()
	defer func() { // the body is the server's after that
		select {
		case <-sent:
		default:
			_ = controller.SetReadDeadline(time.Now())
			<-sent
		}
	}()

	begun, progress := false, r.URL.Query().Get("progress") == "true"
	lines := json.NewEncoder(w)
	for added, err := range call.All(ctx) {
		if cause := context.Cause(ctx); err != nil && cause != nil {
			err = cause
		}
		if err != nil {
			w.Header().Set("Connection", "close") // more of the body may come
		}
		if err != nil && !begun {
			fail(w, err)
			return
		}
		if added.Pin == nil && !progress {
			continue
		}
		if !begun {
			begun = true
			w.Header().Set("Content-Type", "application/x-ndjson")
		}
		_ = lines.Encode(addedJSON(added, err))
		_ = controller.Flush()
	}
}

// upload sends a file in pieces.
func upload(ctx context.Context, call *rpc.DuplexCall[api.Upload, api.Added], piece api.Upload, file io.Reader) error {
	for {
		piece.Data = make([]byte, pieceSize) // a local call passes it as it is
		n, err := fill(file, piece.Data)
		piece.Data = piece.Data[:n]
		ended := err == io.EOF // and nothing else: a body that is cut off has another
		if err != nil && !ended {
			return err
		}
		if call.Send(ctx, piece) != nil {
			return nil // receiving tells why
		}
		if ended {
			return call.CloseSend()
		}
		piece = api.Upload{}
	}
}

// fill reads until the buffer is full, or there is an error.
func fill(from io.Reader, buf []byte) (n int, err error) {
	for n < len(buf) && err == nil {
		var m int
		m, err = from.Read(buf[n:])
		n += m
	}
	return n, err
}

// read answers with the contents of a file.
func (a *API) read(w http.ResponseWriter, r *http.Request) {
	root, err := parseCid(r)
	if err != nil {
		fail(w, err)
		return
	}
	begun := false
	for piece, err := range api.Storage.Read.Call(r.Context(), a.client, "", root) {
		switch {
		case err != nil && begun:
			panic(http.ErrAbortHandler) // or else what has arrived would look whole
		case err != nil:
			fail(w, err)
			return
		case !begun:
			begun = true
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Header().Set("X-Content-Type-Options", "nosniff")
		}
		if _, err := w.Write(piece); err != nil {
			return
		}
	}
}
