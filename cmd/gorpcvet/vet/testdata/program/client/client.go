// Package client calls pins by names.
package client

import (
	"context"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet/testdata/program/api"
)

// Component calls peers.
type Component struct{ Client *rpc.Client }

// Get finds a pin.
func (c *Component) Get(ctx context.Context, dest peer.ID, name string) (api.Pin, error) {
	var pin api.Pin
	err := c.Client.CallContext(ctx, dest, api.PinsService, "Get", name, &pin)
	return pin, err
}

// Put stores a pin.
func (c *Component) Put(dest peer.ID, pin *api.Pin) (int, error) {
	var n int
	if err := c.Client.Call(dest, api.PinsService, "Put", pin, &n); err != nil {
		return 0, err
	}
	return n, nil
}

// PutLater stores a pin in the background.
func (c *Component) PutLater(ctx context.Context, dest peer.ID, pin *api.Pin) error {
	var n int
	done := make(chan *rpc.Call, 1)
	if err := c.Client.GoContext(ctx, dest, api.PinsService, "Put", pin, &n, done); err != nil {
		return err
	}
	return (<-done).Error
}

// Own is the version of the own process.
func (c *Component) Own() (string, error) {
	var v api.Version
	err := c.ask("Version", struct{}{}, &v)
	return v.Text, err
}

// Check checks the own process.
func (c *Component) Check(parts []string) (ok bool, err error) {
	err = c.ask("Check", parts, &ok)
	return ok, err
}

// ask calls the own process's status.
func (c *Component) ask(method string, args, reply any) error {
	return c.Client.Call("", api.StatusService, method, args, reply)
}

// Versions asks two peers.
func (c *Component) Versions(ctx context.Context, a, b peer.ID) ([2]api.Version, []error) {
	var versions [2]api.Version
	ctxs := []context.Context{ctx, ctx}
	errs := c.Client.MultiCall(ctxs, []peer.ID{a, b}, api.StatusService, "Version", struct{}{}, []any{&versions[0], &versions[1]})
	return versions, errs
}

// List finds pins.
func (c *Component) List(ctx context.Context, dest peer.ID, filters ...api.Filter) ([]api.Pin, error) {
	args, replies := make(chan api.Filter), make(chan api.Pin)
	go func() {
		defer close(args)
		for _, f := range filters {
			select {
			case args <- f:
			case <-ctx.Done():
				return
			}
		}
	}()
	result := make(chan error, 1)
	go func() { result <- c.Client.Stream(ctx, dest, api.PinsService, "List", args, replies) }()
	var pins []api.Pin
	for pin := range replies {
		pins = append(pins, pin)
	}
	return pins, <-result
}

// ListAll finds the pins of many.
func (c *Component) ListAll(ctx context.Context, dests []peer.ID, filter api.Filter) ([]api.Pin, []error) {
	args, replies := make(chan api.Filter, 1), make(chan api.Pin)
	args <- filter
	close(args)
	result := make(chan []error, 1)
	go func() { result <- c.Client.MultiStream(ctx, dests, api.PinsService, "List", args, replies) }()
	var pins []api.Pin
	for pin := range replies {
		pins = append(pins, pin)
	}
	return pins, <-result
}
