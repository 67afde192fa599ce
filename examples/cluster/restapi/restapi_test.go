package restapi_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"
	"go.uber.org/goleak"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/api"
	"github.com/libp2p/go-libp2p-gorpc/examples/cluster/restapi"
	"github.com/libp2p/go-libp2p-gorpc/rpctest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	text = "bafkreicymcn7mh7kmqgcivjvuk3xck4ntwh72rwcbhy2sgzwwg2elypa4u"
	anna = peer.ID("anna")
)

var root = cid.MustParse(text)

// setup is an API, for which all else is played.
func setup(t *testing.T) (restapi.Client, *rpctest.Server) {
	t.Helper()
	client, server := rpctest.Local(t)
	a, err := restapi.New(client, "127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	return restapi.Client{URL: a.URL(), HTTP: &http.Client{Transport: transport}}, server
}

func TestPinAndUnpin(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	server.Mock("Cluster", rpctest.Methods{
		"Pin": func(_ context.Context, want api.Pin, got *api.Pin) error {
			*got = want
			got.Replicas, got.Allocations = 1, []peer.ID{anna}
			return nil
		},
		"Unpin": func(context.Context, cid.Cid, *api.Nothing) error {
			return &rpc.Error{Code: codes.NotFound, Message: "it is not pinned"}
		},
	})
	pin, err := client.Pin(t.Context(), text)
	if err != nil || pin.Cid != text || len(pin.Allocations) != 1 {
		t.Fatalf("%+v, %v", pin, err)
	}
	if err := client.Unpin(t.Context(), text); err == nil || err.Error() != "404 Not Found: it is not pinned" {
		t.Fatal(err)
	}
	if _, err := client.Pin(t.Context(), "bogus"); err == nil || !strings.HasPrefix(err.Error(), "400") {
		t.Fatal(err)
	}
}

func TestStatusAndPeers(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	infos := []api.PinInfo{
		{Cid: root, Name: "letter", Peer: anna, Status: api.Pinned},
		{Cid: root, Name: "letter", Peer: "bert", Status: api.Failed, Error: "no room"},
	}
	server.Mock("Cluster", rpctest.Methods{
		"Status":    rpctest.Reply[cid.Cid](infos),
		"StatusAll": rpctest.Reply[api.Nothing](infos),
		"Peers":     rpctest.Reply[api.Nothing]([]api.ID{{Peer: anna, Name: "anna", Leader: anna, Free: 7}}),
	})
	one, err := client.Status(t.Context(), text)
	if err != nil || one.Name != "letter" || one.Peers[anna.String()].Status != api.Pinned ||
		one.Peers[peer.ID("bert").String()].Error != "no room" {
		t.Fatalf("%+v, %v", one, err)
	}
	all, err := client.StatusAll(t.Context())
	if err != nil || len(all) != 1 || len(all[0].Peers) != 2 {
		t.Fatalf("%+v, %v", all, err)
	}
	peers, err := client.Peers(t.Context())
	if err != nil || len(peers) != 1 || peers[0].Name != "anna" || peers[0].Leader != anna.String() || peers[0].Free != 7 {
		t.Fatalf("%+v, %v", peers, err)
	}
}

// uploads plays the adder: it takes files, and tells what it was sent.
func uploads(t *testing.T, server *rpctest.Server) (files <-chan string) {
	t.Helper()
	taken := make(chan string, 1)
	add := func(ctx context.Context, in *rpc.Receiver[api.Upload], out *rpc.Sender[api.Added]) error {
		var file strings.Builder
		for piece, err := range in.All(ctx) {
			if err != nil {
				return err
			}
			file.Write(piece.Data)
			if err := out.Send(ctx, api.Added{Bytes: int64(file.Len())}); err != nil {
				return err
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		taken <- file.String()
		return out.Send(ctx, api.Added{Pin: &api.Pin{Cid: root}})
	}
	if err := api.Adder.Add.Handle(server.Server, add); err != nil {
		t.Fatal(err)
	}
	return taken
}

func TestAdd(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	files := uploads(t, server)
	file := strings.Repeat("some text, ", 100_000)
	var progress int64
	pin, err := client.Add(t.Context(), "letter", 2, strings.NewReader(file), func(a restapi.Added) { progress = a.Bytes })
	if err != nil || pin.Cid != text || progress != int64(len(file)) {
		t.Fatalf("%+v, %v; %d bytes", pin, err, progress)
	}
	if got := <-files; got != file {
		t.Fatalf("%d bytes, want %d", len(got), len(file))
	}
}

// A file that is cut off on its way is none.
func TestAddIsCutOff(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	files := uploads(t, server)
	conn, err := net.Dial("tcp", strings.TrimPrefix(client.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST /add HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n%s", make([]byte, 1_000_000))
	if err != nil {
		t.Fatal(err)
	}
	server.Method("Adder", "Add").Wait(1)
	if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || strings.Contains(string(answer), text) {
		t.Fatalf("%q, %v", answer, err)
	}
	server.Method("Adder", "Add").WaitDone(1)
	select {
	case <-files:
		t.Fatal("it was added")
	default:
	}
}

func TestAddFails(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	uploads(t, server)
	server.Method("Adder", "Add").Fail(1, &rpc.Error{Code: codes.ResourceExhausted, Message: "no room"})
	_, err := client.Add(t.Context(), "", 0, strings.NewReader("letter"), nil)
	if err == nil || err.Error() != "507 Insufficient Storage: no room" {
		t.Fatal(err)
	}
	if _, err := client.Add(t.Context(), "", 0, strings.NewReader("letter"), nil); err != nil {
		t.Fatal(err)
	}
}

// What has arrived of a file that cannot be read to its end does not look
// whole.
func TestReadFailsInTheMiddle(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	read := func(ctx context.Context, _ cid.Cid, out *rpc.Sender[[]byte]) error {
		return errors.Join(out.Send(ctx, make([]byte, 1000)), errors.New("the rest is gone"))
	}
	if err := api.Storage.Read.Handle(server.Server, read); err != nil {
		t.Fatal(err)
	}
	file, err := client.Read(t.Context(), text)
	if err != nil {
		return // nothing has arrived: so much the better
	}
	defer file.Close()
	if data, err := io.ReadAll(file); err == nil {
		t.Fatalf("%d bytes, and no error", len(data))
	}
}

func TestPageAndEvents(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	server.Mock("Cluster", rpctest.Methods{
		"StatusAll": rpctest.Reply[api.Nothing]([]api.PinInfo{{Cid: root, Peer: anna, Status: api.Pinned}}),
		"Peers":     rpctest.Reply[api.Nothing]([]api.ID{{Peer: anna, Name: "anna"}}),
	})
	get := func(path, want string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, client.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.HTTP.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.Header.Get("Content-Type") != want {
			t.Fatalf("%s is %v", path, answer.Header)
		}
		return answer
	}
	if page, err := io.ReadAll(get("/", "text/html; charset=utf-8").Body); err != nil || !strings.Contains(string(page), "EventSource") {
		t.Fatal(err)
	}
	event, err := bufio.NewReader(get("/events", "text/event-stream").Body).ReadString('\n')
	if err != nil || !strings.HasPrefix(event, "data: {") || !strings.Contains(event, text) || !strings.Contains(event, `"anna"`) {
		t.Fatalf("%q, %v", event, err)
	}
}

// Another site's page that a person looks at cannot unpin.
func TestOtherSitesAreRefused(t *testing.T) {
	t.Parallel()
	client, _ := rpctest.Local(t) // nothing may be called
	a, err := restapi.New(client, "127.0.0.1:0", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	r := httptest.NewRequest(http.MethodDelete, "/pins/"+text, nil)
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	w := httptest.NewRecorder()
	a.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusForbidden {
		t.Fatal(w.Code)
	}
}

// An upload that fails late has the status of its error, unless its progress was asked for.
func TestAddFailsLate(t *testing.T) {
	t.Parallel()
	client, server := setup(t)
	if err := api.Adder.Add.Handle(server.Server, func(ctx context.Context, in *rpc.Receiver[api.Upload], out *rpc.Sender[api.Added]) error {
		for _, err := range in.All(ctx) {
			if err != nil {
				return err
			}
		}
		if err := out.Send(ctx, api.Added{Bytes: 1}); err != nil {
			return err
		}
		return &rpc.Error{Code: codes.ResourceExhausted, Message: "no room"}
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Add(t.Context(), "", 0, strings.NewReader("letter"), nil); err == nil || err.Error() != "507 Insufficient Storage: no room" {
		t.Error(err)
	}
	told := false
	if _, err := client.Add(t.Context(), "", 0, strings.NewReader("letter"), func(restapi.Added) { told = true }); err == nil || err.Error() != "no room" || !told {
		t.Error(err)
	}
}
