package main

import (
	"context"
	"sync"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

// Notes is the service of each peer.
type Notes struct {
	names *sync.Map // peer ID to name

	mu    sync.Mutex
	notes []Note
}

// Note is what travels.
type Note struct {
	Author string
	Text   string
}

// Write adds a note and replies with how many there are. Who wrote it is what
// libp2p has authenticated, not what the caller says.
func (n *Notes) Write(ctx context.Context, text string, count *int) error {
	sender, err := rpc.GetRequestSender(ctx)
	if err != nil {
		return err
	}
	name, known := n.names.Load(sender)
	if !known {
		return &rpc.Error{Code: codes.NotFound, Message: "who is " + sender.String() + "?"}
	}
	author := name.(string)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.notes = append(n.notes, Note{author, text})
	*count = len(n.notes)
	return nil
}

// Read replies with all notes, unless the caller no longer waits for them.
func (n *Notes) Read(ctx context.Context, _ struct{}, notes *[]Note) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	*notes = append(*notes, n.notes...)
	return nil
}
