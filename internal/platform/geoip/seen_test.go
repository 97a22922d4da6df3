package geoip

import (
	"sync"
	"testing"
)

// The table keeps what it was given, up to its bound and not beyond, and gives all
// goroutines the place that was first.
func TestSeen(t *testing.T) {
	t.Parallel()
	for _, places := range []int{0, 1, 2, 3, 6, 7, 100, 1000} {
		s := newSeen(places)
		bound := max(1, places)
		kept := make([]*Place, 3*bound)
		for key := range kept {
			kept[key] = s.put(uint64(key)<<32, &Place{City: "x"})
		}
		count := 0
		for key, p := range kept {
			if got, ok := s.get(uint64(key) << 32); ok {
				count++
				if got != p {
					t.Errorf("%d places: key %d gives another place", places, key)
				}
			}
		}
		if count != bound {
			t.Errorf("%d of %d places kept", count, bound)
		}
	}
}

func TestSeenRemembersThatNothingIsKnown(t *testing.T) {
	t.Parallel()
	s := newSeen(10)
	s.put(7, nil)
	if p, ok := s.get(7); p != nil || !ok {
		t.Errorf("get = %v, %v", p, ok)
	}
	if _, ok := s.get(8); ok {
		t.Error("a key that was never put is there")
	}
}

func TestSeenConcurrently(t *testing.T) {
	t.Parallel()
	const places, workers = 500, 16
	s := newSeen(places)
	var got [workers][places]*Place
	var group sync.WaitGroup
	for w := range workers {
		group.Go(func() {
			for key := range places {
				got[w][key] = s.put(uint64(key), &Place{})
			}
		})
	}
	group.Wait()
	for key := range places {
		kept, ok := s.get(uint64(key))
		for w := range workers {
			if ok && got[w][key] != kept && got[w][key] == got[(w+1)%workers][key] {
				t.Errorf("key %d: two goroutines share a place that is not the kept one", key)
			}
		}
	}
	if free := s.free.Load(); free < 0 || free > places {
		t.Errorf("%d places free", free)
	}
}
