// Package outside does not see the library, but has functions of its names.
package outside

type Client struct{}

func (Client) Call(dest, svc, method string, args, reply any) error { return nil }

func call(c Client) { _ = c.Call("", "Pinz", "Gett", 1, nil) }
