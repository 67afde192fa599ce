package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
)

// Files is the service.
type Files struct{}

// Status is what the receiver tells on the way.
type Status struct {
	Received int64
	Sum      []byte // the SHA-256 of all, at the end
}

// every is how many bytes are received between two tellings.
const every = 8 << 20

// Receive takes a file in chunks. It reads on while nobody reads what it
// tells: the channels take care of the pace.
func (Files) Receive(ctx context.Context, chunks <-chan []byte, told chan<- Status) error {
	hash := sha256.New()
	var received, last int64
	for chunk := range chunks {
		hash.Write(chunk)
		received += int64(len(chunk))
		if received-last >= every {
			last = received
			told <- Status{Received: received}
		}
	}
	// The chunks have ended: all is there, or the sender has gone.
	if err := ctx.Err(); err != nil {
		return err
	}
	told <- Status{received, hash.Sum(nil)}
	return nil
}

// send streams the file and compares the checksums.
func send(ctx context.Context, out io.Writer, client *rpc.Client, to peer.ID, name string, chunk int) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "sending %d bytes in chunks of %d to %s\n", info.Size(), chunk, to)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	start := time.Now()
	chunks, told := make(chan []byte), make(chan Status)
	hash := sha256.New()
	reading := make(chan struct{}) // until then hash and f are the goroutine's
	go func() {
		defer close(reading)
		defer close(chunks)
		if err := read(ctx, io.TeeReader(f, hash), chunk, chunks); err != nil {
			cancel(err) // half a file is not to be taken for a whole one
		}
	}()
	result := make(chan error, 1)
	go func() { result <- client.Stream(ctx, to, "Files", "Receive", chunks, told) }()

	var final Status
	for final = range told { // until the call is over
		if final.Sum == nil {
			fmt.Fprintf(out, "%5.1f %%\n", 100*float64(final.Received)/float64(max(info.Size(), 1)))
		}
	}
	err = <-result
	cancel(nil) // the peer may have ended the call before it had all chunks
	<-reading
	if err != nil {
		return err
	}
	took := time.Since(start)
	own := hash.Sum(nil)
	fmt.Fprintf(out, "sent      sha256 %x\nreceived  sha256 %x\n", own, final.Sum)
	if string(own) != string(final.Sum) || final.Received != info.Size() {
		return fmt.Errorf("the peer received %d bytes with another checksum", final.Received)
	}
	fmt.Fprintf(out, "the same, in %v: %.0f MB/s\n", took.Round(time.Millisecond), float64(info.Size())/1e6/took.Seconds())
	return nil
}

// read cuts r into chunks; each is a new slice, for the last may still be on
// its way.
func read(ctx context.Context, r io.Reader, size int, chunks chan<- []byte) error {
	for {
		buf := make([]byte, size)
		n, err := io.ReadFull(r, buf)
		if n > 0 {
			select {
			case chunks <- buf[:n]:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}
