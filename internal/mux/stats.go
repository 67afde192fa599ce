package mux

// Stats are figures of a session at one time.
type Stats struct {
	Calls   int    // under way
	Places  int    // how many there may be
	Waiting int    // calls of a client that wait for a place
	In, Out uint64 // bytes received, and bytes given to the stream
}

// Stats returns those of the session.
func (c *Client) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Stats{Calls: c.entered, Places: c.limit, Waiting: c.waits, In: uint64(c.read.Load()), Out: c.handed}
}

// Stats returns those of the session.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Calls: len(s.open), Places: s.lim.Calls, In: uint64(s.read.Load()), Out: s.handed}
}
