package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/describe"
)

// calling is what the flags of call say.
type calling struct {
	metadata   []string
	retries    int
	idempotent bool
	stream     bool
}

func (a *app) call() *cobra.Command {
	var f calling
	cmd := &cobra.Command{
		Use:   "call PEER SERVICE.METHOD [JSON | @FILE | -] ...",
		Short: "Call a method, with JSON",
		Long: `Call a method. The argument is JSON on the command line, in a file (@FILE), or on
standard input (-); without one it is the type's zero value. The reply is JSON on
standard output.

A streaming method takes any number of arguments, one JSON value after the other, from
standard input if there are none on the command line, and sends its replies as lines. One
that takes a single argument says so when it gets more, or none.

Values are written by their types, of which the peer's description tells: bytes as
base64, or hex:00ff, or text:hello; times as 2006-01-02T15:04:05Z, durations as 1m30s or
nanoseconds; peer IDs, CIDs and multiaddrs as strings; integers as numbers, or as strings
of digits. An unknown field, or a number that does not fit, is an error, before anything
is sent. Of a peer without descriptions the types are guessed.`,
		Example: `  gorpc call /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Order '{"ID": 7, "For": "1m30s"}'
  gorpc call /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Order @order.json --metadata trace=7f
  seq 3 | gorpc call /ip4/192.0.2.7/tcp/4001/p2p/12D3KooWMoj... Shop.Count`,
		Args: args(cobra.MinimumNArgs(2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.callNow(cmd.Context(), &f, given[0], given[1], given[2:])
		},
	}
	a.to.flags(cmd)
	f.flags(cmd)
	cmd.Flags().IntVar(&f.retries, "retries", 0, "how often to call again when the call has certainly not reached the method")
	cmd.Flags().BoolVar(&f.idempotent, "idempotent", false, "retry, too, when the call may have reached it")
	return cmd
}

// flags are those of all commands that call a method.
func (f *calling) flags(cmd *cobra.Command) {
	cmd.Flags().StringArrayVarP(&f.metadata, "metadata", "m", nil, "key=value to send along; may be given several times")
	cmd.Flags().BoolVar(&f.stream, "stream", false, "the method is a streaming one; needed without descriptions only")
}

// options turns the flags into metadata and options of the call.
func (f *calling) options() (rpc.Metadata, []rpc.CallOption, error) {
	md := rpc.Metadata{}
	for _, pair := range f.metadata {
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return nil, nil, usagef("--metadata %q is not of the form key=value", pair)
		}
		md[key] = value
	}
	if f.retries < 0 {
		return nil, nil, usagef("--retries is %d, and cannot be negative", f.retries)
	}
	return md, []rpc.CallOption{rpc.CallRetry(rpc.RetryPolicy{Attempts: f.retries + 1}), rpc.CallIdempotent(f.idempotent)}, nil
}

// invocation is one call that is being made.
type invocation struct {
	*app
	*connection
	id       rpc.ServiceID
	method   describe.OfferedMethod // as described, or guessed
	values   values
	words    []string // the arguments, as they are written
	metadata rpc.Metadata
	opts     []rpc.CallOption
}

func (a *app) callNow(ctx context.Context, f *calling, peerName, name string, words []string) error {
	ctx, cancel := a.to.within(ctx)
	defer cancel()
	i, err := a.invoke(ctx, f, peerName, name, words)
	if err != nil {
		return err
	}
	defer i.Close()
	ctx = rpc.ContextWithMetadata(ctx, i.metadata)
	if i.method.Kind == rpc.Streaming {
		return a.failed(i.streams(ctx))
	}
	return a.failed(i.unary(ctx))
}

// invoke reaches a peer, and learns about the method that a command line names. Close
// ends it.
func (a *app) invoke(ctx context.Context, f *calling, peerName, name string, words []string) (*invocation, error) {
	service, method, ok := cutLast(name)
	if !ok {
		return nil, usagef("%q is not of the form SERVICE.METHOD", name)
	}
	md, opts, err := f.options()
	if err != nil {
		return nil, err
	}
	c, err := a.to.serving(ctx, peerName)
	if err != nil {
		return nil, err
	}
	i := &invocation{app: a, connection: c, id: rpc.ServiceID{Name: service, Method: method}, words: words, metadata: md, opts: opts}
	if err := i.learn(ctx, f.stream); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return i, nil
}

// cutLast splits "Service.Method" at its last dot: services may have some.
func cutLast(name string) (service, method string, ok bool) {
	n := strings.LastIndexByte(name, '.')
	if n <= 0 || n == len(name)-1 {
		return "", "", false
	}
	return name[:n], name[n+1:], true
}

// learn asks the peer about the method, and guesses if it does not tell.
func (i *invocation) learn(ctx context.Context, stream bool) error {
	d, err := describe.Peer(ctx, i.client, i.peer, i.opts...)
	switch codeOf(err) {
	case codes.OK:
		m, ok := d.Method(i.id)
		if !ok {
			return &rpc.Error{Code: codes.NotFound, Message: fmt.Sprintf("there is no method %v that you may call: gorpc ls lists them", i.id)}
		}
		i.method, i.values = m, values{d.Types}
		return nil
	case codes.Unimplemented, codes.PermissionDenied:
	default:
		return err
	}
	i.method.Kind = rpc.Unary
	if stream {
		i.method.Kind = rpc.Streaming
	}
	fmt.Fprintf(i.err, "Note: the peer does not describe the method, and types are guessed: numbers are integers or floats by how\n"+
		"they look, strings are strings, bytes that are text are shown as text, and the method is %v (--stream says otherwise).\n", i.method.Kind)
	return nil
}

