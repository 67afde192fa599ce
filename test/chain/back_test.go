package chain_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/libp2p/go-libp2p/core/network"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// back has methods that send metadata back: what a caller asks for, by the metadata
// that it sends.
type back struct {
	release chan struct{} // a stream waits for it between its header and its first reply
	leaked  chan context.Context
}

var errBack = &rpc.Error{Code: codes.Aborted, Message: "asked for"}

// setBack sets a header of what begins with "h-", and a trailer of what begins with
// "t-".
func setBack(ctx context.Context) error {
	for k, v := range rpc.MetadataFromContext(ctx) {
		var err error
		switch {
		case strings.HasPrefix(k, "h-"):
			err = rpc.SetHeader(ctx, rpc.Metadata{k: v})
		case strings.HasPrefix(k, "t-"):
			err = rpc.SetTrailer(ctx, rpc.Metadata{k: v})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *back) Double(ctx context.Context, i int, r *int) error {
	*r = 2 * i
	if err := setBack(ctx); err != nil {
		return err
	}
	if b.leaked != nil {
		b.leaked <- ctx
	}
	if i < 0 {
		return errBack
	}
	return nil
}

func (b *back) Doubles(ctx context.Context, in <-chan int, out chan<- int) error {
	if err := setBack(ctx); err != nil {
		return err
	}
	if b.release != nil {
		<-b.release
	}
	for i := range in {
		if i < 0 {
			return errBack
		}
		out <- 2 * i
	}
	return nil
}

// backSeen is what came back: to the caller, and to interceptors of the client.
type backSeen struct {
	header, trailer rpc.Metadata
	err             error
}

// seeing notes what an interceptor finds when the call is over.
func (s *backSeen) seeing(next rpc.Handler) rpc.Handler {
	return func(ctx context.Context, call *rpc.CallInfo) error {
		err := next(ctx, call)
		*s = backSeen{call.Header(), call.Trailer(), err}
		return err
	}
}

var (
	backDouble = rpc.NewMethod[int, int]("Svc", "Double")
	backEach   = rpc.NewServerStream[int, int]("Svc", "Doubles")
	backLast   = rpc.NewClientStream[int, int]("Svc", "Doubles")
	backDuplex = rpc.NewDuplex[int, int]("Svc", "Doubles")
)

// backWays are the ways to make a call that returns what came back.
var backWays = map[string]func(t *testing.T, ctx context.Context, s rig.Setup, i int) backSeen{
	"typed": func(_ *testing.T, ctx context.Context, s rig.Setup, i int) (seen backSeen) {
		seen.header = rpc.Metadata{"of": "an earlier call"}
		_, seen.err = backDouble.Call(ctx, s.Client, s.Dest, i, rpc.CallReplyMetadata(&seen.header, &seen.trailer))
		return seen
	},
	"typed, retried": func(_ *testing.T, ctx context.Context, s rig.Setup, i int) (seen backSeen) {
		_, seen.err = backDouble.Call(ctx, s.Client, s.Dest, i, rpc.CallReplyMetadata(&seen.header, &seen.trailer), rig.Quickly(2), rpc.CallIdempotent(true))
		return seen
	},
	"server stream": func(t *testing.T, ctx context.Context, s rig.Setup, i int) (seen backSeen) {
		var header rpc.Metadata
		for _, err := range backEach.Call(ctx, s.Client, s.Dest, i, rpc.CallReplyMetadata(&seen.header, &seen.trailer)) {
			if header = seen.header; err != nil {
				seen.err = err
			}
		}
		if header != nil && !maps.Equal(header, seen.header) {
			t.Errorf("the header becomes %v of %v", seen.header, header)
		}
		return seen
	},
	"client stream": func(t *testing.T, ctx context.Context, s rig.Setup, i int) (seen backSeen) {
		call := backLast.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		_ = call.Send(ctx, i)
		_, seen.err = call.Finish(ctx)
		seen.header, _ = call.Header(ctx)
		seen.trailer = call.Trailer()
		return seen
	},
	"duplex": func(t *testing.T, ctx context.Context, s rig.Setup, i int) (seen backSeen) {
		call := backDuplex.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		_ = call.Send(ctx, i)
		_ = call.CloseSend()
		_, seen.err = rig.Received(ctx, t, call)
		seen.header, _ = call.Header(ctx)
		seen.trailer = call.Trailer()
		return seen
	},
}

func TestMethodsSendMetadataBack(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		plain := with(&back{}, rig.Options{})
		var call, attempt backSeen
		watched := with(&back{}, rig.Options{Client: []rpc.ClientOption{
			rpc.WithCallInterceptors(call.seeing), rpc.WithClientInterceptors(attempt.seeing),
		}})
		for name, md := range map[string]struct{ header, trailer rpc.Metadata }{
			"nothing": {}, "a header": {header: rpc.Metadata{"h-a": "1"}}, "a trailer": {trailer: rpc.Metadata{"t-a": "1"}},
			"both": {rpc.Metadata{"h-a": "1"}, rpc.Metadata{"t-a": "2", "t-b": "", "t-\xff": "\x00\xc1"}},
		} {
			ctx := rpc.ContextWithMetadata(rig.Context(t), md.header)
			for k, v := range md.trailer {
				ctx = rpc.AppendMetadata(ctx, k, v)
			}
			for way, f := range backWays {
				for _, i := range []int{21, -1} {
					for _, s := range []rig.Setup{plain, watched} {
						got := f(t, ctx, s, i)
						if !maps.Equal(got.header, md.header) || !maps.Equal(got.trailer, md.trailer) {
							t.Errorf("%s, %s, %d: got %v and %v", name, way, i, got.header, got.trailer)
						}
						if rpc.CodeOf(got.err) != map[bool]codes.Code{true: codes.OK, false: codes.Aborted}[i > 0] {
							t.Errorf("%s, %s, %d: got %v", name, way, i, got.err)
						}
					}
					for side, seen := range map[string]*backSeen{"of calls": &call, "of attempts": &attempt} {
						if !maps.Equal(seen.header, md.header) || !maps.Equal(seen.trailer, md.trailer) {
							t.Errorf("%s, %s, %d: the interceptor %s sees %v and %v", name, way, i, side, seen.header, seen.trailer)
						}
					}
				}
			}
			// By name only interceptors see it.
			doublingContext(t, ctx, watched, func(t *testing.T, _ rpc.Kind, replies []int, err error) {
				doubled(t, replies, err)
				if !maps.Equal(call.header, md.header) || !maps.Equal(call.trailer, md.trailer) {
					t.Errorf("%s: the interceptor sees %v and %v", name, call.header, call.trailer)
				}
			})
			doublingContext(t, ctx, plain, func(t *testing.T, _ rpc.Kind, replies []int, err error) { doubled(t, replies, err) })
		}
	})
}

