package rpc

// CallOption configures calls: one, given to a typed call; all calls of a
// method, given to [NewMethod] and its like; or all of a client, by
// [WithCallOptions]. What is nearest to the call counts.
type CallOption func(*callConfig)

// callConfig is what the options of a call say together.
type callConfig struct {
	sentinels sentinels
}

// WithCallOptions makes opts hold for all calls of a client.
func WithCallOptions(opts ...CallOption) ClientOption {
	return func(c *Client) { c.callOptions = append(c.callOptions, opts...) }
}

func (o CallOption) configure(m *methodConfig) { m.calls = append(m.calls, o) }

// settled returns what holds for the calls of a method, which has the options
// method, and with options of their own; nil where nothing is set.
func (c *Client) settled(method, own []CallOption) *callConfig {
	if len(method) == 0 && len(own) == 0 {
		return c.options
	}
	o := new(callConfig)
	if c.options != nil {
		*o = *c.options
	}
	for _, opts := range [][]CallOption{method, own} {
		for _, opt := range opts {
			opt(o)
		}
	}
	return o
}