// failed tells programs of an error, and people of its details.
func (a *app) failed(err error) error {
	var ours *rpc.Error
	if !errors.As(err, &ours) {
		return err
	}
	if a.format == "json" {
		b, _ := json.Marshal(map[string]any{"error": map[string]any{"code": ours.Code.String(), "message": ours.Message, "details": ours.Details}})
		fmt.Fprintf(a.err, "%s\n", b)
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(ours.Details)) {
		fmt.Fprintf(a.err, "%s: %s\n", line(key), line(ours.Details[key]))
	}
	return err
}

// oneArgument reads the argument, which is zero if there is none.
func (i *invocation) oneArgument() (any, error) {
	arg := i.values.zero(i.method.Args)
	read := i.inputs(false)
	in, err := read()
	if err == io.EOF {
		return arg, nil
	}
	if err == nil && in != nil {
		if arg, err = i.values.argument(i.method.Args, in, ""); err != nil {
			err = &usageError{fmt.Errorf("the argument: %w", err)}
		}
	}
	if err != nil {
		return nil, err
	}
	if _, err := read(); err != io.EOF {
		return nil, usagef("%v takes one argument, and there are more", i.id)
	}
	return arg, nil
}

func (i *invocation) unary(ctx context.Context) error {
	arg, err := i.oneArgument()
	if err != nil {
		return err
	}
	var header, trailer rpc.Metadata
	start := time.Now()
	reply, err := rpc.NewMethod[any, any](i.id.Name, i.id.Method).
		Call(ctx, i.client, i.peer, arg, append(i.opts, rpc.CallReplyMetadata(&header, &trailer))...)
	if i.format == "text" {
		fmt.Fprintf(i.err, "the call took %v\n", time.Since(start).Round(10*time.Microsecond))
	}
	i.tellMetadata("header", header)
	if err == nil {
		err = i.write(reply, i.format == "text")
	}
	i.tellMetadata("trailer", trailer)
	return err
}

func (i *invocation) tellMetadata(what string, md rpc.Metadata) {
	for _, key := range slices.Sorted(maps.Keys(md)) {
		fmt.Fprintf(i.err, "%s %s: %s\n", what, line(key), line(md[key]))
	}
}

// write writes a reply as JSON, in one line or indented.
func (i *invocation) write(reply any, indent bool) error {
	enc := json.NewEncoder(i.out)
	enc.SetEscapeHTML(false)
	if indent {
		enc.SetIndent("", "  ")
	}
	return enc.Encode(i.values.reply(i.method.Reply, reply))
}

// streams sends arguments as they come, and writes replies as they come.
func (i *invocation) streams(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	call := rpc.NewDuplex[any, any](i.id.Name, i.id.Method).Open(ctx, i.client, i.peer, i.opts...)
	defer call.Close()
	go func() { // which ends with the process, if standard input does not
		if err := i.send(ctx, call); err != nil {
			cancel(err)
		}
	}()
	for reply, err := range call.All(ctx) {
		if err == nil {
			err = i.write(reply, false)
		}
		if err != nil {
			if usage, ok := context.Cause(ctx).(*usageError); ok {
				return usage
			}
			return err
		}
	}
	if header, err := call.Header(ctx); err == nil {
		i.tellMetadata("header", header)
	}
	i.tellMetadata("trailer", call.Trailer())
	return nil
}

func (i *invocation) send(ctx context.Context, call *rpc.DuplexCall[any, any]) error {
	read := i.inputs(true)
	for n := 1; ; n++ {
		in, err := read()
		if err == io.EOF {
			return call.CloseSend()
		}
		if err != nil {
			return err
		}
		arg, err := i.values.argument(i.method.Args, in, "")
		if err != nil {
			return &usageError{fmt.Errorf("argument %d: %w", n, err)}
		}
		if err := call.Send(ctx, arg); err != nil {
			return nil // the replies tell why
		}
	}
}

// inputs returns a function that returns the values of the command line, and of what
// it names, one after the other, and then io.EOF.
func (i *invocation) inputs(stream bool) func() (any, error) {
	words := i.words
	if len(words) == 0 && stream {
		words = []string{"-"}
	}
	var dec *json.Decoder
	var file io.Closer
	return func() (any, error) {
		for {
			if dec == nil {
				if len(words) == 0 {
					return nil, io.EOF
				}
				from, closer, err := i.open(words[0])
				if err != nil {
					return nil, err
				}
				words, file = words[1:], closer
				dec = json.NewDecoder(from)
				dec.UseNumber()
			}
			var v any
			err := dec.Decode(&v)
			if err == nil {
				return v, nil
			}
			if file != nil {
				_ = file.Close()
			}
			if dec = nil; err != io.EOF {
				return nil, usagef("an argument is not JSON: %v", err)
			}
		}
	}
}

func (i *invocation) open(word string) (io.Reader, io.Closer, error) {
	switch {
	case word == "-":
		return i.in, nil, nil
	case strings.HasPrefix(word, "@"):
		f, err := os.Open(word[1:])
		return f, f, err
	}
	return strings.NewReader(word), nil, nil
}
