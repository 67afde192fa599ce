package restapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
)

// Client uses a peer's REST API.
type Client struct {
	// URL is the API's, without a slash at the end.
	URL string
	// HTTP makes the requests. Default http.DefaultClient.
	HTTP *http.Client
}

// Add uploads a file, and returns when it is pinned. Replicas 0 is the
// cluster's default. progress, if it is not nil, is told how far it has come.
func (c Client) Add(ctx context.Context, name string, replicas int, file io.Reader, progress func(Added)) (*Pin, error) {
	query := url.Values{"name": {name}}
	if replicas > 0 {
		query.Set("replicas", strconv.Itoa(replicas))
	}
	if progress != nil {
		query.Set("progress", "true")
	}
	body, err := c.do(ctx, http.MethodPost, "/add?"+query.Encode(), file)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	lines := json.NewDecoder(body)
	for {
		var line Added
		switch err := lines.Decode(&line); {
		case err != nil:
			return nil, fmt.Errorf("the answer ended without a pin: %w", err)
		case line.Error != "":
			return nil, errors.New(line.Error)
		case line.Pin != nil:
			return line.Pin, nil
		case progress != nil:
			progress(line)
		}
	}
}

// Read returns the contents of a file, for the caller to close.
func (c Client) Read(ctx context.Context, cid string) (io.ReadCloser, error) {
	return c.do(ctx, http.MethodGet, "/files/"+cid, nil)
}

// Pin pins a DAG.
func (c Client) Pin(ctx context.Context, cid string) (pin Pin, err error) {
	return pin, c.json(ctx, http.MethodPost, "/pins/"+cid, &pin)
}

// Unpin gives a pin up.
func (c Client) Unpin(ctx context.Context, cid string) error {
	return c.json(ctx, http.MethodDelete, "/pins/"+cid, nil)
}

// Status tells what has become of a pin.
func (c Client) Status(ctx context.Context, cid string) (status Status, err error) {
	return status, c.json(ctx, http.MethodGet, "/pins/"+cid, &status)
}

// StatusAll tells what has become of all pins.
func (c Client) StatusAll(ctx context.Context) (all []Status, err error) {
	return all, c.json(ctx, http.MethodGet, "/pins", &all)
}

// Peers lists the peers.
func (c Client) Peers(ctx context.Context) (all []Peer, err error) {
	return all, c.json(ctx, http.MethodGet, "/peers", &all)
}

func (c Client) json(ctx context.Context, method, path string, reply any) error {
	body, err := c.do(ctx, method, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if reply == nil {
		return nil
	}
	return json.NewDecoder(body).Decode(reply)
}

func (c Client) do(ctx context.Context, method, path string, body io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, body)
	if err != nil {
		return nil, err
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	answer, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode >= 300 {
		defer answer.Body.Close()
		var failure struct{ Error string }
		_ = json.NewDecoder(answer.Body).Decode(&failure)
		return nil, fmt.Errorf("%s: %s", answer.Status, failure.Error)
	}
	return answer.Body, nil
}
