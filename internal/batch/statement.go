package batch

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Statement is what an event of elsewhere says of the state of items.
type Statement struct {
	Event  string // names the event, the same however often it is told
	Brand  ids.BrandID
	At     time.Time       // when it was, and not after it was told
	To     gs1.Disposition // 0 = nothing, or nothing any more
	Items  []SerialRun
	Reason string
	Actor  string
	Place  string
}

// Told is what became of a statement.
type Told struct {
	Change  Change
	New     bool  // it says something else than what was known of the event
	Illegal int64 // items that the table would not move
	Undone  int64 // items of which it made a later step impossible

	undone map[ids.Serial]Runs // the same by batch
}

// State puts what an event says into its place among everything else that was asked of
// its items, and works out anew what comes after. The same again changes nothing; what is
// said of an event replaces what was said of it before.
func (s *Service) State(ctx context.Context, st Statement) (Told, error) {
	shard := ids.ShardOf(st.Brand)
	lock := &s.deciding[shard]
	lock.Lock()
	defer lock.Unlock()
	for range decideTriesMax {
		told, err := s.state(ctx, &st)
		if f, ok := fault.From(err); ok && f.Is(ErrRaced) {
			continue
		}
		return told, err
	}
	return Told{}, ErrRaced
}

func (s *Service) state(ctx context.Context, st *Statement) (Told, error) {
	shard := ids.ShardOf(st.Brand)
	if err := s.catchUp(ctx, shard); err != nil {
		return Told{}, err
	}
	decided := s.proj.Position(shard)
	known, err := s.store.FindEvent(ctx, st.Brand, st.Event)
	if err != nil && !errors.Is(err, ErrUnknownChange) {
		return Told{}, err
	}
	c := Change{
		BrandID: st.Brand, To: st.To, Event: st.Event, Effective: st.At, At: st.At,
		Reason: st.Reason, Actor: st.Actor, Place: st.Place, Asked: s.askedOf(st),
	}
	if len(c.Asked) == 0 {
		c.To = 0
	}
	if c.To == known.To && slices.EqualFunc(c.Asked, known.said(), sameCover) {
		return Told{Change: known}, nil
	}
	c.Asked = append(c.Asked, c.gone(&known)...)
	c.ID = statementID(shard, st.Event, known.Seq)
	told := Told{Change: c, New: true, undone: map[ids.Serial]Runs{}}
	targets, err := s.decideStatement(ctx, &told, &known)
	if err != nil {
		return Told{}, err
	}
	events, err := s.changeEvents(&told.Change, targets)
	if err != nil {
		return Told{}, err
	}
	alerts, err := s.alerts(&told, &known, targets)
	if err != nil {
		return Told{}, err
	}
	events = append(events, alerts...)
	told.Change, _, err = s.store.AppendChange(ctx, ids.Request{}, told.Change, decided, events)
	if err != nil {
		return Told{}, err
	}
	return told, s.catchUp(ctx, shard)
}

// statementID names what is said of an event after what was said of it last.
func statementID(shard ids.Shard, event string, after int64) ids.ChangeID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("chopmark/statement/1 "+event), uint64(after)))
	return ids.ChangeID(ids.DerivedIn(shard, "chg", [16]byte(sum[:16])))
}

// askedOf are the statement's items as numbers of batches. Serials of nobody, and of other
// brands, are left out: events are told before their items are looked at.
func (s *Service) askedOf(st *Statement) (asked []Cover) {
	if st.To == 0 {
		return nil
	}
	byBatch := map[ids.Serial]Runs{}
	for _, r := range st.Items {
		for from := r.From; from <= r.To; {
			e, no, ok := s.proj.find(from)
			if !ok {
				break
			}
			last := min(r.To, e.Serial(e.Quantity))
			if e.BrandID == st.Brand {
				byBatch[e.First] = byBatch[e.First].Union(Runs{{no, no + int64(last-from)}})
			}
			from = last + 1
		}
	}
	for _, first := range slices.Sorted(maps.Keys(byBatch)) {
		asked = append(asked, Cover{Batch: first, To: st.To, Numbers: byBatch[first]})
	}
	return asked
}

func sameCover(a, b Cover) bool {
	return a.Batch == b.Batch && a.To == b.To && slices.Equal(a.Numbers, b.Numbers)
}

// said is what an event still says.
func (c *Change) said() []Cover {
	return slices.DeleteFunc(slices.Clone(c.Asked), func(cover Cover) bool { return cover.To == 0 })
}

// gone is what was asked and is no more. It is kept, so that whoever looks at these numbers
// finds the last word.
func (c *Change) gone(known *Change) (gone []Cover) {
	byBatch := map[ids.Serial]Runs{}
	for _, cover := range known.Asked {
		byBatch[cover.Batch] = byBatch[cover.Batch].Union(cover.Numbers)
	}
	for _, first := range slices.Sorted(maps.Keys(byBatch)) {
		if numbers := byBatch[first].Minus(c.asked(first)); len(numbers) > 0 {
			gone = append(gone, Cover{Batch: first, Numbers: numbers})
		}
	}
	return gone
}

