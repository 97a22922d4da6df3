package batch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

const (
	feedPage  = 500
	batchPage = 1000
)

// Projection answers batch, state, version and seq of every item from memory and
// local disk, never from SQL. It follows the feed: what it says stands for the
// position that Position gives. It starts from its local half alone, so that a
// process whose feed is out of reach still answers.
//
// Lookup takes no lock. CatchUp, Apply and Checkpoint may be called by anyone.
type Projection struct {
	feed    Source // nil = Apply feeds it
	local   Local
	region  int
	texts   func(TextsEntry)
	shards  [ids.Shards]shardView
	current atomic.Int64 // AsOf in microseconds; 0 = not known
	watches watches

	setting  sync.Mutex                               // one at a time changes settings
	settings atomic.Pointer[map[ids.BrandID]Settings] // replaced under setting
	told     func(Settings)
}

type shardView struct {
	mu      sync.Mutex                // one follower at a time
	seq     atomic.Int64              // the last entry that was applied; written under mu
	entries atomic.Pointer[[]*entry]  // sorted by First; replaced under mu
	changed map[*entry]map[int64]bool // pages to store at the next checkpoint; guarded by mu
}

// entry is one batch with the states of its items.
type entry struct {
	Batch
	states *states
}

// Item is what is known of a serial that belongs to a batch.
type Item struct {
	Batch *Batch // shared and never changed
	No    int64
	State gs1.Disposition
	at    located
}

// NewProjection makes an empty projection; Start fills it, or Load where feed is nil
// and entries come by Apply.
func NewProjection(feed Source, local Local, region int) *Projection {
	p := &Projection{feed: feed, local: local, region: region, texts: func(TextsEntry) {}, told: func(Settings) {}}
	p.settings.Store(&map[ids.BrandID]Settings{})
	for i := range p.shards {
		p.shards[i].changed = map[*entry]map[int64]bool{}
		p.shards[i].entries.Store(&[]*entry{})
	}
	return p
}

// OnTexts names who is told of texts that changed. It is called before Start, and must
// not block: the feed waits for it.
func (p *Projection) OnTexts(tell func(TextsEntry)) { p.texts = tell }

// Start loads the last checkpoint and follows the feed to its present end.
func (p *Projection) Start(ctx context.Context) error {
	if _, err := p.Load(); err != nil {
		return err
	}
	if p.ahead(ctx) {
		if err := p.forget(); err != nil {
			return err
		}
	}
	for shard := range ids.Shard(ids.Shards) {
		if err := p.CatchUp(ctx, shard); err != nil {
			return err
		}
	}
	return nil
}

// Load brings back the last checkpoint; fresh when there is none. Batches that are
// newer than it come again with the feed and change nothing.
func (p *Projection) Load() (fresh bool, _ error) {
	at, fresh, err := p.local.Load()
	if err != nil {
		return false, fmt.Errorf("load projection: %w", err)
	}
	if fresh {
		return true, p.forget()
	}
	var all [ids.Shards][]*entry
	var from ids.Serial
	for page := []Batch(nil); from == 0 || len(page) == batchPage; {
		if page, err = p.local.Batches(from, batchPage); err != nil {
			return false, fmt.Errorf("load batches: %w", err)
		}
		for i := range page {
			e := &entry{page[i], newStates(page[i].Quantity)}
			snap, err := p.local.LoadBatch(e.First)
			if err == nil {
				err = e.states.restore(snap)
			}
			if err != nil {
				return false, fmt.Errorf("load states of batch %s: %w", e.ID, err)
			}
			all[e.Shard()] = append(all[e.Shard()], e)
			from = e.First + 1
		}
		if len(page) == 0 {
			break
		}
	}
	for shard := range p.shards {
		p.shards[shard].entries.Store(&all[shard])
		p.shards[shard].seq.Store(at.Positions[shard])
	}
	p.setSettings(at.Settings...)
	p.Heard(at.AsOf)
	return false, nil
}

// forget makes the projection empty, as it was before the feed's first entry.
func (p *Projection) forget() error {
	if err := p.local.Reset(); err != nil {
		return fmt.Errorf("reset projection: %w", err)
	}
	p.settings.Store(&map[ids.BrandID]Settings{})
	for i := range p.shards {
		p.shards[i].entries.Store(&[]*entry{})
		p.shards[i].seq.Store(0)
	}
	return nil
}

// ahead reports that the local store knows more than SQL does: SQL was restored
// from an older backup, so what is here belongs to a future that did not happen.
func (p *Projection) ahead(ctx context.Context) bool {
	for shard := range ids.Shard(ids.Shards) {
		head, err := p.feed.FeedHead(ctx, shard)
		if err != nil || head < p.Position(shard) {
			return true
		}
	}
	return false
}

