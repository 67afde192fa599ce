package api

const Pins = "Pins"

type Pin struct {
	Name  string
	Depth int
}

// OldPin is a copy of Pin, of another program's version: it travels as Pin does.
type OldPin struct {
	Name  string
	Depth int
}

// ThinPin lacks a field of Pin.
type ThinPin struct{ Name string }