func TestAStreamsHeaderComesBeforeItsFirstReply(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		svc := &back{release: make(chan struct{})}
		s := with(svc, rig.Options{})
		ctx := rpc.ContextWithMetadata(rig.Context(t), rpc.Metadata{"h-a": "1", "t-a": "2"})
		call := backDuplex.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		if header, err := call.Header(ctx); err != nil || !maps.Equal(header, rpc.Metadata{"h-a": "1"}) {
			t.Errorf("the header is %v, %v", header, err)
		}
		if md := call.Trailer(); md != nil {
			t.Errorf("the trailer is %v before the end", md)
		}
		close(svc.release)
		_ = call.Send(ctx, 1)
		_ = call.CloseSend()
		if all, err := rig.Received(ctx, t, call); err != nil || len(all) != 1 {
			t.Errorf("got %v, %v", all, err)
		}
		if md := call.Trailer(); !maps.Equal(md, rpc.Metadata{"t-a": "2"}) {
			t.Errorf("the trailer is %v", md)
		}
	})
}

// Header returns when it is known that there is none, and when the call or the
// context ends.
func TestHeaderWaitsNoLongerThanItMust(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		svc := &back{release: make(chan struct{})}
		s := with(svc, rig.Options{})
		ctx := rig.Context(t)
		call := backDuplex.Open(ctx, s.Client, s.Dest)
		defer call.Close()
		ended, cancel := context.WithCancel(ctx)
		cancel()
		if md, err := call.Header(ended); !errors.Is(err, context.Canceled) || md != nil {
			t.Errorf("its own context has ended: got %v, %v", md, err)
		}
		close(svc.release)
		_ = call.Send(ctx, 1)
		if md, err := call.Header(ctx); err != nil || md != nil {
			t.Errorf("after the first reply: got %v, %v", md, err)
		}
		failed := backDuplex.Open(ctx, s.Client, s.Dest)
		defer failed.Close()
		_ = failed.Send(ctx, -1)
		if md, err := failed.Header(ctx); rpc.CodeOf(err) != codes.Aborted || md != nil {
			t.Errorf("of a call that failed: got %v, %v", md, err)
		}
		empty := backDuplex.Open(ctx, s.Client, s.Dest)
		defer empty.Close()
		_ = empty.CloseSend()
		if md, err := empty.Header(ctx); err != nil || md != nil {
			t.Errorf("of a call without replies: got %v, %v", md, err)
		}
	})
}

