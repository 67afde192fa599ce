package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p-gorpc/internal/wire"
)

// largestPiece is more than a Writer may write at once.
const largestPiece = 128 << 10

// sink keeps what is written to it.
type sink struct {
	noDeadlines
	all    []byte
	sizes  []int
	failAt int    // the write that fails, from 1
	look   func() // during each
}

func (s *sink) Read([]byte) (int, error) { panic("read from") }

func (s *sink) Write(p []byte) (int, error) {
	if s.look != nil {
		s.look()
	}
	s.sizes = append(s.sizes, len(p))
	if len(s.sizes) == s.failAt {
		return 0, errBroken
	}
	s.all = append(s.all, p...)
	return len(p), nil
}

// noise is n bytes of which no two pieces are alike.
func noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i ^ i>>8 ^ i>>16)
	}
	return b
}

// piecesOf wants the sizes to be n in the fewest pieces.
func piecesOf(t *testing.T, sizes []int, n int) {
	t.Helper()
	sum := 0
	for _, size := range sizes {
		sum += size
		if size > largestPiece || size == 0 {
			t.Errorf("%d bytes in one write", size)
		}
	}
	if few := n/(largestPiece-100) + 1; sum != n || n > 0 && len(sizes) > few {
		t.Errorf("%d bytes in %d writes; want %d in %d", sum, len(sizes), n, few)
	}
}

func TestWriterFlush(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, firstBuffer, firstBuffer + 1, wire.FlushSize, largestPiece - 24, largestPiece - 23, 1 << 20} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			st, mem := &sink{}, &memory{}
			var w wire.Writer
			w.Init(st, mem, 0)
			want := noise(n)
			st.look = func() {
				if held := mem.held(); held < n-unreserved || held > 4*n {
					t.Errorf("%d bytes are reserved for %d", held, n)
				}
			}
			w.B = append(w.B, want...)
			if err := w.Flush(); err != nil || len(w.B) != 0 || !bytes.Equal(st.all, want) {
				t.Fatalf("%v, %d written, %d left", err, len(st.all), len(w.B))
			}
			piecesOf(t, st.sizes, n)
			if mem.held() > 2*wire.FlushSize || cap(w.B) > 2*wire.FlushSize {
				t.Errorf("keeps a buffer of %d, and %d reserved", cap(w.B), mem.held())
			}

			st.look, st.sizes = nil, nil
			w.B = append(w.B, "more"...)
			if err := w.Flush(); err != nil || string(st.all[n:]) != "more" || len(st.sizes) != 1 {
				t.Errorf("%v, %q in %d writes", err, st.all[n:], len(st.sizes))
			}
			for range 2 {
				w.Close()
				if mem.held() != 0 || w.Flush() != nil {
					t.Errorf("%d bytes stay reserved", mem.held())
				}
			}
		})
	}
}

func TestWriterFlushWith(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name       string
		head, body int
		writes     int // 0 is any
	}{
		{"nothing", 0, 0, -1},
		{"head only", 10, 0, 1},
		{"body only", 0, 10, 1},
		{"small", 10, 100, 1},
		{"over the first buffer", 10, firstBuffer, 1},
		{"the most in one", 10, wire.FlushSize - 10, 1},
		{"a byte more", 10, wire.FlushSize - 9, 2},
		{"large body only", 0, wire.FlushSize + 1, 1},
		{"very large", 10, 1 << 20, 0},
		{"large head", 1 << 20, 10, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			st, mem := &sink{}, &memory{}
			var w wire.Writer
			w.Init(st, mem, 0)
			head, body := noise(tt.head), bytes.Repeat([]byte{0xab}, tt.body)
			st.look = func() {
				if held := mem.held(); held < tt.head+tt.body-unreserved || held > 4*(tt.head+tt.body) {
					t.Errorf("%d bytes are reserved for %d and %d", held, tt.head, tt.body)
				}
			}
			w.B = append(w.B, head...)
			if err := w.FlushWith(body, false); err != nil || len(w.B) != 0 || !bytes.Equal(st.all, slices.Concat(head, body)) {
				t.Fatalf("%v, %d written, %d left", err, len(st.all), len(w.B))
			}
			if tt.writes != 0 && len(st.sizes) != max(tt.writes, 0) {
				t.Errorf("writes of %v; want %d", st.sizes, tt.writes)
			}
			if len(st.sizes) > 1 && st.sizes[0] == tt.head {
				t.Errorf("writes of %v: the head has one of its own", st.sizes)
			}
			for _, size := range st.sizes {
				if size > largestPiece {
					t.Errorf("%d bytes in one write", size)
				}
			}
			if !bytes.Equal(body, bytes.Repeat([]byte{0xab}, tt.body)) {
				t.Error("the body was changed")
			}
			// The body is the caller's again, whatever is written next.
			clear(body)
			st.look = func() {}
			w.B = append(w.B, "more"...)
			if err := w.Flush(); err != nil || string(st.all[tt.head+tt.body:]) != "more" {
				t.Errorf("%v, %.20q", err, st.all[tt.head+tt.body:])
			}
			w.Close()
			if mem.held() != 0 {
				t.Errorf("%d bytes stay reserved", mem.held())
			}
		})
	}
}

