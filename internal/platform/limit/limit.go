// Package limit bounds what one address may ask, and what all strangers together may
// guess, by GCRA: an account is one moment, which each request moves on.
//
// Promise: no account is ever drawn on faster than its rate, whatever comes (TestModel
// holds every engine to an exact reference). Memory is bounded: when it is full an
// account is taken over with what was drawn on it, so that limits err on refusing
// (TestFullErrsOnRefusing). Who had no miss is never asked for more than his rate
// (TestOthersAreNeverRefused). A check takes no lock that is held while anything waits,
// and allocates nothing (TestAllocates).
package limit

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Rate is how fast an account may be drawn on: Burst at once, and one more each Every.
// The zero Rate bounds nothing.
type Rate struct {
	Burst int64
	Every time.Duration
}

// Steady is n in a unit of time, in the long run, and up to n at once.
func Steady(n int64, unit time.Duration) Rate {
	return Rate{n, unit / time.Duration(n)}
}

// Within is at most n in whatever stretch of time as long as the unit: half of it at
// once, the rest as the unit goes by.
func Within(n int64, unit time.Duration) Rate {
	burst := (n + 1) / 2
	if burst == n {
		return Rate{n, unit}
	}
	return Rate{burst, unit / time.Duration(n-burst)}
}

func (r Rate) capacity() time.Duration { return time.Duration(r.Burst) * r.Every }

// Full reports that an account of which so much is drawn has no room for one more, and
// how long until it has.
func (r Rate) full(used time.Duration) (wait time.Duration, _ bool) {
	wait = used + r.Every - r.capacity()
	return wait, r.Burst > 0 && wait > 0
}

// The bounds of a rate that is written down.
const (
	rateMax = 1_000_000
	// Off is written for a limit that is not wanted.
	Off = "off"
)

var units = map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}

var errRate = errors.New(`must look like "100/s", "60/h" or "off"`)

// Parse reads "100/s", "60/m", "60/h" or "off" as Steady or Within understand it.
func Parse(text string, as func(n int64, unit time.Duration) Rate) (Rate, error) {
	if text == Off {
		return Rate{}, nil
	}
	count, per, _ := strings.Cut(text, "/")
	n, err := strconv.ParseInt(count, 10, 64)
	unit, ok := units[per]
	if err != nil || !ok {
		return Rate{}, errRate
	}
	if n < 1 || n > rateMax {
		return Rate{}, fmt.Errorf("must be between 1 and %d", rateMax)
	}
	return as(n, unit), nil
}

// Kind is what an account is about.
type Kind uint8

// The kinds, as they are shared between processes: append, never renumber.
const (
	_           Kind = iota
	ofRequests       // what an address asked
	ofMisses         // what it asked for and is not there
	ofRealm          // those of its misses that named a realm
	ofKeys           // credentials that were wrong
	ofAll            // all misses that named no realm
	ofHolder         // requests of who is known, by the second
	ofHolderDay      // and by the day
	ofLeft           // what an address left here without a key
	ofEnded          // connections that were ended for keeping the server busy
	kinds
)

// Key names an account.
type Key struct {
	Net   uint64 // of an address, see Network
	Realm int32
	Kind  Kind
}

// String is the key as it is shared.
func (k Key) String() string {
	return fmt.Sprintf("%d:%d:%x", k.Kind, k.Realm, k.Net)
}

// Network is what an address is counted as: itself, or its /64 in IPv6, which one
// customer has for himself.
func Network(a netip.Addr) uint64 {
	if a = a.Unmap(); a.Is4() {
		raw := a.As4()
		return 0xffff<<32 | uint64(binary.BigEndian.Uint32(raw[:])) // no network in use: 0::/8 is reserved
	}
	raw := a.As16() // that of the zero Addr is 0: who is not known shares one account
	return binary.BigEndian.Uint64(raw[:])
}