// setter has methods that say how setting metadata fails.
type setter struct{ limit int }

func (s setter) set(ctx context.Context, set func(context.Context, rpc.Metadata) error) error {
	if err := set(ctx, rpc.Metadata{"k": strings.Repeat("v", s.limit-metadataOverhead)}); err != nil {
		return err
	}
	err := set(ctx, rpc.Metadata{"l": "1"}) // together they are too long
	var limit *rpc.LimitError
	if !errors.As(err, &limit) || limit.Limit != "Limits.MetadataSize" || rpc.CodeOf(err) != codes.ResourceExhausted || !strings.Contains(err.Error(), "Limits.MetadataSize of the server") {
		return rpc.Errorf(codes.DataLoss, "too much is %v", err)
	}
	return nil
}

func (s setter) Unary(ctx context.Context, _ int, _ *int) error {
	if err := s.set(ctx, rpc.SetHeader); err != nil {
		return err
	}
	return s.set(ctx, rpc.SetTrailer)
}

func (s setter) Streaming(ctx context.Context, in <-chan int, out chan<- int) error {
	if err := s.set(ctx, rpc.SetTrailer); err != nil {
		return err
	}
	big := rpc.Metadata{"k": strings.Repeat("v", s.limit)}
	if err := rpc.SetHeader(ctx, big); rpc.CodeOf(err) != codes.ResourceExhausted {
		return rpc.Errorf(codes.DataLoss, "too much is %v", err)
	}
	if err := rpc.SetHeader(ctx, rpc.Metadata{"k": "v"}); err != nil {
		return err
	}
	if err := rpc.SetHeader(ctx, rpc.Metadata{"l": "v"}); rpc.CodeOf(err) != codes.FailedPrecondition {
		return rpc.Errorf(codes.DataLoss, "a second header is %v", err)
	}
	return nil
}

func TestMetadataSentBackIsBounded(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{100, 8 << 10, 1 << 20} {
		limits := rpc.Limits{MetadataSize: limit}
		o := rig.Options{Server: []rpc.ServerOption{rpc.WithServerLimits(limits)}, Client: []rpc.ClientOption{rpc.WithClientLimits(limits)}}
		rig.OverAll(t, setter{limit}, o, func(t *testing.T, s rig.Setup) {
			var header, trailer rpc.Metadata
			got := rpc.CallReplyMetadata(&header, &trailer)
			_, err := rpc.NewMethod[int, int]("Svc", "Unary").Call(rig.Context(t), s.Client, s.Dest, 1, got)
			if err != nil || len(header["k"]) != limit-metadataOverhead || len(trailer["k"]) != limit-metadataOverhead {
				t.Errorf("%d: unary: got %d, %d bytes, %v", limit, len(header["k"]), len(trailer["k"]), err)
			}
			for _, err := range rpc.NewServerStream[int, int]("Svc", "Streaming").Call(rig.Context(t), s.Client, s.Dest, 1, got) {
				t.Errorf("%d: streaming: got %v", limit, err)
			}
			if header["k"] != "v" || len(header) != 1 || len(trailer["k"]) != limit-metadataOverhead {
				t.Errorf("%d: streaming: got %v, and %d bytes", limit, header, len(trailer["k"]))
			}
		})
	}
}

