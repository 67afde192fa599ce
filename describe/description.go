package describe

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	rpc "github.com/libp2p/go-libp2p-gorpc"
	"github.com/libp2p/go-libp2p-gorpc/codes"
	"github.com/libp2p/go-libp2p-gorpc/internal/shape"
)

// Description is what somebody may call of a server. It is encoded as JSON in a stable
// order, and two descriptions are equal if their JSON is.
type Description struct {
	Services []Service `json:"services"` // by name
	// Types are those of all arguments and replies and what they are made of, by
	// their names in Go. Of several with one name the later ones have "#2", "#3" ...
	// after it.
	Types map[string]Type `json:"types"`
	// Truncated says that the server has more methods, over 4,096.
	Truncated bool `json:"truncated,omitempty"`
}

// Service is a service with the methods that the caller may call.
type Service struct {
	Name    string          `json:"name"`
	Doc     string          `json:"doc,omitempty"` // a line
	Methods []OfferedMethod `json:"methods"`       // by name
}

// OfferedMethod is a method as its server describes it.
type OfferedMethod struct {
	Name string   `json:"name"`
	Doc  string   `json:"doc,omitempty"` // a line
	Kind rpc.Kind `json:"-"`
	// Args and Reply are keys of the Description's Types: of the argument and the
	// reply, or of each of a stream's. They are empty if the types are too large.
	Args  string `json:"args,omitempty"`
	Reply string `json:"reply,omitempty"`
	// LostArgs and LostReply name a part of the argument, and of the reply, that does
	// not travel, if there is one.
	LostArgs  string `json:"lostArgs,omitempty"`
	LostReply string `json:"lostReply,omitempty"`
	Limits    Limits `json:"limits,omitzero"`
}

// Limits bound the calls of one caller. What is 0 is not bounded.
type Limits struct {
	Timeout      time.Duration // how long the method may run; in JSON as "1m30s"
	MessageSize  int           // bytes of an argument or a reply
	CallsPerPeer int           // at once
	Rate         float64       // calls a second
	Burst        int           // calls at once, after a pause
}

// Type is how values of a type travel.
type Type struct {
	// Kind is "any", "bool", "int", "uint", "float", "string", "bytes", "list", "map",
	// "struct"; "time", "duration", "peer", "cid" and "multiaddr" for the types of
	// those; "own" for others that make bytes of themselves, and "other" for those
	// that travel in no way.
	Kind   string  `json:"kind"`
	Bits   int     `json:"bits,omitempty"`   // of a number
	Len    int     `json:"len,omitempty"`    // of an array
	Key    string  `json:"key,omitempty"`    // of a map: a key of the Description's Types
	Elem   string  `json:"elem,omitempty"`   // of a list or a map: the same
	Array  bool    `json:"array,omitempty"`  // a struct that travels as a list of its fields
	Fields []Field `json:"fields,omitempty"` // of a struct, in their order
}

// Field is a field of a struct, by the name that travels.
type Field struct {
	Name string `json:"name"`
	Type string `json:"type"` // a key of the Description's Types
}

// Peer asks the server on dest what this client may call, in one call. The server
// must have [rpc.WithDescriptions] on, and allow the caller the method Describe of
// [ServiceName]. dest and ctx mean what they do for a call.
func Peer(ctx context.Context, c *rpc.Client, dest peer.ID, opts ...rpc.CallOption) (Description, error) {
	theirs, err := describing.Call(ctx, c, dest, shape.Request[rpc.ServiceID]{All: true}, opts...)
	if err != nil {
		return Description{}, undescribed(err)
	}
	if err := theirs.Valid(0, true); err != nil {
		return Description{}, &rpc.Error{Code: codes.Internal, Message: fmt.Sprintf("describe: peer %v sends a bad description: %v", dest, err)}
	}
	return public(&theirs), nil
}

// Server describes all that a server of this process serves, but for
// [rpc.WithDescriptions], which need not be on.
func Server(s *rpc.Server) Description {
	d := shape.OfServer(s)
	return public(&d)
}

// Read reads a description from its JSON. It returns an error for anything else.
func Read(b []byte) (Description, error) {
	var d Description
	if err := strictly(b, &d); err != nil {
		return Description{}, fmt.Errorf("describe: it is no description in JSON: %w", err)
	}
	if d.Services == nil {
		return Description{}, errors.New("describe: it is no description in JSON: it has no services, not even none")
	}
	if _, err := private(&d); err != nil {
		return Description{}, fmt.Errorf("describe: %w", err)
	}
	return d, nil
}

// strictly reads one value of JSON, with no fields that are not known: a rule could
// depend on them.
func strictly(b []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(to); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("there is more after it, at byte %d", dec.InputOffset())
	}
	return nil
}

// JSON returns the description as indented JSON, which ends with a new line.
func (d Description) JSON() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil { // nothing in it can fail
		panic(err)
	}
	return b.Bytes()
}

// Hash is the SHA-256 of the JSON, in hexadecimal digits: descriptions that are equal
// have one.
func (d Description) Hash() string {
	sum := sha256.Sum256(d.JSON())
	return hex.EncodeToString(sum[:])
}

// Method returns a method of a service.
func (d Description) Method(id rpc.ServiceID) (OfferedMethod, bool) {
	for _, s := range d.Services {
		for _, m := range s.Methods {
			if s.Name == id.Name && m.Name == id.Method {
				return m, true
			}
		}
	}
	return OfferedMethod{}, false
}
