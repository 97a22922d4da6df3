package verifykv

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/verify"
	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// placesMax is far above how many cities there are.
const placesMax = 1 << 20

// places gives places numbers, so that tallies hold no texts. It is guarded by
// Log.mu. Number 0 is "not known".
type places struct {
	numbers map[verifyevent.Place]uint32
	all     []verify.Place
	said    []string // all, in words
	stored  int      // so many of all are stored, or in a snapshot
}

// numbered is a place that must be stored.
type numbered struct {
	number uint32
	place  verify.Place
}

func newPlaces() *places {
	return &places{map[verifyevent.Place]uint32{{}: 0}, []verify.Place{{}}, []string{""}, 1}
}

// number is the place's; a new one gets the next.
func (p *places) number(place *verify.Place) uint32 {
	if place == nil {
		return 0
	}
	if n, ok := p.numbers[place.Place]; ok {
		if place.Located && !p.all[n].Located && n != 0 { // read from the log, which has no coordinates
			p.all[n] = *place
		}
		return n
	}
	if len(p.all) >= placesMax {
		return 0
	}
	return p.add(*place)
}

func (p *places) add(place verify.Place) uint32 {
	n := uint32(len(p.all))
	p.numbers[place.Place] = n
	p.all = append(p.all, place)
	p.said = append(p.said, place.String())
	return n
}

// of is the place with a number; nil = not known.
func (p *places) of(n uint32) *verify.Place {
	if n == 0 || int(n) >= len(p.all) {
		return nil
	}
	return &p.all[n]
}

func (p *places) words(n uint32) string {
	if int(n) >= len(p.said) {
		return ""
	}
	return p.said[n]
}

// fresh gives the places that are not stored yet, once.
func (p *places) fresh() []numbered {
	var all []numbered
	for ; p.stored < len(p.all); p.stored++ {
		all = append(all, numbered{uint32(p.stored), p.all[p.stored]})
	}
	return all
}

// again takes back what could not be stored.
func (p *places) again(failed []numbered) { p.stored -= len(failed) }

func (l *Log) loadPlaces() error {
	it, err := l.tallies.NewIter(&pebble.IterOptions{LowerBound: placeKey(0), UpperBound: []byte{keyPlace + 1}})
	if err != nil {
		return err
	}
	for ok := it.First(); ok; ok = it.Next() {
		place, sound := decodePlace(it.Value())
		if !sound || len(it.Key()) != 5 || binary.BigEndian.Uint32(it.Key()[1:]) != uint32(len(l.places.all)) {
			err = errors.New("the list of places is damaged")
			break
		}
		l.places.add(place)
	}
	l.places.stored = len(l.places.all)
	return errors.Join(err, it.Error(), it.Close())
}
