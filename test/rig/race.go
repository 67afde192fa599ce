//go:build race

package rig

// Race tells whether the race detector runs. Allocations are not to be counted then:
// a sync.Pool forgets one value in four.
const Race = true

const slow = 1
