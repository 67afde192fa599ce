package app

import (
	"time"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p/core/peer"
)

type Pin struct {
	Name  string
	Added time.Time
}

func assigned(c *rpc.Client, dest peer.ID) error {
	var pin Pin
	err := c.Call(dest, "Pins", "Get", "a", &pin)
	if err != nil {
		return err
	}
	err = c.Call(dest, "Pins", "Get", "b", &pin)
	use(pin)
	return err
}

func inIf(c *rpc.Client, dest peer.ID, name string) (Pin, error) {
	var pin Pin
	if err := c.Call(dest, "Pins", "Get", name, &pin); err != nil {
		return pin, err
	}
	if err := c.Call(dest, "Pins", "Get", name+name, &pin); err != nil {
		return pin, err
	}
	return pin, nil
}

func returned(c *rpc.Client, dest peer.ID, pin *Pin) error {
	return c.Call(dest, "Pins", "Get", "a", pin)
}

func nothing(c *rpc.Client, dest peer.ID, pin *Pin) {
	if err := c.Call(dest, "Pins", "Put", pin, &struct{}{}); err != nil {
		panic(err)
	}
	_ = c.Call(dest, "Pins", "Put", &Pin{Name: "b"}, &struct{}{})
}

// by hand
func others(c *rpc.Client, dest peer.ID) <-chan *rpc.Call {
	done := make(chan *rpc.Call, 1)
	_ = c.Go(dest, "Pins", "Get", "a", new(Pin), done)
	return done
}

func use(Pin) {}
