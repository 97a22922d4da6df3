package sqldb

import (
	"slices"
	"sync"
)

// watchers are those who want to know of this process's commits.
type watchers struct {
	mu  sync.Mutex
	all []func(key int, value int64) // guarded by mu; replaced, never changed
}

// announcement is what a transaction leaves word of.
type announcement struct {
	key   int
	value int64
}

// Announce has everyone who watches the database told once the transaction is committed,
// or may be: it says where to look, and nothing of what is there.
func (t *Tx) Announce(key int, value int64) { t.said = append(t.said, announcement{key, value}) }

// Watch has fn told of what this process's transactions announce, by whoever commits:
// fn must not wait.
func (d *DB) Watch(fn func(key int, value int64)) {
	d.watched.mu.Lock()
	defer d.watched.mu.Unlock()
	d.watched.all = append(slices.Clone(d.watched.all), fn)
}

func (w *watchers) tell(said []announcement) {
	if len(said) == 0 {
		return
	}
	w.mu.Lock()
	all := w.all
	w.mu.Unlock()
	for _, s := range said {
		for _, fn := range all {
			fn(s.key, s.value)
		}
	}
}
