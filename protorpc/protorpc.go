// Package protorpc lets protobuf messages travel in their own encoding, and maps the
// errors of calls to gRPC's statuses and back. To import it is enough for messages:
//
//	import _ "github.com/libp2p/go-libp2p-gorpc/protorpc"
//
//	var Find = rpc.NewMethod[*pb.Query, *pb.Result]("Index", "Find")
//
// Both sides have to import it. See docs/protobuf.md.
package protorpc

import (
	"google.golang.org/protobuf/proto"

	"github.com/libp2p/go-libp2p-gorpc/forms"
)

func init() {
	forms.Register(proto.MarshalOptions{}.MarshalAppend, proto.Unmarshal)
}
