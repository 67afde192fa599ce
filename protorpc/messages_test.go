package protorpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/describe"
	_ "github.com/libp2p/go-libp2p-gorpc/protorpc"
	"github.com/libp2p/go-libp2p-gorpc/test/rig"
)

// Svc is registered by reflection.
type Svc struct {
	last *atomic.Pointer[structpb.Struct]
}

func (s Svc) Echo(_ context.Context, in, out *structpb.Struct) error {
	s.last.Store(in)
	proto.Merge(out, in)
	return nil
}

func (Svc) Holder(_ context.Context, in holder, out *holder) error {
	*out = in
	return nil
}

func (Svc) Any(_ context.Context, in any, out *any) error {
	*out = in
	return nil
}

func (Svc) Each(_ context.Context, in <-chan *structpb.Struct, out chan<- *structpb.Struct) error {
	defer close(out)
	for m := range in {
		out <- m
	}
	return nil
}

func newSvc() Svc { return Svc{new(atomic.Pointer[structpb.Struct])} }

// holder has messages as parts.
type holder struct {
	At     *timestamppb.Timestamp
	Nil    *timestamppb.Timestamp
	Empty  *emptypb.Empty
	List   []*structpb.Value
	By     map[string]*durationpb.Duration
	Beside string
}

// message has all that a message may: a oneof, maps, nesting, and fields that its type
// does not know.
func message(t *testing.T) *structpb.Struct {
	t.Helper()
	m, err := structpb.NewStruct(map[string]any{
		"text": "text", "number": 1.5, "null": nil, "list": []any{true, "x"}, "within": map[string]any{"deep": "er"},
	})
	if err != nil {
		t.Fatal(err)
	}
	m.ProtoReflect().SetUnknown([]byte{0x98, 0x06, 0x2a}) // field 99: 42
	return m
}

func TestMessages(t *testing.T) {
	t.Parallel()
	method := rpc.NewMethod[*structpb.Struct, *structpb.Struct]("Typed", "Echo")
	duplex := rpc.NewDuplex[*structpb.Struct, *structpb.Struct]("Typed", "Each")
	rig.OverAll(t, newSvc(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		ctx, want := rig.Context(t), message(t)
		if err := errors.Join(
			method.Handle(s.Server, func(_ context.Context, m *structpb.Struct) (*structpb.Struct, error) { return m, nil }),
			duplex.Handle(s.Server, func(ctx context.Context, in *rpc.Receiver[*structpb.Struct], out *rpc.Sender[*structpb.Struct]) error {
				for m, err := range in.All(ctx) {
					if err = errors.Join(err, out.Send(ctx, m)); err != nil {
						return err
					}
				}
				return nil
			}),
		); err != nil {
			t.Fatal(err)
		}
		same := func(what string, got *structpb.Struct, err error) {
			t.Helper()
			if err != nil || !proto.Equal(got, want) {
				t.Errorf("%s: %v, %v", what, got, err)
			}
		}

		got, err := method.Call(ctx, s.Client, s.Dest, want)
		same("typed", got, err)
		var byName structpb.Struct
		err = s.Client.CallContext(ctx, s.Dest, "Svc", "Echo", want, &byName)
		same("by name", &byName, err)
		err = s.Client.CallContext(ctx, s.Dest, "Svc", "Echo", want, &byName)
		same("by name, into a variable that is used", &byName, err)

		call := duplex.Open(ctx, s.Client, s.Dest)
		for range 3 {
			if err := call.Send(ctx, want); err != nil {
				t.Fatal(err)
			}
			got, err = call.Receive(ctx)
			same("item", got, err)
		}
		if err := call.CloseSend(); err != nil {
			t.Error(err)
		}
		if _, err := call.Receive(ctx); err != io.EOF {
			t.Errorf("the end: %v", err)
		}

		args, replies := make(chan *structpb.Struct, 1), make(chan *structpb.Struct, 1)
		args <- want
		close(args)
		err = s.Client.Stream(ctx, s.Dest, "Svc", "Each", args, replies)
		same("item by name", <-replies, err)
	})
}

