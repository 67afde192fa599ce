// Package fan stands for the library's package of that name.
package fan

// Option configures a call of many peers.
type Option interface{ ApplyFan() }
