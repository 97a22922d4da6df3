package resolve

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Index holds every set in memory. It is safe for concurrent use.
type Index struct {
	mu       sync.RWMutex
	version  int64                            // guarded by mu
	sets     map[gs1.ID]*held                 // guarded by mu
	prefixes map[string]*held                 // guarded by mu
	batches  map[ids.BatchID][]*held          // guarded by mu, the shortest run first
	policies map[ids.BrandID]*Policy          // guarded by mu
	brands   map[ids.BrandID]map[string]*held // guarded by mu
	names    map[string]*held                 // guarded by mu
}

// held is a set with what its brand's policy lets through. It is replaced, never
// changed.
type held struct {
	Set
	open []Link
}

// NewIndex makes an empty one.
func NewIndex() *Index {
	x := &Index{}
	x.reset()
	return x
}

func (x *Index) reset() {
	x.version = 0
	x.sets, x.prefixes, x.batches = map[gs1.ID]*held{}, map[string]*held{}, map[ids.BatchID][]*held{}
	x.policies, x.brands, x.names = map[ids.BrandID]*Policy{}, map[ids.BrandID]map[string]*held{}, map[string]*held{}
}

// Reset forgets everything: what is known is of another database.
func (x *Index) Reset() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.reset()
}

// Version is the last that was applied.
func (x *Index) Version() int64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.version
}

// Apply takes records in the order of their versions. One that it had before changes
// nothing.
func (x *Index) Apply(records []Record) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range records {
		r := &records[i]
		if r.Version <= x.version {
			continue
		}
		if r.isPolicy() {
			p, err := r.policy()
			if err != nil {
				return err
			}
			x.policies[r.BrandID] = p
			for _, h := range maps.Clone(x.brands[r.BrandID]) {
				x.replace(h, x.hold(h.Set))
			}
		} else {
			s, err := r.set()
			if err != nil {
				return err
			}
			x.replace(x.names[r.Name], x.hold(s))
		}
		x.version = r.Version
	}
	return nil
}

// hold leaves out links whose host is not allowed (any more).
func (x *Index) hold(s Set) *held {
	h := &held{Set: s}
	p := x.policies[s.BrandID]
	for i := range s.Links {
		if p.allows(&s.Links[i]) {
			h.open = append(h.open, s.Links[i])
		}
	}
	return h
}

// replace puts a set in the place of an older one, or takes that away.
func (x *Index) replace(old, h *held) {
	name, gone := h.Anchor.String(), len(h.Links) == 0
	of := x.brands[h.BrandID]
	if of == nil {
		of = map[string]*held{}
		x.brands[h.BrandID] = of
	}
	delete(x.names, name)
	delete(of, name)
	if !gone {
		of[name], x.names[name] = h, h
	}
	switch a := h.Anchor; {
	case a.Batch != "":
		run := slices.DeleteFunc(slices.Clone(x.batches[a.Batch]), func(o *held) bool { return o == old })
		if !gone {
			run = append(run, h)
		}
		slices.SortStableFunc(run, func(a, b *held) int { return cmp.Compare(a.span(), b.span()) })
		x.batches[a.Batch] = run
	case a.Prefix != "" && gone:
		delete(x.prefixes, a.Prefix)
	case a.Prefix != "":
		x.prefixes[a.Prefix] = h
	case gone:
		delete(x.sets, a.ID)
	default:
		x.sets[a.ID] = h
	}
}

func (h *held) span() int64 { return h.Anchor.To - h.Anchor.From }

// policyOf gives a brand's policy; nil = it has none.
func (x *Index) policyOf(b ids.BrandID) *Policy {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.policies[b]
}

// room reports whether a brand, and a batch, may have one more set.
func (x *Index) room(a Anchor, b ids.BrandID) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.names[a.String()] != nil || len(x.brands[b]) < SetsMax && (a.Batch == "" || len(x.batches[a.Batch]) < setsOfBatch)
}

// level is the links of one anchor of a question.
type level struct {
	id    gs1.ID // what they are of
	links [][]Link
	own   bool // they are of the very thing that was asked for
}

// found gives the levels of a question, the most particular first; the company
// prefix's links belong to the key. item is nil where there is none.
func (x *Index) found(id *gs1.ID, item *Item, into []level) []level {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all, n := levels(id)
	if item != nil {
		var own level
		own.id, own.own = *id, true
		for _, h := range x.batches[item.Batch] {
			if h.Anchor.From <= item.No && item.No <= h.Anchor.To {
				own.links = append(own.links, h.open)
			}
		}
		if len(own.links) > 0 {
			into = append(into, own)
		}
	}
	for i, at := range all[:n] {
		l := level{id: at, own: i == 0}
		if h := x.sets[at]; h != nil {
			l.links = append(l.links, h.open)
		}
		if i == n-1 {
			if h := x.ofPrefix(id); h != nil {
				l.links = append(l.links, h.open)
			}
		}
		if len(l.links) > 0 {
			into = append(into, l)
		}
	}
	return into
}

// ofPrefix finds the set of the longest company prefix that the key begins with.
func (x *Index) ofPrefix(id *gs1.ID) *held {
	if len(x.prefixes) == 0 {
		return nil
	}
	digits := prefixPart(id.Key)
	for n := min(prefixDigitsMax, len(digits)); n >= prefixDigitsMin; n-- {
		if h := x.prefixes[digits[:n]]; h != nil {
			return h
		}
	}
	return nil
}