// A client takes no more than its own limit allows.
func TestMetadataSentBackOverTheClientsLimit(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		server := rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
			return func(ctx context.Context, call *rpc.CallInfo) error {
				if err := rpc.SetTrailer(ctx, rpc.Metadata{"k": strings.Repeat("v", 50)}); err != nil {
					return err
				}
				return next(ctx, call)
			}
		})
		s := tr.With(t, &back{}, rig.Options{Server: []rpc.ServerOption{server}, Client: []rpc.ClientOption{rpc.WithClientLimits(rpc.Limits{MetadataSize: 50})}})
		doubling(t, s, func(t *testing.T, _ rpc.Kind, _ []int, err error) {
			var limit *rpc.LimitError
			if !rpc.IsClientError(err) || !errors.As(err, &limit) || limit.Limit != "Limits.MetadataSize" {
				t.Errorf("got %v", err)
			}
		})
	})
}

// Interceptors of the server add to what the method sets, before it and after it.
func TestServerInterceptorsSendMetadataBack(t *testing.T) {
	t.Parallel()
	var late atomic.Value
	adding := rpc.WithServerInterceptors(func(next rpc.Handler) rpc.Handler {
		return func(ctx context.Context, call *rpc.CallInfo) error {
			if err := errors.Join(rpc.SetHeader(ctx, rpc.Metadata{"before": "1"}), rpc.SetTrailer(ctx, rpc.Metadata{"t-a": "0"})); err != nil {
				return err
			}
			err := next(ctx, call)
			if call.Kind == rpc.Streaming {
				late.Store(rpc.CodeOf(rpc.SetHeader(ctx, rpc.Metadata{"after": "1"})))
			}
			return errors.Join(err, rpc.SetTrailer(ctx, rpc.Metadata{"after": "1"}))
		}
	})
	rig.OverAll(t, &back{}, rig.Options{Server: []rpc.ServerOption{adding}}, func(t *testing.T, s rig.Setup) {
		for _, has := range []bool{false, true} {
			ctx, header := rig.Context(t), rpc.Metadata{"before": "1"}
			trailer := rpc.Metadata{"t-a": "0", "after": "1"}
			if has {
				ctx = rpc.AppendMetadata(ctx, "h-a", "1", "t-a", "2")
				header["h-a"], trailer["t-a"] = "1", "2"
			}
			for way, f := range backWays {
				if got := f(t, ctx, s, 21); got.err != nil || !maps.Equal(got.header, header) || !maps.Equal(got.trailer, trailer) {
					t.Errorf("%s: got %v, %v, %v", way, got.header, got.trailer, got.err)
				}
			}
			if late.Load() != codes.FailedPrecondition {
				t.Errorf("a header after the replies: %v", late.Load())
			}
		}
	})
}

