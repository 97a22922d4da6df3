package verify

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
)

// Client is who scans, as far as a request tells.
type Client struct {
	IP       netip.Addr
	Agent    string // User-Agent
	Language string // Accept-Language
	Zone     string // the time zone that it asked for
	Trace    *Trace // nil = not sampled
	User     int64  // the account of a consumer who is signed in; 0 = none
}

// Devices makes fingerprints of scanning devices: salted, so that the log of scans
// cannot be joined with anybody else's, and cut, so that it names nobody for sure.
// Two devices behind one address with the same browser are one; a device that
// changes its address is two. A cookie would tell better and be one more thing that
// follows a buyer.
type Devices struct{ salt [32]byte }

// NewDevices makes the fingerprints of one salt.
func NewDevices(salt [32]byte) *Devices { return &Devices{salt} }

// Of is the client's fingerprint; 0 when nothing is known of it.
func (d *Devices) Of(c *Client) uint64 {
	if !c.IP.IsValid() && c.Agent == "" {
		return 0
	}
	var room [512]byte
	b := append(room[:0], d.salt[:]...)
	ip := c.IP.As16()
	b = append(append(b, ip[:]...), byte(len(c.Language)))
	b = append(b, c.Language[:min(len(c.Language), 64)]...)
	b = append(b, c.Agent[:min(len(c.Agent), 256)]...)
	sum := sha256.Sum256(b)
	return binary.BigEndian.Uint64(sum[:])
}
