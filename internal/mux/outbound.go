package mux

// outbound are the large messages on their way out. Some take turns, a piece
// each, and the others are held: whoever receives them has to have room for all
// that have begun. There are two lanes, so that no message waits for one that is
// much larger.
type outbound struct {
	turns messages
	lanes [2]lane
}

type lane struct {
	held  messages
	under int // bytes of those that take turns
}

const (
	largeMessage = 512 << 10 // and above: the second lane

	// How many bytes of messages take turns in each, or else one message.
	mediumUnder = 1 << 20
	largeUnder  = 4 << 20
)

func (o *outbound) laneOf(m *message) (l *lane, most int) {
	if m.length < largeMessage {
		return &o.lanes[0], mediumUnder
	}
	return &o.lanes[1], largeUnder
}

func (o *outbound) push(m *message) {
	l, _ := o.laneOf(m)
	l.held.push(m)
	o.admit(m)
}

// admit lets those take turns, of the lane of m, that may.
func (o *outbound) admit(m *message) {
	l, most := o.laneOf(m)
	for m := l.held.first; m != nil && (l.under == 0 || l.under+m.length <= most); m = l.held.first {
		l.held.remove(m)
		l.under += m.length
		m.turning = true
		o.turns.push(m)
	}
}

// next takes the message whose turn it is; again or done follows.
func (o *outbound) next() *message {
	m := o.turns.first
	if m != nil {
		o.turns.remove(m)
	}
	return m
}

func (o *outbound) again(m *message) { o.turns.push(m) }

func (o *outbound) done(m *message) {
	l, _ := o.laneOf(m)
	l.under -= m.length
	m.turning = false
	o.admit(m)
}

func (o *outbound) remove(m *message) {
	switch l, _ := o.laneOf(m); {
	case !m.queued:
	case m.flow != nil:
		o.turns.remove(m)
	case m.turning:
		o.turns.remove(m)
		o.done(m)
	default:
		l.held.remove(m)
		o.admit(m) // the next may be one for which there is room
	}
}

func (o *outbound) empty() bool { return o.turns.first == nil }

// all returns those that take turns, and those that are held.
func (o *outbound) all() (all []*message) {
	for _, q := range []*messages{&o.turns, &o.lanes[0].held, &o.lanes[1].held} {
		for m := q.first; m != nil; m = m.next {
			all = append(all, m)
		}
	}
	return all
}
