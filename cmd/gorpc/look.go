package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/describe"
)

func (a *app) ls() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ls PEER",
		Short: "List the methods that you may call",
		Long: `List the services and methods of a peer that you may call: their kinds, and the types
of arguments and replies. The hash is that of all that is described: it is the same
where nothing is different.`,
		Args: args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, given []string) error {
			d, err := a.described(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			if a.format == "json" {
				return a.listJSON(d)
			}
			a.list(d)
			return nil
		},
	}
	a.to.flags(cmd)
	return cmd
}

// described asks a peer for its description.
func (a *app) described(ctx context.Context, name string) (describe.Description, error) {
	ctx, cancel := a.to.within(ctx)
	defer cancel()
	c, err := a.to.serving(ctx, name)
	if err != nil {
		return describe.Description{}, err
	}
	defer c.Close()
	return describe.Peer(ctx, c.client, c.peer)
}

func (a *app) list(d describe.Description) {
	var rows [][]string
	for _, s := range d.Services {
		for _, m := range s.Methods {
			rows = append(rows, []string{s.Name + "." + m.Name, m.Kind.String(), "(" + m.Args + ")", m.Reply, m.Doc})
		}
	}
	columns(a.out, "", rows)
	if len(rows) == 0 {
		fmt.Fprintln(a.err, "There is nothing that you may call. --key names a file with another key.")
	}
	if d.Truncated {
		fmt.Fprintln(a.err, "There are more methods than a peer describes.")
	}
	fmt.Fprintf(a.err, "%d methods, hash %s\n", len(rows), d.Hash()[:16])
}

type listed struct {
	Method string `json:"method"`
	Kind   string `json:"kind"`
	Args   string `json:"args"`
	Reply  string `json:"reply"`
	Doc    string `json:"doc,omitempty"`
}

func (a *app) listJSON(d describe.Description) error {
	all := struct {
		Hash    string   `json:"hash"`
		Methods []listed `json:"methods"`
	}{d.Hash(), []listed{}}
	for _, s := range d.Services {
		for _, m := range s.Methods {
			all.Methods = append(all.Methods, listed{s.Name + "." + m.Name, m.Kind.String(), m.Args, m.Reply, m.Doc})
		}
	}
	return writeJSON(a.out, all)
}

func (a *app) describe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "describe PEER [SERVICE | SERVICE.METHOD]",
		Short: "Describe methods: types, limits, documentation",
		Long: `Describe the methods of a peer that you may call: the types of arguments and replies
with all their fields, limits, and documentation.

With -o json and without a method it writes the description that gorpc breaking, and
rpctest.Snapshot, compare.`,
		Args: args(cobra.RangeArgs(1, 2)),
		RunE: func(cmd *cobra.Command, given []string) error {
			d, err := a.described(cmd.Context(), given[0])
			if err != nil {
				return err
			}
			if len(given) == 2 {
				if d, err = only(d, given[1]); err != nil {
					return err
				}
			}
			if a.format == "json" {
				_, err := a.out.Write(d.JSON())
				return err
			}
			p := printer{a: a, d: d, seen: make(map[string]bool)}
			p.all()
			return nil
		},
	}
	a.to.flags(cmd)
	return cmd
}

// only keeps of a description one service, or one method.
func only(d describe.Description, name string) (describe.Description, error) {
	for _, s := range d.Services {
		if s.Name == name {
			return reduced(d, s), nil
		}
		for _, m := range s.Methods {
			if s.Name+"."+m.Name == name {
				s.Methods = []describe.OfferedMethod{m}
				return reduced(d, s), nil
			}
		}
	}
	return d, &rpc.Error{Code: codes.NotFound, Message: fmt.Sprintf("there is no service or method %s that you may call: gorpc ls lists them", name)}
}

// reduced is a description of one service, with the types that it needs.
func reduced(d describe.Description, s describe.Service) describe.Description {
	types := make(map[string]describe.Type)
	var need func(key string)
	need = func(key string) {
		t, ok := d.Types[key]
		if _, had := types[key]; !ok || had {
			return
		}
		types[key] = t
		need(t.Key)
		need(t.Elem)
		for _, f := range t.Fields {
			need(f.Type)
		}
	}
	for _, m := range s.Methods {
		need(m.Args)
		need(m.Reply)
	}
	return describe.Description{Services: []describe.Service{s}, Types: types}
}

// printer writes a description for people.
type printer struct {
	a    *app
	d    describe.Description
	seen map[string]bool // types whose fields were written
}

func (p *printer) all() {
	for i, s := range p.d.Services {
		for j, m := range s.Methods {
			if i+j > 0 {
				fmt.Fprintln(p.a.out)
			}
			fmt.Fprintf(p.a.out, "%s.%s (%v)\n", line(s.Name), line(m.Name), m.Kind)
			if m.Doc != "" {
				fmt.Fprintf(p.a.out, "  %s\n", line(m.Doc))
			}
			rows := [][]string{{"argument", m.Args, p.words(m.Args)}, {"reply", m.Reply, p.words(m.Reply)}}
			for what, lost := range map[string]string{"argument": m.LostArgs, "reply": m.LostReply} {
				if lost != "" {
					rows = append(rows, []string{"lost", "of the " + what, lost})
				}
			}
			if l := limits(m.Limits); l != "" {
				rows = append(rows, []string{"limits", l})
			}
			columns(p.a.out, "  ", rows)
			p.fields(m.Args)
			p.fields(m.Reply)
		}
	}
}

// fields writes the fields of the structs that a type is made of, once for each
// method after the other.
func (p *printer) fields(key string) {
	t, ok := p.d.Types[key]
	if !ok || p.seen[key] {
		return
	}
	p.seen[key] = true
	if len(t.Fields) > 0 {
		var rows [][]string
		for _, f := range t.Fields {
			rows = append(rows, []string{f.Name, f.Type, p.words(f.Type)})
		}
		fmt.Fprintf(p.a.out, "  %s:\n", line(key))
		columns(p.a.out, "    ", rows)
	}
	p.fields(t.Key)
	p.fields(t.Elem)
	for _, f := range t.Fields {
		p.fields(f.Type)
	}
}

// hints say how people write values of a kind in JSON.
var hints = map[string]string{
	"bytes": "as base64", "time": "as 2006-01-02T15:04:05Z", "duration": "as 1m30s", "peer": "a peer ID", "cid": "a CID", "multiaddr": "a multiaddr",
	"own": "bytes of its own form, as base64", "other": "it does not travel",
}

func (p *printer) words(key string) string { return hints[p.d.Types[key].Kind] }

func limits(l describe.Limits) string {
	var all []string
	add := func(there bool, format string, v any) {
		if there {
			all = append(all, fmt.Sprintf(format, v))
		}
	}
	add(l.Timeout > 0, "%v a call", l.Timeout)
	add(l.MessageSize > 0, "%d bytes a message", l.MessageSize)
	add(l.CallsPerPeer > 0, "%d calls at once", l.CallsPerPeer)
	add(l.Rate > 0, "%v calls a second", l.Rate)
	return strings.Join(all, ", ")
}
