package rpctest

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	ma "github.com/multiformats/go-multiaddr"
)

func newPipe() (a, b *pipeConn) { return pipe(ma.StringCast("/memory/1"), ma.StringCast("/memory/2")) }

func TestPipeCarriesBytesBothWays(t *testing.T) {
	t.Parallel()
	a, b := newPipe()
	if a.LocalAddr().String() != "/memory/1" || b.RemoteAddr().String() != "/memory/1" || !a.RemoteMultiaddr().Equal(b.LocalMultiaddr()) ||
		a.LocalAddr().Network() != "memory" {
		t.Errorf("addresses %v, %v; %v, %v", a.LocalAddr(), a.RemoteAddr(), b.LocalAddr(), b.RemoteAddr())
	}
	sent := make([]byte, 3*pipeBuffer+17) // more than there is room for at once
	_, _ = rand.Read(sent)
	go func() {
		_, _ = io.Copy(b, b) // until a is closed
		_ = b.Close()
	}()
	go func() { _, _ = a.Write(sent) }()
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(a, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("they come back changed, or not: %v", err)
	}
	_ = a.Close()
}

func TestPipeEndsAfterWhatWasWritten(t *testing.T) {
	t.Parallel()
	a, b := newPipe()
	if n, err := a.Write([]byte("last words")); n != 10 || err != nil {
		t.Fatal(n, err)
	}
	_ = a.Close()
	if got, err := io.ReadAll(b); string(got) != "last words" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	for what, err := range map[string]error{"reading": second(a.Read(make([]byte, 1))), "writing": second(a.Write([]byte{1}))} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s a closed end: %v", what, err)
		}
	}
	if err := second(b.Write([]byte{1})); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("writing to nobody: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestPipeWaitsAreEndedByDeadlinesAndByClosing(t *testing.T) {
	t.Parallel()
	full := make([]byte, pipeBuffer+1)
	for what, c := range map[string]struct {
		end  func(a, b *pipeConn)
		read error
		wrt  error
	}{
		"a deadline":         {func(a, _ *pipeConn) { _ = a.SetDeadline(time.Now().Add(time.Second)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		"a deadline in past": {func(a, _ *pipeConn) { _ = a.SetDeadline(time.Now().Add(-time.Second)) }, os.ErrDeadlineExceeded, os.ErrDeadlineExceeded},
		"closing":            {func(a, _ *pipeConn) { _ = a.Close() }, net.ErrClosed, net.ErrClosed},
		"the other's":        {func(_, b *pipeConn) { _ = b.Close() }, io.EOF, io.ErrClosedPipe},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a, b := newPipe()
				read, wrote := make(chan error, 1), make(chan error, 1)
				go func() { read <- second(a.Read(make([]byte, 1))) }()
				go func() { wrote <- second(a.Write(full)) }()
				synctest.Wait()
				if len(read)+len(wrote) != 0 {
					t.Fatal("they do not wait")
				}
				c.end(a, b)
				if err := <-read; !errors.Is(err, c.read) {
					t.Errorf("reading: %v", err)
				}
				if err := <-wrote; !errors.Is(err, c.wrt) {
					t.Errorf("writing: %v", err)
				}
			})
		})
	}
}

func TestPipeDeadlineCanBeTakenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := newPipe()
		_ = a.SetReadDeadline(time.Now().Add(time.Second))
		_ = a.SetReadDeadline(time.Time{})
		got := make(chan error, 1)
		go func() { got <- second(a.Read(make([]byte, 1))) }()
		<-time.After(time.Minute) // of the bubble's
		if len(got) != 0 {
			t.Fatalf("reading ended: %v", <-got)
		}
		_, _ = b.Write([]byte{1})
		if err := <-got; err != nil {
			t.Error(err)
		}
		_ = a.SetReadDeadline(time.Now().Add(-1))
		if err := second(a.Read(make([]byte, 1))); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("past its deadline: %v", err)
		}
		_ = a.SetReadDeadline(time.Time{})
		_, _ = b.Write([]byte{1})
		if err := second(a.Read(make([]byte, 1))); err != nil {
			t.Errorf("without one again: %v", err)
		}
	})
}
