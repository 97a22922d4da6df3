package verifyhttp

import (
	"maps"
	"sync"
	"sync/atomic"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/verify"
)

// fragments keeps the part of an answer that all items of a batch share, as the bytes
// that are sent. Readers take no lock.
type fragments struct {
	mu   sync.Mutex                               // one at a time adds
	made atomic.Pointer[map[ids.BatchID]fragment] // replaced under mu
}

// fragmentsMax bounds the memory; when it is full all begins anew.
const fragmentsMax = 4096

// fragment is what was made, and of what: a text that changed makes another.
type fragment struct {
	text              verify.Text
	batchNo, produced string
	json              []byte
}

// of is the fragment of an answer's batch.
func (f *fragments) of(a *verify.Answer) []byte {
	if made := f.made.Load(); made != nil {
		if g, ok := (*made)[a.Item.BatchID]; ok && g.text == a.Text && g.batchNo == a.Item.BatchNo && g.produced == a.Item.ProductionDate {
			return g.json
		}
	}
	g := fragment{a.Text, a.Item.BatchNo, a.Item.ProductionDate, appendProduct(nil, a)}
	f.mu.Lock()
	defer f.mu.Unlock()
	next := map[ids.BatchID]fragment{}
	if made := f.made.Load(); made != nil && len(*made) < fragmentsMax {
		next = maps.Clone(*made)
	}
	next[a.Item.BatchID] = g
	f.made.Store(&next)
	return g.json
}