// add makes the batch known; twice is once.
func (p *Projection) add(shard ids.Shard, b Batch) *entry {
	v := &p.shards[shard]
	old := *v.entries.Load()
	i, found := slices.BinarySearchFunc(old, b.First, func(e *entry, first ids.Serial) int {
		return int(int64(e.First) - int64(first))
	})
	if found {
		return old[i]
	}
	e := &entry{b, newStates(b.Quantity)}
	next := slices.Insert(slices.Clone(old), i, e)
	v.entries.Store(&next)
	return e
}

// find is the batch that a serial belongs to.
func (p *Projection) find(s ids.Serial) (*entry, int64, bool) {
	if s.Region() != p.region || s.Shard() >= ids.Shards {
		return nil, 0, false
	}
	entries := *p.shards[s.Shard()].entries.Load()
	lo, hi := 0, len(entries)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if entries[mid].First <= s {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil, 0, false
	}
	no, ok := entries[lo-1].Number(s)
	return entries[lo-1], no, ok
}

// Lookup tells what is known of a serial; ok is false when no batch has it. It
// neither blocks nor allocates.
func (p *Projection) Lookup(s ids.Serial) (item Item, ok bool) {
	e, no, ok := p.find(s)
	if !ok {
		return Item{}, false
	}
	at := e.states.lookup(no)
	return Item{Batch: &e.Batch, No: no, State: at.state, at: at}, true
}

// Extra is the item's record of its own; one that has none is at version 1.
func (p *Projection) Extra(s ids.Serial, item Item) (Extra, error) {
	if !item.at.extra {
		return Extra{Version: 1}, nil
	}
	extra, ok, err := p.local.Extra(s)
	if err == nil && !ok {
		err = errors.New("the record is missing")
	}
	if err != nil {
		return Extra{}, fmt.Errorf("read record of an item of batch %s: %w", item.Batch.ID, err)
	}
	return extra, nil
}

// HasExtra reports whether the item has a record of its own, without reading it.
func (i Item) HasExtra() bool { return i.at.extra }

// Note tells of the change that gave the item its present state. ok is false for
// an item that never changed.
func (p *Projection) Note(s ids.Serial, item Item) (_ Note, ok bool, _ error) {
	seq := item.at.seq
	if item.at.own {
		var err error
		if seq, ok, err = p.local.ItemSeq(s); err != nil || !ok {
			return Note{}, false, err
		}
	}
	if seq == 0 {
		return Note{}, false, nil
	}
	return p.local.Note(s.Shard(), seq)
}

// Position is the last entry of the shard's feed that the answers stand for.
func (p *Projection) Position(shard ids.Shard) int64 { return p.shards[shard].seq.Load() }

// CatchUp applies what the feed has beyond the present position. When it returns,
// everything committed before the call is seen.
func (p *Projection) CatchUp(ctx context.Context, shard ids.Shard) error {
	v := &p.shards[shard]
	v.mu.Lock()
	defer v.mu.Unlock()
	for {
		page, err := p.feed.Feed(ctx, shard, v.seq.Load(), feedPage)
		if err != nil {
			return fmt.Errorf("follow feed of shard %d: %w", shard, err)
		}
		if err := p.applyAll(shard, page); err != nil || len(page) < feedPage {
			return err
		}
	}
}

// Apply applies entries that the shard's feed gave after the present position, in
// their order. Entries that were applied before change nothing.
func (p *Projection) Apply(shard ids.Shard, page []Entry) error {
	v := &p.shards[shard]
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(page) > 0 && page[0].Seq <= v.seq.Load() {
		page = page[1:]
	}
	return p.applyAll(shard, page)
}

// applyAll applies entries in order. The caller holds the shard's lock.
func (p *Projection) applyAll(shard ids.Shard, page []Entry) error {
	for i := range page {
		if err := p.apply(shard, &page[i]); err != nil {
			return fmt.Errorf("apply entry %d of shard %d: %w", page[i].Seq, shard, err)
		}
		p.shards[shard].seq.Store(page[i].Seq)
	}
	if len(page) > 0 {
		p.watches.tell()
	}
	return nil
}

// apply must be repeatable: after a crash the feed gives the last entries again.
func (p *Projection) apply(shard ids.Shard, e *Entry) error {
	switch e.Kind {
	case BatchCreated:
		p.add(shard, *e.Batch)
		return p.local.PutBatch(e.Batch)
	case StateChanged:
		return p.applyChange(shard, e)
	case Reissued, InnerChecked:
		return p.applyItem(shard, e)
	case TextsChanged:
		p.texts(*e.Texts)
		return nil
	case SettingsChanged:
		p.setSettings(*e.Settings)
		return nil
	}
	return fmt.Errorf("unknown kind %d", e.Kind)
}

