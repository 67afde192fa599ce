package forms

func Register[I any](appendTo func(b []byte, v I) ([]byte, error), from func(b []byte, v I) error) {}
