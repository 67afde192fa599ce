// Package api has the types of a program as they were written for v0.6: a server
// and a client that meet by names.
package api

import "time"

// The services.
const (
	PinsService   = "Pins"
	StatusService = "Status"
)

// Pin is what is pinned.
type Pin struct {
	Name  string
	Depth int
	Added time.Time
	Tags  map[string]string
}

// Filter chooses pins.
type Filter struct {
	Prefix string
	Max    int
}

// Version is what a peer runs.
type Version struct{ Text string }
