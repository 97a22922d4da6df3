package geoip

import (
	"math/bits"
	"sync/atomic"
)

const seenMax = 200_000 // places kept per file: about 40 MB when full

// seen keeps the places that were given out, by where they are in the file, so that
// an address of a known place costs no allocation.
//
// It is an open hash table that only grows fuller: readers take no lock, and a
// sync.Map would allocate for its keys. Beyond its bound places are made and not kept.
type seen struct {
	slots []atomic.Pointer[seenPlace] // a power of two, never full
	shift int
	free  atomic.Int64 // places that may still be kept
}

type seenPlace struct {
	key   uint64
	place *Place // nil = the record tells nothing
}

// newSeen makes a table for the most places that a file can have.
func newSeen(places int) *seen {
	places = max(1, min(places, seenMax))
	width := bits.Len(uint(places + places/4)) // at most four fifths full
	s := &seen{slots: make([]atomic.Pointer[seenPlace], 1<<width), shift: 64 - width}
	s.free.Store(int64(places))
	return s
}

// get gives the place of a key, and whether it was kept.
func (s *seen) get(key uint64) (*Place, bool) {
	for i := s.home(key); ; i = (i + 1) & (len(s.slots) - 1) {
		switch kept := s.slots[i].Load(); {
		case kept == nil:
			return nil, false
		case kept.key == key:
			return kept.place, true
		}
	}
}

// put keeps a place and gives it back, or the one that another goroutine was first
// to keep.
func (s *seen) put(key uint64, p *Place) *Place {
	if s.free.Add(-1) < 0 {
		s.free.Add(1)
		return p
	}
	mine := &seenPlace{key, p}
	for i := s.home(key); ; i = (i + 1) & (len(s.slots) - 1) {
		if s.slots[i].CompareAndSwap(nil, mine) {
			return p
		}
		if kept := s.slots[i].Load(); kept.key == key {
			s.free.Add(1)
			return kept.place
		}
	}
}

// home spreads keys, which are multiples of nothing in particular but near each other.
func (s *seen) home(key uint64) int {
	return int(key * 0x9E3779B97F4A7C15 >> s.shift)
}
