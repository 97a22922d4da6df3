package codebook

import "crypto/sha256"

// mac is HMAC-SHA-256 under one 32-byte key for messages that fit one block.
// crypto/hmac allocates and restores two hash states for each message; four
// compressions over buffers on the stack are faster and allocate nothing.
type mac struct {
	inner, outer [sha256.BlockSize]byte // the key XOR ipad and XOR opad
}

func newMAC(key [32]byte) mac {
	var m mac
	for i := range m.inner {
		m.inner[i], m.outer[i] = 0x36, 0x5c
	}
	for i, k := range key {
		m.inner[i] ^= k
		m.outer[i] ^= k
	}
	return m
}

// message holds the inner key block and the text after it.
type message [2 * sha256.BlockSize]byte

// sum is the HMAC of what the caller put into msg after the first block.
func (m *mac) sum(msg *message, textBytes int) [sha256.Size]byte {
	copy(msg[:sha256.BlockSize], m.inner[:])
	inner := sha256.Sum256(msg[:sha256.BlockSize+textBytes])
	var outer [sha256.BlockSize + sha256.Size]byte
	copy(outer[:], m.outer[:])
	copy(outer[sha256.BlockSize:], inner[:])
	return sha256.Sum256(outer[:])
}
