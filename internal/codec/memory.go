package codec

import "reflect"

// What a message decodes to depends on the type: a nil is a byte on the wire, and
// as an element of a slice as large as the element. These are what the parts of a
// result take, or a little more.

// allocated is the most that the allocator makes of a size: whole pages for large
// ones, and else one of its classes, of which 4,864 after 4,096 is the widest step.
func allocated(size uintptr) uint64 {
	const large, page = 32 << 10, 8 << 10
	n := uint64(size)
	if n > large {
		return (n + page - 1) / page * page
	}
	return n + n*3/16 + 16
}

// headOnly is what a string or a slice takes beside its bytes, which count as those
// of the message.
const headOnly = 8

// held is what an interface allocates for what it holds, beside the bytes of that.
const held = 32

// elements is what a slice of n elements takes.
func elements(n int, size uintptr) uint64 {
	return uint64(n)*(uint64(size)+uint64(size)/4) + headOnly
}

// mapHead is how large a map without elements is.
const mapHead = 48

// mapOf is what a map of n elements has for them: groups of eight places, and in
// all as many as twice those that are needed. What is large is not in the places.
func mapOf(n int, key, elem uintptr) uint64 {
	if n == 0 {
		return mapHead
	}
	const group, inPlace, pointer = 8, 128, 8
	place, beside := uint64(1), uint64(0)
	for _, size := range [...]uintptr{key, elem} {
		if size > inPlace {
			beside += allocated(size)
			size = pointer
		}
		place += uint64(size)
	}
	places := uint64(group)
	if n > group {
		places = uint64(n)*16/7 + group
	}
	return mapHead + places*place + uint64(n)*beside
}

var anyType = reflect.TypeFor[any]()