// flushes are the two ways to write n bytes.
var flushes = map[string]func(w *wire.Writer, n int) error{
	"Flush": func(w *wire.Writer, n int) error {
		w.B = append(w.B, noise(n)...)
		return w.Flush()
	},
	"FlushWith": func(w *wire.Writer, n int) error {
		w.B = append(w.B, "head"...)
		return w.FlushWith(noise(n), false)
	},
}

// What the user holds needs no leave.
func TestWriterAccountsForNoMemoryOfTheUsers(t *testing.T) {
	t.Parallel()
	st, mem := &sink{}, &memory{most: 1}
	var w wire.Writer
	w.Init(st, mem, 0)
	w.B = append(w.B, "head"...)
	if err := w.FlushWith(noise(1<<20), true); err != nil || len(st.all) != 4+1<<20 {
		t.Errorf("%v, %d written", err, len(st.all))
	}
	w.Close()
	if mem.held() != 0 {
		t.Errorf("%d bytes stay reserved", mem.held())
	}
}

// Nothing of what was refused is written, then or later.
func TestWriterMemoryRefused(t *testing.T) {
	t.Parallel()
	for name, flush := range flushes {
		for _, n := range []int{2 * unreserved, 1 << 20} {
			st, mem := &sink{}, &memory{most: 1}
			var w wire.Writer
			w.Init(st, mem, 0)
			if err := flush(&w, n); !errors.Is(err, wire.ErrMemory) || !errors.Is(err, errRefused) {
				t.Errorf("%s of %d: %v", name, n, err)
			}
			if len(st.sizes) != 0 || len(w.B) != 0 {
				t.Errorf("%s of %d: %v written, %d left", name, n, st.sizes, len(w.B))
			}
			if cap(w.B) > unreserved {
				t.Errorf("%s of %d: keeps a buffer of %d that was refused", name, n, cap(w.B))
			}
			mem.most = 0 // the error itself is to be told
			w.B = append(w.B, "error"...)
			if err := w.Flush(); err != nil || string(st.all) != "error" {
				t.Errorf("%s of %d: %q, %v", name, n, st.all, err)
			}
			w.Close()
			if mem.held() != 0 {
				t.Errorf("%s of %d: %d bytes stay reserved", name, n, mem.held())
			}
		}
	}
}

// After an error nothing more of the message is written.
func TestWriterErrors(t *testing.T) {
	t.Parallel()
	for name, flush := range flushes {
		for _, n := range []int{10, 1 << 20} {
			for failAt := 1; failAt < 4; failAt++ {
				if n == 10 && failAt > 1 {
					continue
				}
				st, mem := &sink{failAt: failAt}, &memory{}
				var w wire.Writer
				w.Init(st, mem, 0)
				if err := flush(&w, n); !errors.Is(err, errBroken) {
					t.Errorf("%s of %d: %v", name, n, err)
				}
				if len(st.sizes) != failAt || len(w.B) != 0 {
					t.Errorf("%s of %d: %d writes, failed at %d; %d left", name, n, len(st.sizes), failAt, len(w.B))
				}
				w.Close()
				if mem.held() != 0 {
					t.Errorf("%s of %d: %d bytes stay reserved", name, n, mem.held())
				}
			}
		}
	}
}

// take receives each write of s after a pause, until told to stop.
func take(s *slow, pause time.Duration, stopped <-chan struct{}) {
	for {
		select {
		case <-time.After(pause):
		case <-stopped:
			return
		}
		select {
		case <-s.out:
		case <-stopped:
			return
		}
	}
}

// A slow reader is not a stalled one: each piece has its time.
func TestWriterStall(t *testing.T) {
	t.Parallel()
	const stall = 10 * time.Second
	for name, flush := range flushes {
		for _, tt := range []struct {
			name  string
			stall time.Duration
			pause time.Duration
			want  error
		}{
			{"in time", stall, stall - 1, nil},
			{"too late", stall, stall + 1, wire.ErrStalled},
			{"never", stall, 1000 * time.Hour, wire.ErrStalled},
			{"time without end", 0, time.Hour, nil},
		} {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					s, stopped, mem := newSlow(), make(chan struct{}), &memory{}
					go take(s, tt.pause, stopped)
					var w wire.Writer
					w.Init(s, mem, tt.stall)
					start := time.Now()
					err := flush(&w, 1<<20)
					took := time.Since(start)
					close(stopped)
					if !errors.Is(err, tt.want) || tt.want != nil && took != stall || tt.want == nil && took < 8*tt.pause {
						t.Errorf("%v after %v", err, took)
					}
					w.Close()
					if mem.held() != 0 {
						t.Errorf("%d bytes stay reserved", mem.held())
					}
					<-time.After(24 * time.Hour)
					if reads, writes := s.deadlines(); reads != 0 || writes > 1 || (writes == 1) != (tt.want != nil) {
						t.Errorf("%d deadlines were set for reads, %d for writes", reads, writes)
					}
				})
			})
		}
	}
}
