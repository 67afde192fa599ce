package main

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/bench/rig"
)

// What a payload's first byte asks for. Every system's method answers through
// answer, so that all of them can be asked for the same.
const (
	askEcho  = 'e' // what was sent
	askWait  = 'w' // nothing, once the gate opens
	askCount = 'n' // how many wait at the gate
	askOpen  = 'o' // that the gate opens for those who wait
	askLarge = 'l' // largeReply
	askUsage = 'u' // what the process holds
)

// largeReply is what small calls are made beside.
var largeReply = make([]byte, 4<<20)

// gate holds calls until it is opened.
type gate struct {
	mu      sync.Mutex
	opened  chan struct{}
	waiting atomic.Int64
}

func (g *gate) wait() {
	g.mu.Lock()
	if g.opened == nil {
		g.opened = make(chan struct{})
	}
	opened := g.opened
	g.mu.Unlock()
	g.waiting.Add(1)
	<-opened
	g.waiting.Add(-1)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.opened != nil {
		close(g.opened)
		g.opened = nil
	}
}

// theGate is the one of this process.
var theGate gate

// answer is the method that all systems serve.
func answer(in []byte) []byte {
	if len(in) == 0 {
		return in
	}
	switch in[0] {
	case askWait:
		theGate.wait()
		return nil
	case askCount:
		return binary.BigEndian.AppendUint64(nil, uint64(theGate.waiting.Load()))
	case askOpen:
		theGate.open()
		return nil
	case askUsage:
		return settled().bytes()
	case askLarge:
		return largeReply
	}
	return in
}

// Echo is this library's service.
type Echo struct{}

// Bytes replies with what it was sent, or with what that asks for.
func (Echo) Bytes(_ context.Context, in []byte, out *[]byte) error {
	*out = answer(in)
	return nil
}

// Multiply takes a pointer, as most methods do.
func (Echo) Multiply(_ context.Context, args *Args, product *int) error {
	*product = args.A * args.B
	return nil
}

// Divide takes a value.
func (Echo) Divide(_ context.Context, args Args, quotient *int) error {
	*quotient = args.A / args.B
	return nil
}

// Args is a small argument.
type Args struct{ A, B int }

// Stream replies with each item.
func (Echo) Stream(_ context.Context, in <-chan []byte, out chan<- []byte) error {
	for item := range in {
		out <- item
	}
	return nil
}

// Records replies with each item. Their channels are used by reflection, as
// those of all types are that are a program's own.
func (Echo) Records(_ context.Context, in <-chan Record, out chan<- Record) error {
	for item := range in {
		out <- item
	}
	return nil
}

// Record is an item that goes through the codec.
type Record struct {
	ID   uint64
	Name string
	Data []byte
}

// The same methods, typed.
var (
	typedMultiply = rpc.NewMethod[*Args, int]("Typed", "Multiply")
	typedDivide   = rpc.NewMethod[Args, int]("Typed", "Divide")
	typedBytes    = rpc.NewMethod[[]byte, []byte]("Typed", "Bytes")
	typedStream   = rpc.NewDuplex[[]byte, []byte]("Typed", "Stream")
	typedRecords  = rpc.NewDuplex[Record, Record]("Typed", "Records")
)

func handleTyped(s *rpc.Server) error {
	return errors.Join(
		typedMultiply.Handle(s, func(_ context.Context, args *Args) (int, error) { return args.A * args.B, nil }),
		typedDivide.Handle(s, func(_ context.Context, args Args) (int, error) { return args.A / args.B, nil }),
		typedBytes.Handle(s, func(_ context.Context, in []byte) ([]byte, error) { return answer(in), nil }),
		typedStream.Handle(s, rig.EchoItems[[]byte]),
		typedRecords.Handle(s, rig.EchoItems[Record]),
	)
}

// Spans replies with what it was sent.
func (Echo) Spans(_ context.Context, in []rig.Span, out *[]rig.Span) error {
	*out = in
	return nil
}
