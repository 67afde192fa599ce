// Package live finds out which connections have died without anybody saying so: the
// peer froze, or the link is gone. libp2p notices after some 40 seconds.
package live

import (
	"context"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// Monitor judges connections while they are used: each by what the users receive on it,
// and by pings on it, and by nothing else. Its methods are safe for concurrent use.
type Monitor struct {
	over    context.Context
	silence time.Duration

	mu    sync.Mutex
	conns map[network.Conn]*conn
	timer *time.Timer
	ended bool
}

// User is something that waits for a peer.
type User interface {
	// Moved is how many bytes it has received and sent on the connection.
	Moved() (received, sent int64)
	// Silent notes why the wait is about to end: the peer says nothing. It does not wait.
	Silent()
	// Abort ends the wait, when the connection is used no more.
	Abort()
}

// conn is a connection in use, or in doubt. The monitor's mutex guards it.
type conn struct {
	conn  network.Conn
	users map[User]struct{}

	received, sent int64 // by those that are no more
	last, lastSent int64 // at the last tick

	unsure bool               // somebody has waited in vain, and there was no ping since
	cancel context.CancelFunc // of the ping under way
	since  time.Time          // when the last came of the ping's sending and a byte of the peer; zero: it is not sent
	behind bool               // the ping waits until what is before it was taken, and is counted all the same
	waited int                // ticks since then
}

// ticks is how many there are in a silence. Two may pass before the first ping, and the
// one under way when it is sent does not count: 1.25 silences in all.
const ticks = 12

// lively is how many bytes, taken between two ticks, tell that the peer lives. A frozen
// one's may be taken by what is on the way to it, until that is full.
const lively = 16 << 10

// New returns a monitor, which does nothing where silence is 0. It works until over ends.
func New(over context.Context, silence time.Duration) *Monitor {
	return &Monitor{over: over, silence: silence, conns: make(map[network.Conn]*conn)}
}

// Tick is how often connections are looked at.
func (m *Monitor) Tick() time.Duration { return m.silence / ticks }

// Close ends all pings.
func (m *Monitor) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if m.timer != nil {
		m.timer.Stop()
	}
	for _, c := range m.conns {
		m.forget(c)
	}
}

// Watch says that u waits for the peer, until Unwatch.
func (m *Monitor) Watch(on network.Conn, u User) {
	if m.silence == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return
	}
	c := m.conns[on]
	if c == nil {
		c = &conn{conn: on, users: make(map[User]struct{})}
		m.conns[on] = c
	}
	c.users[u] = struct{}{}
	if m.timer == nil {
		m.timer = time.AfterFunc(m.Tick(), m.tick)
	}
}

// Unwatch says that u waits no longer. If it has waited in vain the peer is asked all the
// same: a call's timeout may be shorter than a tick.
func (m *Monitor) Unwatch(on network.Conn, u User) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.conns[on]
	if c == nil {
		return
	}
	if _, there := c.users[u]; !there {
		return
	}
	delete(c.users, u)
	received, sent := u.Moved()
	c.received, c.sent = c.received+received, c.sent+sent
	c.unsure = c.unsure || received == 0
	m.release(c)
}

// release forgets a connection about which nothing is to be found out. The mutex is held.
func (m *Monitor) release(c *conn) {
	if len(c.users) == 0 && !c.unsure && c.cancel == nil && m.conns[c.conn] == c {
		m.forget(c)
	}
}

// forget ends what is done about a connection. The mutex is held.
func (m *Monitor) forget(c *conn) {
	delete(m.conns, c.conn)
	if c.cancel != nil {
		c.cancel()
	}
}

// moved is what all users have received and sent, ever.
func (c *conn) moved() (received, sent int64) {
	received, sent = c.received, c.sent
	for u := range c.users {
		r, s := u.Moved()
		received, sent = received+r, sent+s
	}
	return received, sent
}

func (m *Monitor) tick() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.timer = nil
	if m.ended || len(m.conns) == 0 {
		return
	}
	m.timer = time.AfterFunc(m.Tick(), m.tick)
	for _, c := range m.conns {
		m.judge(c)
	}
}

// judge looks at a connection. Ticks are counted beside the time: a process that was
// stopped has not been waiting meanwhile. The mutex is held.
func (m *Monitor) judge(c *conn) {
	received, sent := c.moved()
	taken := int64(lively)
	if c.behind { // what is on the way to the peer is full
		taken = 1
	}
	heard := received != c.last || sent-c.lastSent >= taken
	c.last, c.lastSent = received, sent
	switch {
	case heard:
		c.unsure = false
		if !c.since.IsZero() {
			c.begins() // anew: the ping under way may have been lost
		}
	case !c.since.IsZero():
		c.waited++
		if c.waited >= ticks && time.Since(c.since) >= m.silence-m.Tick()/4 { // or the next tick would be too late
			m.leave(c)
			return
		}
	case c.cancel == nil:
		m.ask(c)
	}
	m.release(c)
}

// begins begins the silence that is counted.
func (c *conn) begins() { c.since, c.waited = time.Now(), 0 }

// leave closes a connection that is silent, so that no call is made on it any more, and
// ends what waits for it. The mutex is held.
func (m *Monitor) leave(c *conn) {
	m.forget(c) // and nobody changes it any more
	for u := range c.users {
		u.Silent()
	}
	go func() {
		Leave(c.conn)
		for u := range c.users {
			u.Abort()
		}
	}()
}

// leaving is how long a connection may take to be closed. It is out of use before, and
// its end may wait for a peer that reads nothing.
const leaving = 100 * time.Millisecond

// Leave closes a connection that is silent, and returns when libp2p uses it no more.
func Leave(c network.Conn) {
	closed := make(chan struct{})
	go func() {
		_ = c.Close()
		close(closed)
	}()
	timer := time.NewTimer(leaving)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
	}
}