func (p *Projection) applyChange(shard ids.Shard, e *Entry) error {
	c := e.Change
	note := Note{c.ID, c.To, c.Effective, e.At, c.At, c.Place, c.Reason}
	if err := p.local.PutNote(shard, e.Seq, note); err != nil {
		return err
	}
	kept := map[ids.Serial]Runs{}
	for _, cover := range c.Covers {
		if cover.By == Kept {
			kept[cover.Batch] = cover.Numbers
		}
	}
	for _, cover := range c.Covers {
		if cover.By == Kept {
			continue
		}
		b, _, ok := p.find(cover.Batch)
		if !ok {
			return fmt.Errorf("change %s covers an unknown batch", c.ID)
		}
		long, singles := cover.Numbers.split(kept[cover.Batch])
		by := cmp.Or(cover.By, e.Seq)
		if err := p.local.PutItems(b.First, singles, by); err != nil {
			return err
		}
		b.states.lay(long, singles, cover.To, by)
		p.touch(shard, b, cover.Numbers)
	}
	return nil
}

func (p *Projection) applyItem(shard ids.Shard, e *Entry) error {
	b, no, ok := p.find(e.Item.Serial)
	if !ok {
		return fmt.Errorf("%s names an unknown batch", e.Item.ID)
	}
	extra, found, err := p.local.Extra(e.Item.Serial)
	if err != nil {
		return err
	}
	if !found {
		extra.Version = 1
	}
	switch {
	case e.Kind == InnerChecked:
		extra.InnerAt = e.At
	case e.Item.Version > extra.Version:
		extra.Version = e.Item.Version
		extra.Superseded = append(extra.Superseded, e.At)
		extra.Superseded = extra.Superseded[max(0, len(extra.Superseded)-versionsKept):]
	}
	if err := p.local.PutExtra(e.Item.Serial, extra); err != nil {
		return err
	}
	b.states.markExtra(no)
	p.touch(shard, b, Runs{{no, no}})
	return nil
}

// versionsKept is for how many earlier versions of an item a link still answers
// "superseded"; older ones are as good as unknown.
const versionsKept = 8

// touch notes the pages that the next checkpoint must store.
func (p *Projection) touch(shard ids.Shard, e *entry, numbers Runs) {
	v := &p.shards[shard]
	pages := v.changed[e]
	if pages == nil {
		pages = map[int64]bool{}
		v.changed[e] = pages
	}
	if e.states.pages.Load() == nil {
		return
	}
	for _, r := range numbers {
		for i := r.From >> pageBits; i <= r.To>>pageBits; i++ {
			pages[i] = true
		}
	}
}

// Checkpoint makes the present position the one that the next start begins at.
func (p *Projection) Checkpoint() error {
	at := Standing{AsOf: p.AsOf()}
	var snaps []Snapshot
	for i := range p.shards {
		v := &p.shards[i]
		v.mu.Lock()
		defer v.mu.Unlock() //nolint:gocritic // all of them are held until the snapshot is stored
		at.Positions[i] = v.seq.Load()
		for e, pages := range v.changed {
			snaps = append(snaps, e.snapshot(pages))
		}
	}
	at.Settings = p.AllSettings() // not older than the positions
	if err := p.local.Checkpoint(at, snaps); err != nil {
		return fmt.Errorf("checkpoint projection: %w", err)
	}
	for i := range p.shards {
		clear(p.shards[i].changed)
	}
	return nil
}

// Counts is how many items of a batch are in each state.
func (p *Projection) Counts(first ids.Serial) (Counts, bool) {
	e, _, ok := p.find(first)
	if !ok {
		return Counts{}, false
	}
	return e.states.counts(), true
}

// Untouched reports whether all numbers of a run are as they were made.
func (p *Projection) Untouched(b *Batch, numbers Run) bool {
	e, _, ok := p.find(b.First)
	return ok && e.states.allUntouched(numbers, FirstState)
}

// Issued is how many serials the shard's batches hold, and how many batches.
func (p *Projection) Issued() (serials int64, batches int) {
	for i := range p.shards {
		for _, e := range *p.shards[i].entries.Load() {
			serials += e.Quantity
			batches++
		}
	}
	return serials, batches
}

// OtherRegion names a region that batches here belong to and that is not this
// process's: their codes would be refused as unknown.
func (p *Projection) OtherRegion() (region int, found bool) {
	for i := range p.shards {
		for _, e := range *p.shards[i].entries.Load() {
			if e.First.Region() != p.region {
				return e.First.Region(), true
			}
		}
	}
	return 0, false
}

// Expired reports whether the item's batch has passed its date.
func (b *Batch) Expired(now time.Time) bool { return !b.ExpiresAt.IsZero() && !now.Before(b.ExpiresAt) }
