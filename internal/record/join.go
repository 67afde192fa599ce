package record

import (
	"context"

	"github.com/libp2p/go-libp2p-gorpc/stats"
)

// Join returns a handler that tells a, if there is one, and then b. The context that a
// has made of the call's is b's to make another of.
func Join(a, b stats.Handler) stats.Handler {
	if a == nil || b == nil {
		return b
	}
	return &joined{a, b}
}

type joined struct{ first, then stats.Handler }

func (j *joined) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	return j.then.TagRPC(j.first.TagRPC(ctx, info), info)
}

func (j *joined) HandleRPC(ctx context.Context, event stats.RPCStats) {
	j.first.HandleRPC(ctx, event)
	j.then.HandleRPC(ctx, event)
}

// WantsPayloads is true if one of them wants payloads, and then both get them.
func (j *joined) WantsPayloads() bool { return WantsPayloads(j.first) || WantsPayloads(j.then) }

// WantsPayloads reports whether h is to be told of payloads.
func WantsPayloads(h stats.Handler) bool {
	w, says := h.(interface{ WantsPayloads() bool })
	return !says || w.WantsPayloads()
}
