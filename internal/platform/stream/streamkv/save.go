package streamkv

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// saveLoop writes what was acknowledged, gathered: one write for many.
func (l *Log) saveLoop() {
	rest := time.NewTimer(0)
	defer rest.Stop()
	<-rest.C
	for {
		select {
		case <-l.closing:
			return
		case <-l.dirty:
		}
		if err := l.saveGroups(); err != nil {
			l.o.Log.Error("acknowledgements cannot be written, will try again", "log", l.path, "error", err)
			l.touch()
		}
		rest.Reset(l.o.SaveEvery)
		select {
		case <-l.closing:
			return
		case <-rest.C:
		}
	}
}

// touch tells saveLoop that a group has changed.
func (l *Log) touch() {
	select {
	case l.dirty <- struct{}{}:
	default:
	}
}

func (g *Group) touch() {
	g.mu.Lock()
	g.touchLocked()
	g.mu.Unlock()
}

func (g *Group) touchLocked() {
	if !g.changed {
		g.changed = true
		g.l.touch()
	}
}

// saveGroups writes the groups that have changed. It is not synced: after a crash
// records come again, which the contract allows. The order of writes is kept.
func (l *Log) saveGroups() error {
	l.saveMu.Lock()
	defer l.saveMu.Unlock()
	var changed []*Group
	b := l.db.NewBatch()
	var err error
	for _, g := range l.list() {
		g.mu.Lock()
		dirty := g.changed
		g.mu.Unlock()
		if dirty {
			changed = append(changed, g)
			err = errors.Join(err, b.Set(groupKey(g.name), g.saved(), nil))
		}
	}
	if err == nil && len(changed) > 0 {
		err = b.Commit(pebble.NoSync)
	}
	if err := errors.Join(err, b.Close()); err != nil {
		for _, g := range changed {
			g.touch()
		}
		return fmt.Errorf("save groups of %s: %w", l.path, err)
	}
	return nil
}

// list gives the groups by name.
func (l *Log) list() []*Group {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*Group, 0, len(l.groups))
	for _, g := range l.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *Group) int { return strings.Compare(a.name, b.name) })
	return all
}

// saved is the group's state as it is stored, and notes that it was.
func (g *Group) saved() []byte {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.changed = false
	return g.encodedLocked()
}

// encodedLocked is the group's state as it would be stored now.
func (g *Group) encodedLocked() []byte {
	s := state{floor: g.floor, lost: g.lost}
	for _, list := range [][]*entry{g.window, g.ahead} {
		for _, e := range list {
			if e.acked {
				s.acked = append(s.acked, span{e.rec.At, e.last, e.count})
			}
		}
	}
	s.acked = append(s.acked, g.restored...)
	return encodeState(s)
}

// Stats is what an operator wants to see.
type Stats struct {
	Durable stream.Position
	Records int64 // that are kept
	Bytes   int64 // of these; what CapBytes bounds
	// DiskBytes is what all files of the log take, with what is not compacted yet.
	DiskBytes int64
	CapBytes  int64
	Lost      int64 // sum over groups
	Groups    []GroupStats
}

// GroupStats is how one group stands.
type GroupStats struct {
	Name string
	Lag  stream.Lag
}

// Stats measures the log.
func (l *Log) Stats() (Stats, error) {
	if err := l.enter(); err != nil {
		return Stats{}, err
	}
	defer l.users.Done()
	trimmed, end := l.bounds()
	s := Stats{
		Durable: end.at, Records: int64(end.count - trimmed.count), Bytes: int64(end.bytes - trimmed.bytes),
		DiskBytes: int64(l.db.Metrics().DiskSpaceUsage()), CapBytes: l.capBytes.Load(),
	}
	for _, g := range l.list() {
		lag, err := g.Lag(context.Background())
		if err != nil {
			return s, err
		}
		s.Lost += lag.Lost
		s.Groups = append(s.Groups, GroupStats{g.name, lag})
	}
	return s, nil
}
