package rig

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"
)

// Request asks for the names of all cells, or to prepare one, or for a turn of
// one.
type Request struct {
	Cell string        // empty for the names of all
	Time time.Duration // of a turn: prepare the cell for that
	N    int           // operations: have a turn of so many
}

// Reply answers a Request.
type Reply struct {
	Cells  []string `json:",omitempty"`
	N      int      `json:",omitempty"` // operations that take the time asked for
	Result Result
	Err    string `json:",omitempty"` // why there is nothing else
}

// Serve answers requests, JSON values one after the other, until there are no
// more. It measures what it is asked for at once, so that whoever asks several
// processes in turn has one of them work at a time.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	b := newBench()
	defer func() { b.close() }()
	requests, replies := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q Request
		if err := requests.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var r Reply
		var err error
		switch {
		case q.Cell == "":
			r.Cells = b.names()
		case q.N > 0:
			r.Result, err = b.turn(ctx, q.Cell, q.N)
		default:
			r.N, err = b.prepare(ctx, q.Cell, q.Time)
		}
		if err != nil {
			r.Err = err.Error()
		}
		if err := replies.Encode(r); err != nil {
			return err
		}
	}
}
