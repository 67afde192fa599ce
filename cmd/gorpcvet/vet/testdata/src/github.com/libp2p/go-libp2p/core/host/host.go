package host

type Host interface{ Close() error }