func TestMetadataIsNotSentBackAfterTheCall(t *testing.T) {
	t.Parallel()
	rig.ForEachTransport(t, func(t *testing.T, with func(any, rig.Options) rig.Setup) {
		svc := &back{leaked: make(chan context.Context, 1)}
		s := with(svc, rig.Options{})
		bare := rig.Context(t)
		full := rpc.AppendMetadata(bare, "h-a", "1", "t-a", "2")
		for i, set := range []func(context.Context, rpc.Metadata) error{rpc.SetHeader, rpc.SetTrailer, rpc.SetHeader, rpc.SetTrailer} {
			var header, trailer rpc.Metadata
			_, err := backDouble.Call([]context.Context{bare, full}[i/2], s.Client, s.Dest, 1, rpc.CallReplyMetadata(&header, &trailer))
			if err != nil {
				t.Fatal(err)
			}
			ctx := rig.Take(t, "the method's context", svc.leaked)
			if err := set(ctx, rpc.Metadata{"late": "1"}); rpc.CodeOf(err) != codes.FailedPrecondition {
				t.Errorf("got %v", err)
			}
			// The next call, which may use the same memory, has none of it.
			_, err = backDouble.Call(bare, s.Client, s.Dest, 1, rpc.CallReplyMetadata(&header, &trailer))
			<-svc.leaked
			if err != nil || header != nil || trailer != nil {
				t.Errorf("the next call has %v, %v, %v", header, trailer, err)
			}
		}
	})
	for _, set := range []func(context.Context, rpc.Metadata) error{rpc.SetHeader, rpc.SetTrailer} {
		if err := set(context.Background(), rpc.Metadata{"k": "v"}); rpc.CodeOf(err) != codes.FailedPrecondition {
			t.Errorf("outside a method: got %v", err)
		}
	}
}

// A peer of v0.6 is sent what v0.6 sends, whatever the method sets.
func TestNothingIsSentBackToV06(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	rig.Serve(t, b, &back{})
	for _, method := range []string{"Double", "Doubles"} {
		var got [2][]byte
		for i, md := range []string{"\x80", rig.Str("h-a") + rig.Str("1") + rig.Str("t-a") + rig.Str("2")} {
			if i > 0 {
				md = "\x82" + md
			}
			st := rig.Open(t, a, b, rig.Protocol)
			head := rig.Cat("\x83", rig.Str("Name"), rig.Str("Svc"), rig.Str("Method"), rig.Str(method), rig.Str("Metadata"), md)
			rig.Write(t, st, rig.Cat(head, "\x15"))
			if method == "Doubles" {
				_ = st.CloseWrite()
			}
			var err error
			if got[i], err = io.ReadAll(st); err != nil || len(got[i]) == 0 {
				t.Fatalf("%s: %x, %v", method, got[i], err)
			}
		}
		if string(got[0]) != string(got[1]) {
			t.Errorf("%s: %q is sent, and with metadata %q", method, got[0], got[1])
		}
	}
}

