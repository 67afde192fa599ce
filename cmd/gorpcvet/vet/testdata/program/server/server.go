// Package server serves pins.
package server

import (
	"context"
	"errors"
	"strings"
	"sync"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/libp2p/go-libp2p-gorpc/cmd/gorpcvet/vet/testdata/program/api"
)

// Pins is a service.
type Pins struct {
	mu   sync.Mutex
	pins map[string]api.Pin
}

// Get finds a pin.
func (p *Pins) Get(ctx context.Context, name string, pin *api.Pin) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	found, ok := p.pins[name]
	if !ok {
		return errors.New("no such pin")
	}
	*pin = found
	return nil
}

// Put stores a pin, and tells how many there are.
func (p *Pins) Put(ctx context.Context, pin *api.Pin, n *int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pins == nil {
		p.pins = make(map[string]api.Pin)
	}
	p.pins[pin.Name] = *pin
	*n = len(p.pins)
	return nil
}

// List streams the pins that a filter chooses.
func (p *Pins) List(ctx context.Context, filters <-chan api.Filter, out chan<- api.Pin) error {
	defer close(out)
	for f := range filters {
		p.mu.Lock()
		var found []api.Pin
		for name, pin := range p.pins {
			if strings.HasPrefix(name, f.Prefix) && len(found) < f.Max {
				found = append(found, pin)
			}
		}
		p.mu.Unlock()
		for _, pin := range found {
			select {
			case out <- pin:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// Status is a service.
type Status struct{ ID peer.ID }

// Version tells what runs.
func (s Status) Version(ctx context.Context, in struct{}, v *api.Version) error {
	v.Text = "1.0"
	return nil
}

// Check looks at parts of the peer side by side.
func (s Status) Check(ctx context.Context, parts []string, ok *bool) error {
	var wg sync.WaitGroup
	for _, part := range parts {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s.check(ctx, part)
		}()
	}
	wg.Wait()
	*ok = true
	return nil
}

func (s Status) check(ctx context.Context, part string) {}

// Serve serves it all.
func Serve(h host.Host, p protocol.ID, trusted peer.ID) (*rpc.Server, error) {
	s := rpc.NewServer(h, p, rpc.WithAuthorizeFunc(rpc.AuthorizeWithMap(map[peer.ID]map[string]bool{
		trusted: {"Pins.Get": true, "Pins.Put": true, "Pins.List": true, "Status.Version": true, "Status.Check": true},
	})))
	if err := s.RegisterName(api.PinsService, &Pins{}); err != nil {
		return nil, err
	}
	if err := s.Register(Status{h.ID()}); err != nil {
		return nil, err
	}
	return s, nil
}
