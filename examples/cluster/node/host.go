package node

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/pnet"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"github.com/multiformats/go-multiaddr"
)

// NewSecret makes a secret for a private network: 32 bytes, in hexadecimal.
func NewSecret() string {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	return hex.EncodeToString(secret)
}

// NewHost returns a host that listens on a multiaddress, such as
// /ip4/127.0.0.1/tcp/0. With a secret, only peers that know it can connect.
// With a directory, the host has the same ID every time.
func NewHost(listen, secret, dir string, opts ...libp2p.Option) (host.Host, error) {
	opts = append([]libp2p.Option{
		libp2p.NoListenAddrs, // until it is there to be closed if that fails
		libp2p.Transport(tcp.NewTCPTransport, tcp.DisableReuseport()), // QUIC knows no private networks; two processes on one port are a mistake
		libp2p.DisableRelay(),
		libp2p.DisableMetrics(),
	}, opts...)
	if secret != "" {
		psk, err := hex.DecodeString(secret)
		if err != nil || len(psk) != 32 {
			return nil, fmt.Errorf("a secret is 32 bytes in hexadecimal")
		}
		opts = append(opts, libp2p.PrivateNetwork(pnet.PSK(psk)))
	}
	if dir != "" {
		key, err := loadKey(dir)
		if err != nil {
			return nil, err
		}
		opts = append(opts, libp2p.Identity(key))
	}
	addr, err := multiaddr.NewMultiaddr(listen)
	if err != nil {
		return nil, err
	}
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, err
	}
	if err := h.Network().Listen(addr); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

// loadKey returns the key that is kept in the directory, and makes one the
// first time.
func loadKey(dir string) (crypto.PrivKey, error) {
	file := filepath.Join(dir, "identity.key")
	data, err := os.ReadFile(file)
	if err == nil {
		return crypto.UnmarshalPrivateKey(data)
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, err
	}
	if data, err = crypto.MarshalPrivateKey(key); err != nil {
		return nil, err
	}
	return key, errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(file, data, 0o600))
}