// A server may send what it likes in place of a header and a trailer.
func TestMetadataOutOfOrder(t *testing.T) {
	t.Parallel()
	a, b := rig.NewHosts(t)
	client := rig.Wire.Client(t, a)
	pair := func(key, k, v string) string { return rig.Str(key) + "\x81" + rig.Str(k) + rig.Str(v) }
	header, trailer := "\x81"+pair("Header", "a", "1"), "\x81"+pair("Trailer", "b", "2")
	both := "\x82" + pair("Header", "a", "1") + pair("Trailer", "b", "2")
	none := "\x82" + rig.Str("Header") + "\x80" + rig.Str("Trailer") + "\xc0" // no metadata: an item's header
	const item, end = "\x80\x2a", "\xc1"
	for name, c := range map[string]struct {
		sent            string
		replies         int
		header, trailer string
		code            codes.Code
	}{
		"in order":                     {header + item + item + trailer + end, 2, "1", "2", codes.OK},
		"without replies":              {header + trailer + end, 0, "1", "2", codes.OK},
		"in one":                       {both + end, 0, "1", "2", codes.OK},
		"beside an error":              {item + "\x83" + rig.Str("Error") + rig.Str("no") + pair("Header", "a", "1") + pair("Trailer", "b", "2") + "\xc0", 1, "", "2", codes.Unknown},
		"empty ones":                   {none + "\x2a" + end, 1, "", "", codes.OK},
		"a header after a reply":       {item + header + end, 1, "", "", codes.Internal},
		"two headers":                  {header + "\x81" + pair("Header", "a", "other") + end, 0, "1", "", codes.Internal},
		"a header after the trailer":   {trailer + header + end, 0, "1", "2", codes.Internal},
		"a reply after the trailer":    {item + trailer + item + end, 1, "", "2", codes.Internal},
		"a trailer after the trailer":  {item + trailer + trailer + end, 1, "", "2", codes.Internal},
		"no end":                       {header + item + trailer, 1, "1", "2", codes.Unavailable},
		"a header that is none":        {"\x81" + rig.Str("Header") + "\x01" + item, 0, "", "", codes.Internal},
		"a reply in a header's place":  {header + "\x2a" + end, 0, "1", "", codes.Internal},
		"a header in a reply's place":  {"\x80" + header + end, 0, "", "", codes.InvalidArgument},
		"metadata that is over limits": {"\x81" + pair("Header", "a", strings.Repeat("v", 9<<10)) + end, 0, "", "", codes.ResourceExhausted},
	} {
		b.SetStreamHandler(rig.Extended, func(st network.Stream) {
			_, _ = st.Write([]byte(c.sent))
			_ = st.CloseWrite()
			_, _ = io.Copy(io.Discard, st)
			_ = st.Close()
		})
		var md [2]rpc.Metadata
		var replies int
		var err error
		for _, failed := range backEach.Call(rig.Context(t), client, b.ID(), 1, rpc.CallReplyMetadata(&md[0], &md[1])) {
			if err = failed; err == nil {
				replies++
			}
		}
		if replies != c.replies || rpc.CodeOf(err) != c.code || md[0]["a"] != c.header || md[1]["b"] != c.trailer {
			t.Errorf("%s: %d replies, %v, %v, %v", name, replies, md[0], md[1], err)
		}
	}
}

func TestAppendMetadata(t *testing.T) {
	t.Parallel()
	first := rpc.AppendMetadata(context.Background(), "a", "1", "b", "2")
	second := rpc.AppendMetadata(first, "b", "3", "c", "4", "c", "5")
	echo := rpc.NewMethod[int, rpc.Metadata]("Svc", "Echo")
	s := rig.Local.Setup(t, rig.Options{})
	rig.MustHandle(t, s.Server, echo, func(ctx context.Context, _ int) (rpc.Metadata, error) {
		return rpc.MetadataFromContext(ctx), nil
	})
	for i, c := range []struct {
		ctx  context.Context
		want rpc.Metadata
	}{
		{first, rpc.Metadata{"a": "1", "b": "2"}}, {second, rpc.Metadata{"a": "1", "b": "3", "c": "5"}},
		{rpc.AppendMetadata(first), rpc.Metadata{"a": "1", "b": "2"}},
		{rpc.AppendMetadata(context.Background()), nil},
	} {
		if got, err := echo.Call(c.ctx, s.Client, s.Dest, 0); err != nil || !maps.Equal(got, c.want) {
			t.Errorf("%d: got %v, %v", i, got, err)
		}
	}
	defer func() {
		if r, _ := recover().(string); !strings.Contains(r, `"b" has no value`) {
			t.Errorf("an odd number is %q", r)
		}
	}()
	odd := strings.Fields("a 1 b")
	rpc.AppendMetadata(first, odd...)
}

// What is stored for one call cannot be an option of many.
func TestCallReplyMetadataIsForOneCall(t *testing.T) {
	t.Parallel()
	var md rpc.Metadata
	opt := rpc.CallReplyMetadata(&md, nil)
	s := rig.Local.With(t, &back{}, rig.Options{})
	for name, f := range map[string]func(){
		"a method": func() { rpc.NewMethod[int, int]("Svc", "Double", opt) },
		"a client": func() { rpc.WithCallOptions(opt) },
		"many":     func() { _, _ = backDouble.CollectAll(rig.Context(t), s.Client, nil, 1, opt) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s takes it", name)
				}
			}()
			f()
		}()
	}
}
