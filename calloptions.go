package rpc

// CallOption configures calls: one, given to a typed call; all calls of a
// method, given to [NewMethod] and its like; or all of a client, by
// [WithCallOptions]. What is nearest to the call counts.
type CallOption func(*callConfig)

// callConfig is what the options of a call say together.
type callConfig struct{}

func (o CallOption) configure(m *methodConfig) { m.calls = append(m.calls, o) }
