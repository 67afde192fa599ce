package calls_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
)

func TestLogsHaveWords(t *testing.T) {
	t.Parallel()
	id := rpc.ServiceID{Name: "Pins", Method: "Add"}
	for name, h := range map[string]struct {
		handler func(*bytes.Buffer) slog.Handler
		want    string
	}{
		"JSON": {
			func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			`"id":"Pins.Add","pointer":"Pins.Add","kind":"streaming","no kind":"unknown","code":"NotFound","no code":"Code(99)"`,
		},
		"text": {
			func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
			`id=Pins.Add pointer=Pins.Add kind=streaming "no kind"=unknown code=NotFound "no code"=Code(99)`,
		},
	} {
		var b bytes.Buffer
		slog.New(h.handler(&b)).Info("call", "id", id, "pointer", &id, "kind", rpc.Streaming, "no kind", rpc.Kind(9),
			"code", codes.NotFound, "no code", codes.Code(99))
		if !strings.Contains(b.String(), h.want) {
			t.Errorf("%s: %s", name, b.String())
		}
	}
}

// The types of v0.6 are what they were to encoding/json.
func TestJSONOfTypes(t *testing.T) {
	t.Parallel()
	id := rpc.ServiceID{Name: "Pins", Method: "Add"}
	for want, v := range map[string]any{
		`{"Name":"Pins","Method":"Add"}`: id,
		`{"Service":{"Name":"Pins","Method":"Add"},"Error":"no","ErrType":1,"Data":"x"}`: rpc.Response{
			Service: id, Error: "no", ErrType: rpc.ServerErr, Data: "x",
		},
		`{"Pins.Add":3}`:   map[string]rpc.ErrorType{id.String(): rpc.AuthorizationErr},
		`"request_sender"`: rpc.ContextKeyRequestSender,
		`[5,1]`:            []any{codes.NotFound, rpc.Unary},
	} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%T: %s, not %s (%v)", v, got, want, err)
		}
	}
	var back rpc.ServiceID
	if err := json.Unmarshal([]byte(`{"Name":"Pins","Method":"Add"}`), &back); err != nil || back != id {
		t.Errorf("it is read as %v, %v", back, err)
	}
}