// decideStatement decides a statement that takes the place of what was known of its event.
func (s *Service) decideStatement(ctx context.Context, told *Told, known *Change) (targets []target, _ error) {
	c := &told.Change
	byBatch := map[ids.Serial]Runs{}
	for _, cover := range slices.Concat(c.Asked, known.Asked) {
		byBatch[cover.Batch] = byBatch[cover.Batch].Union(cover.Numbers)
	}
	for _, first := range slices.Sorted(maps.Keys(byBatch)) {
		e, _, ok := s.proj.find(first)
		if !ok {
			return nil, ErrUnknownBatch
		}
		numbers := byBatch[first]
		history, err := s.store.History(ctx, first, Run{numbers[0].From, numbers[len(numbers)-1].To})
		if err != nil {
			return nil, err
		}
		told.decide(first, history, numbers, s.table)
		targets = append(targets, target{e, numbers})
	}
	return targets, nil
}

// coversMax bounds how many earlier changes one change may bring back by name; beyond, it
// gives the states itself.
const coversMax = 10_000

// given is what a stretch of numbers came to: a state, by the change of a seq; 0 = the one
// in hand, -1 = none.
type given struct {
	to gs1.Disposition
	by int64
}

// decide compares the fold of a batch's history with and without the statement.
func (t *Told) decide(first ids.Serial, history []Change, numbers Runs, table *Transitions) {
	f, old, own := t.both(first, history, table)
	covers, illegal := map[given]Runs{}, byState{}
	var active []int
	var fates []fate
	f.each(numbers, func(r Run, all []int) {
		active = except(active[:0], all, own)
		f.run(active)
		was, steps := f.given(own), len(active)
		fates = append(fates[:0], f.fates...)
		active = except(active[:0], all, old)
		f.run(active)
		now := f.given(own)
		if at := slices.Index(active, own); at >= 0 && f.fates[at] == refused {
			seen := FirstState
			if at > 0 {
				seen = f.states[at-1]
			}
			illegal[seen] = illegal[seen].push(r)
		}
		if hindered(except(nil, all, own), fates[:steps], active, f.fates) {
			t.Undone += r.Len()
			t.undone[first] = t.undone[first].push(r)
		}
		switch {
		case was == now:
			return
		case was.to == now.to:
			t.Change.Unchanged += r.Len()
		default:
			t.Change.Items += r.Len()
		}
		now.by = max(now.by, 0)
		covers[now] = covers[now].push(r)
	})
	t.Change.Covers = append(t.Change.Covers, coversOf(first, covers)...)
	for state, runs := range illegal {
		if len(runs) > 0 {
			t.Illegal += runs.Count()
			t.Change.Refused = append(t.Change.Refused, Refused{first, gs1.Disposition(state), runs})
		}
	}
}

// both is the history with what was said of the event before and with what is said now.
func (t *Told) both(first ids.Serial, history []Change, table *Transitions) (f folding, old, own int) {
	named := func(s step) bool { return s.Event == t.Change.Event }
	now := t.Change
	f = folding{table: table, steps: stepsOf(first, history)}
	before := slices.IndexFunc(f.steps, named)
	if now.To != 0 {
		at, _ := slices.BinarySearchFunc(f.steps, &now, func(s step, c *Change) int { return s.before(c) })
		if own = at; before >= at {
			before++
		}
		f.steps = slices.Insert(f.steps, at, step{&now, now.asked(first), ""})
		return f, before, own
	}
	return f, before, -1
}

func except(to, all []int, one int) []int {
	for _, i := range all {
		if i != one {
			to = append(to, i)
		}
	}
	return to
}

// given is what the last run came to.
func (f *folding) given(own int) given {
	switch f.by {
	case -1:
		return given{f.state, -1}
	case own:
		return given{f.state, 0}
	}
	return given{f.state, f.steps[f.by].Seq}
}

// hindered reports that a step which was possible is so no more.
func hindered(before []int, was []fate, after []int, is []fate) bool {
	for k, i := range after {
		at, found := slices.BinarySearch(before, i)
		if found && is[k] == refused && was[at] != refused {
			return true
		}
	}
	return false
}

// coversOf tells what stretches of a batch came to.
func coversOf(first ids.Serial, covers map[given]Runs) (all []Cover) {
	if len(covers) > coversMax {
		few := map[given]Runs{}
		for g, runs := range covers {
			few[given{g.to, 0}] = few[given{g.to, 0}].Union(runs)
		}
		covers = few
	}
	for _, g := range slices.SortedFunc(maps.Keys(covers), func(a, b given) int { return cmp.Or(cmp.Compare(a.by, b.by), cmp.Compare(a.to, b.to)) }) {
		all = append(all, Cover{Batch: first, To: g.to, Numbers: covers[g], By: g.by})
	}
	return all
}
