package codec

import (
	"reflect"

	"github.com/libp2p/go-libp2p-gorpc/internal/travels"
)

// step leads through memory to an embedded struct, which is behind a pointer.
type step struct {
	offset uintptr
	ptr    reflect.Type // the pointer's target
}

// memory turns the way to a field into the steps through embedded pointers, and the
// offset in what the last of them points to.
func memory(path []travels.Step[reflect.Type]) (steps []step, offset uintptr) {
	for i, s := range path {
		f := s.Struct.Field(s.Index)
		offset += f.Offset
		if i < len(path)-1 && f.Type.Kind() == reflect.Pointer {
			steps = append(steps, step{offset, f.Type.Elem()})
			offset = 0
		}
	}
	return steps, offset
}
