package rig

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Span is a struct as tracing collects it: of 9 fields, with attributes.
type Span struct {
	TraceID, SpanID, ParentID []byte
	Name                      string
	Kind                      int
	Start, End                time.Time
	Attributes                []Attribute
	Code                      int32
}

// Attribute is one of a span.
type Attribute struct{ Key, Value string }

// SpanCounts are the sizes of batches that are measured, and SpanCallers by how
// many callers at once.
var (
	SpanCounts  = []int{1, 10, 100, 1000}
	SpanCallers = []int{1, 16}
)

// NewSpans makes n spans of 5 attributes, the same ones in each process.
func NewSpans(n int) []Span {
	random := rand.NewChaCha8([32]byte{2})
	id := func(size int) []byte {
		b := make([]byte, size)
		_, _ = random.Read(b)
		return b
	}
	keys := []string{"rpc.system", "rpc.method", "server.address", "network.transport", "rpc.response.status_code"}
	spans := make([]Span, n)
	for i := range spans {
		start := time.Unix(1_700_000_000, int64(random.Uint64()%1e15)).UTC()
		s := Span{
			TraceID: id(16), SpanID: id(8), ParentID: id(8), Name: fmt.Sprintf("Service/Method%d", i%50), Kind: i % 5,
			Start: start, End: start.Add(time.Duration(random.Uint64() % 1e9)), Code: int32(i % 3),
		}
		for j, key := range keys {
			s.Attributes = append(s.Attributes, Attribute{key, fmt.Sprintf("value %d of attribute %d", random.Uint64()%1e6, j)})
		}
		spans[i] = s
	}
	return spans
}

// Spans replies with what it was sent.
func (Echo) Spans(_ context.Context, in []Span, out *[]Span) error {
	*out = in
	return nil
}

// SameSpans compares all of what came back: for a first look.
func SameSpans(got, want []Span) error {
	if !slices.EqualFunc(got, want, func(a, b Span) bool {
		return fmt.Sprintf("%x %x %x", a.TraceID, a.SpanID, a.ParentID) == fmt.Sprintf("%x %x %x", b.TraceID, b.SpanID, b.ParentID) &&
			a.Name == b.Name && a.Kind == b.Kind && a.Start.Equal(b.Start) && a.End.Equal(b.End) && a.Code == b.Code &&
			slices.Equal(a.Attributes, b.Attributes)
	}) {
		return fmt.Errorf("%d spans came back that are not the %d which were sent", len(got), len(want))
	}
	return nil
}

// AlikeSpans compares their number and the last of them: for the look at every
// reply.
func AlikeSpans(got, want []Span) error {
	if n := len(want); len(got) != n || got[n-1].Name != want[n-1].Name || !got[n-1].End.Equal(want[n-1].End) {
		return fmt.Errorf("a wrong reply of %d spans", len(got))
	}
	return nil
}

// spanGroup is calls by name with batches of spans.
func spanGroup(over, addr string) group {
	var names []string
	for _, n := range SpanCounts {
		for _, callers := range SpanCallers {
			names = append(names, fmt.Sprintf("%s, unary, spans: %d, callers: %d", over, n, callers))
		}
	}
	return remoteGroup(addr, names, func(r *site) []cell {
		var cells []cell
		for _, n := range SpanCounts {
			in := NewSpans(n)
			call := func(check func(got, want []Span) error) func(context.Context) error {
				return func(ctx context.Context) error {
					var out []Span
					if err := r.session.CallContext(ctx, r.to, "Echo", "Spans", in, &out); err != nil {
						return err
					}
					return check(out, in)
				}
			}
			for _, callers := range SpanCallers {
				cells = append(cells, cell{names[len(cells)], Parallel(callers, call(AlikeSpans)), call(SameSpans)})
			}
		}
		return cells
	})
}