func TestMessagesAsParts(t *testing.T) {
	t.Parallel()
	rig.OverAll(t, newSvc(), rig.Options{}, func(t *testing.T, s rig.Setup) {
		in := holder{
			At: timestamppb.New(time.Unix(1, 2)), Empty: new(emptypb.Empty), Beside: "beside",
			List: []*structpb.Value{structpb.NewBoolValue(true), nil, structpb.NewNullValue()},
			By:   map[string]*durationpb.Duration{"a": durationpb.New(time.Minute)},
		}
		var out holder
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Holder", in, &out); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(out.At, in.At) || out.Nil != nil || out.Empty == nil || out.Beside != in.Beside || len(out.List) != 3 ||
			!proto.Equal(out.List[0], in.List[0]) || out.List[1] != nil || !proto.Equal(out.List[2], in.List[2]) ||
			len(out.By) != 1 || !proto.Equal(out.By["a"], in.By["a"]) {
			t.Errorf("%v", &out)
		}
		// In an interface they are what any type with a binary form is.
		var v any
		if err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Any", in.At, &v); err != nil {
			t.Fatal(err)
		}
		if m, ok := v.(*timestamppb.Timestamp); ok {
			if s.Dest == s.Host.ID() && !proto.Equal(m, in.At) {
				t.Errorf("a local any: %v", m)
			}
			return
		}
		want, err := proto.Marshal(in.At)
		if err != nil || fmt.Sprintf("%x", v) != fmt.Sprintf("%x", want) {
			t.Errorf("an any: %x, %x, %v", v, want, err)
		}
	})
}

// embedding has a message's form by promotion, which has no room for what is beside it.
type embedding struct {
	*structpb.Struct
	Beside string
}

type embeds struct{}

func (embeds) Take(_ context.Context, in embedding, out *int) error { return nil }

func TestWhatIsBesideAnEmbeddedMessageIsNotLostInSilence(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, embeds{}, rig.Options{})
		var n int
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Take", embedding{message(t), "beside"}, &n)
		if err == nil || !strings.Contains(err.Error(), "Beside") {
			t.Errorf("%v", err)
		}
	})
}

func TestMessagesThatDoNotDecode(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, newSvc(), rig.Options{})
		var out structpb.Struct
		err := s.Client.CallContext(rig.Context(t), s.Dest, "Svc", "Echo", []byte{0xff}, &out)
		if !rpc.IsServerError(err) || rpc.CodeOf(err).String() != "InvalidArgument" {
			t.Errorf("%v", err)
		}
	})
}

// A v0.6 peer sends and gets a message as the bytes of its encoding. The generated
// struct, field by field, is an error.
func TestMessagesOfPeersOfV06(t *testing.T) {
	t.Parallel()
	svc, want := newSvc(), message(t)
	a, b := rig.NewHost(t), rig.NewHost(t)
	rig.Connect(t, a, b)
	s := rig.NewServer(t, b)
	if err := s.RegisterName("Svc", svc); err != nil {
		t.Fatal(err)
	}
	data, err := proto.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if r := rig.CallAsV06(t, a, b.ID(), "Echo", false, data); r.Error != "" || !proto.Equal(svc.last.Load(), want) {
		t.Errorf("bytes: %q, %v", r.Error, svc.last.Load())
	}
	if r := rig.CallAsV06(t, a, b.ID(), "Echo", false, map[string]any{"fields": nil}); !strings.Contains(r.Error, "binary form of structpb.Struct") {
		t.Errorf("a map: %q", r.Error)
	}
	c := rig.NewHost(t)
	rig.Connect(t, a, c)
	rig.PlainServer(t, c) // which takes and returns bytes
	var got structpb.Struct
	if err := rig.Client(t, a).CallContext(rig.Context(t), c.ID(), "Svc", "Echo", want, &got); err != nil || !proto.Equal(&got, want) {
		t.Errorf("by a v0.6 server: %v, %v", &got, err)
	}
}

// Messages of both sides fit, and nothing of them is said to be lost.
func TestMessagesAreDescribed(t *testing.T) {
	t.Parallel()
	rig.OverRemote(t, func(t *testing.T, tr rig.Transport) {
		s := tr.With(t, newSvc(), rig.Options{Server: []rpc.ServerOption{rpc.WithDescriptions(true)}})
		method := rpc.NewMethod[*structpb.Struct, *structpb.Struct]("Svc", "Echo")
		report, err := describe.Check(rig.Context(t), s.Client, s.Dest, method)
		if err = errors.Join(err, report.Err()); err != nil || len(report.Methods[0].Notes) > 0 {
			t.Errorf("%v, %+v", err, report)
		}
	})
}
