package peer

type ID string

func (id ID) MarshalBinary() ([]byte, error) { return []byte(id), nil }

func (id *ID) UnmarshalBinary(b []byte) error { *id = ID(b); return nil }
