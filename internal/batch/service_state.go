package batch

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// StateSpec asks for a state change.
type StateSpec struct {
	Select  Selection
	To      string // a disposition; "" only with Reverts: each item its own state back
	Reason  string
	At      time.Time
	Place   string
	Strict  bool
	Reverts ids.ChangeID
}

// ErrRefused answers a strict change of which some item may not move.
var ErrRefused = fault.New(fault.Conflict, "state.refused", "the transition table forbids this change for some items; nothing was changed")

// unknownState is how a code without an item is listed among the refused.
const unknownState = gs1.Disposition(0)

func (spec *StateSpec) check() (gs1.Disposition, error) {
	to, ok := gs1.ParseDisposition(spec.To)
	if !ok && (spec.To != "" || spec.Reverts == "") {
		return 0, fault.Field("state.unknown", "to", "is not a state; see docs/states.md for the list")
	}
	if err := CheckName("reason", spec.Reason, nameBytesMax); err != nil {
		return 0, err
	}
	if spec.Place != "" {
		if err := CheckName("place", spec.Place, nameBytesMax); err != nil {
			return 0, err
		}
	}
	if spec.Reverts != "" && !ids.Valid("chg", string(spec.Reverts)) {
		return 0, ErrUnknownChange
	}
	return to, spec.Select.check(spec.Reverts != "")
}

// target is the selected part of one batch.
type target struct {
	*entry
	numbers Runs
}

// ChangeState moves the selected items, or undoes a change for them. What the
// table forbids is left alone and listed.
func (s *Service) ChangeState(ctx context.Context, cmd Command, spec StateSpec) (Change, bool, error) {
	to, err := spec.check()
	if err != nil {
		return Change{}, false, err
	}
	c := Change{
		To: to, Reverts: spec.Reverts, Reason: spec.Reason, Actor: cmd.Actor,
		At: spec.At, Place: spec.Place,
	}
	if spec.Select.Container != "" { // what is in it may have gone since
		if id, replayed, err := s.store.Effect(ctx, cmd.Request); err != nil || replayed {
			if err == nil {
				c, err = s.store.FindChange(ctx, ids.ChangeID(id))
			}
			return c, true, err
		}
	}
	targets, unknown, err := s.targets(ctx, &spec)
	if err != nil {
		return Change{}, false, err
	}
	if len(targets) == 0 { // codes that are all unknown have no brand to write under
		if spec.Strict {
			return Change{}, false, ErrRefused
		}
		return Change{Refused: unknown, To: to, Reason: spec.Reason}, false, nil
	}
	if err := s.hold(ctx, cmd, spec, to, targets); err != nil {
		return Change{}, false, err
	}
	shard := targets[0].Shard()
	c.ID, c.BrandID = ids.ChangeID(ids.NewIn(shard, "chg")), targets[0].BrandID
	lock := &s.deciding[shard]
	lock.Lock()
	defer lock.Unlock()
	for range decideTriesMax {
		done, replayed, err := s.decideAndAppend(ctx, cmd, c, targets, unknown, spec.Strict)
		if f, ok := fault.From(err); ok && f.Is(ErrRaced) {
			continue
		}
		return done, replayed, err
	}
	return Change{}, false, ErrRaced
}

// decideTriesMax bounds how often another process may come between.
const decideTriesMax = 8

func (s *Service) decideAndAppend(ctx context.Context, cmd Command, c Change, targets []target, unknown []Refused, strict bool) (Change, bool, error) {
	shard := targets[0].Shard()
	if id, replayed, err := s.store.Effect(ctx, cmd.Request); err != nil {
		return Change{}, false, err
	} else if replayed { // the items may have moved on since
		done, err := s.store.FindChange(ctx, ids.ChangeID(id))
		return done, true, err
	}
	if err := s.catchUp(ctx, shard); err != nil {
		return Change{}, false, err
	}
	decided := s.proj.Position(shard)
	c.Refused = unknown
	for _, t := range targets {
		d, err := s.decideTarget(ctx, &c, t)
		if err != nil {
			return Change{}, false, err
		}
		c.Items += d.items
		c.Unchanged += d.unchanged
		c.Covers = append(c.Covers, d.covers...)
		c.Refused = append(c.Refused, d.refused...)
	}
	if strict && len(c.Refused) > 0 {
		return Change{}, false, ErrRefused
	}
	events, err := s.changeEvents(&c, targets)
	if err != nil {
		return Change{}, false, err
	}
	done, replayed, err := s.store.AppendChange(ctx, cmd.Request, c, decided, events)
	if err != nil {
		return Change{}, false, err
	}
	return done, replayed, s.catchUp(ctx, shard)
}

func (s *Service) decideTarget(ctx context.Context, c *Change, t target) (decision, error) {
	if c.Reverts == "" {
		return t.states.decide(t.First, t.numbers, c.To, s.table), nil
	}
	within := Run{t.numbers[0].From, t.numbers[len(t.numbers)-1].To}
	history, err := s.store.History(ctx, t.First, within)
	if err != nil {
		return decision{}, err
	}
	return t.states.decideUndo(&t.Batch, history, c.Reverts, t.numbers, c.To, s.table), nil
}

// targets resolves a selection to runs of batches, all of one brand.
func (s *Service) targets(ctx context.Context, spec *StateSpec) ([]target, []Refused, error) {
	switch sel := &spec.Select; {
	case sel.BatchID != "":
		b, err := s.Batch(ctx, sel.BatchID)
		if err != nil {
			return nil, nil, err
		}
		r, err := sel.run(&b)
		if err != nil {
			return nil, nil, err
		}
		e, _, ok := s.proj.find(b.First)
		if !ok {
			return nil, nil, ErrUnknownBatch
		}
		return []target{{e, Runs{r}}}, nil, s.checkReverts(ctx, spec.Reverts, b.BrandID)
	case len(sel.Codes) > 0:
		targets, unknown, err := s.targetsOfCodes(ctx, sel.Codes)
		if err == nil && len(targets) > 0 {
			err = s.checkReverts(ctx, spec.Reverts, targets[0].BrandID)
		}
		return targets, unknown, err
	case sel.Container != "":
		targets, err := s.targetsInside(ctx, sel.Container)
		if err == nil {
			err = s.checkReverts(ctx, spec.Reverts, targets[0].BrandID)
		}
		return targets, nil, err
	default:
		return s.targetsOfChange(ctx, spec.Reverts)
	}
}

func (s *Service) checkReverts(ctx context.Context, id ids.ChangeID, brand ids.BrandID) error {
	if id == "" {
		return nil
	}
	c, err := s.store.FindChange(ctx, id)
	if err != nil {
		return err
	}
	if c.BrandID != brand {
		return ErrUnknownChange
	}
	return nil
}

// targetsOfChange is everything that a change covers.
func (s *Service) targetsOfChange(ctx context.Context, id ids.ChangeID) ([]target, []Refused, error) {
	c, err := s.store.FindChange(ctx, id)
	if err != nil {
		return nil, nil, err
	}
	if !ids.ScopeOf(ctx).Has(c.BrandID) {
		return nil, nil, ErrUnknownChange
	}
	byBatch := map[*entry]Runs{}
	covers := c.Covers
	if c.Event != "" {
		covers = c.Asked
	}
	for _, cover := range covers {
		if e, _, ok := s.proj.find(cover.Batch); ok {
			byBatch[e] = byBatch[e].Union(cover.Numbers)
		}
	}
	if len(byBatch) == 0 {
		return nil, nil, fault.New(fault.Conflict, "change.empty", "that change moved nothing, so there is nothing to undo")
	}
	return sortTargets(byBatch), nil, nil
}

func (s *Service) targetsOfCodes(ctx context.Context, codes []string) ([]target, []Refused, error) {
	coder, scope := s.items.Coder(), ids.ScopeOf(ctx)
	numbers := map[*entry][]int64{}
	var missing []int64 // serials
	var brand ids.BrandID
	for i, text := range codes {
		code, err := codebook.ParseCode(text)
		if err != nil {
			return nil, nil, fault.Field("code.malformed", "select.codes", "entry %d is not 18 digits", i+1)
		}
		serial := coder.Serial(code)
		e, no, ok := s.proj.find(serial)
		if !ok || !scope.Has(e.BrandID) {
			missing = append(missing, int64(serial))
			continue
		}
		if brand == 0 {
			brand = e.BrandID
		}
		if e.BrandID != brand {
			return nil, nil, fault.Field("select.two_brands", "select.codes", "entry %d belongs to another brand than the first", i+1)
		}
		numbers[e] = append(numbers[e], no)
	}
	byBatch := make(map[*entry]Runs, len(numbers))
	for e, list := range numbers {
		byBatch[e] = NewRuns(list)
	}
	var unknown []Refused
	if len(missing) > 0 {
		unknown = []Refused{{State: unknownState, Numbers: NewRuns(missing)}}
	}
	return sortTargets(byBatch), unknown, nil
}

// ErrNoContainers answers where nothing is known of containers.
var ErrNoContainers = fault.Field("select.no_containers", "select.container",
	"is not taken: this installation keeps no record of what is packed in what; name a batch_id or codes")

// targetsInside is what is in a container: of one brand, since a change is one brand's.
func (s *Service) targetsInside(ctx context.Context, container string) ([]target, error) {
	if s.Containers == nil {
		return nil, ErrNoContainers
	}
	runs, err := s.Containers.Inside(ctx, container)
	if err != nil {
		return nil, fmt.Errorf("look into the container: %w", err)
	}
	byBatch, scope := map[*entry]Runs{}, ids.ScopeOf(ctx)
	var brand ids.BrandID
	for _, r := range runs {
		for from := r.From; from <= r.To; {
			e, no, ok := s.proj.find(from)
			if !ok {
				break // cannot be: they were issued when they were packed
			}
			last := min(r.To, e.Serial(e.Quantity))
			if !scope.Has(e.BrandID) { // a foreign brand's: as if it were not in there
				from = last + 1
				continue
			}
			if brand == 0 {
				brand = e.BrandID
			}
			if e.BrandID != brand {
				return nil, fault.Field("select.two_brands", "select.container", "holds items of several brands; name the codes of one")
			}
			byBatch[e] = byBatch[e].Union(Runs{{no, no + int64(last-from)}})
			from = last + 1
		}
	}
	if len(byBatch) == 0 {
		return nil, fault.Field("select.empty_container", "select.container", "holds no coded item, as far as is known")
	}
	return sortTargets(byBatch), nil
}

func sortTargets(byBatch map[*entry]Runs) []target {
	out := make([]target, 0, len(byBatch))
	for _, e := range slices.SortedFunc(maps.Keys(byBatch), func(a, b *entry) int { return cmp.Compare(a.First, b.First) }) {
		out = append(out, target{e, byBatch[e]})
	}
	return out
}

// Reissue gives an item its next version: what was shown or shared before is
// superseded.
func (s *Service) Reissue(ctx context.Context, cmd Command, code, reason string) (version uint16, replayed bool, _ error) {
	serial, item, err := s.Find(ctx, code)
	if err != nil {
		return 0, false, err
	}
	if reason == "" {
		reason = "reissued"
	}
	if err := CheckName("reason", reason, nameBytesMax); err != nil {
		return 0, false, err
	}
	b := item.Batch
	lock := &s.deciding[b.Shard()]
	lock.Lock()
	defer lock.Unlock()
	for range decideTriesMax {
		version, replayed, err = s.reissue(ctx, cmd, serial, code, reason)
		if f, ok := fault.From(err); ok && f.Is(ErrRaced) {
			continue
		}
		return version, replayed, err
	}
	return 0, false, ErrRaced
}

func (s *Service) reissue(ctx context.Context, cmd Command, serial ids.Serial, code, reason string) (version uint16, replayed bool, _ error) {
	if err := s.catchUp(ctx, serial.Shard()); err != nil {
		return 0, false, err
	}
	item, _ := s.proj.Lookup(serial)
	b := item.Batch
	extra, err := s.proj.Extra(serial, item)
	if err != nil {
		return 0, false, err
	}
	if extra.Version == math.MaxUint16 {
		return 0, false, fault.New(fault.Conflict, "code.versions_used_up", "this code has had all of its 65535 versions")
	}
	change := ItemChange{
		ID: ids.ChangeID(ids.NewIn(b.Shard(), "chg")), Batch: b.First, Serial: serial, Version: extra.Version + 1,
		Actor: cmd.Actor, Reason: reason,
	}
	event, err := NewEvent(batchevent.CodeStateChanged, b.BrandID, string(b.ID), batchevent.StateChanged{
		Kind: "reissued", ChangeID: string(change.ID), BatchID: string(b.ID), Codes: []string{code},
		Version: change.Version, Reason: reason, Actor: cmd.Actor,
	})
	if err != nil {
		return 0, false, err
	}
	done, replayed, err := s.store.Reissue(ctx, cmd.Request, change, b.BrandID, event)
	if err != nil {
		return 0, false, err
	}
	return done.Version, replayed, s.catchUp(ctx, b.Shard())
}

const (
	eventItemsMax = 1000 // runs or codes in one event
	eventsMax     = 150  // events of one change; beyond, one that says so
)

// changeEvents tells of a change: long runs as runs, single items as codes.
func (s *Service) changeEvents(c *Change, targets []target) ([]Event, error) {
	id := make(map[ids.Serial]*entry, len(targets))
	for _, t := range targets {
		id[t.First] = t.entry
	}
	var told []batchevent.StateChanged
	for _, cover := range c.Covers {
		if cover.By == Kept { // nothing has changed for them
			continue
		}
		base := batchevent.StateChanged{
			Kind: cover.To.String(), ChangeID: string(c.ID), Reverts: string(c.Reverts), BatchID: string(id[cover.Batch].ID),
			Reason: c.Reason, Actor: c.Actor, Place: c.Place,
		}
		if !c.At.IsZero() {
			base.At = &c.At
		}
		emit := func(e batchevent.StateChanged) { told = append(told, e) }
		if !s.splitCover(&id[cover.Batch].Batch, cover.Numbers, base, emit) {
			base.Partial = true
			emit(base)
		}
	}
	if len(told) > eventsMax {
		told = told[:eventsMax]
		told[eventsMax-1].Partial = true
	}
	all := make([]Event, len(told))
	for i, e := range told {
		var err error
		if all[i], err = NewEvent(batchevent.CodeStateChanged, c.BrandID, e.BatchID, e); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// splitCover cuts a cover into events; false when it needs too many.
func (s *Service) splitCover(b *Batch, numbers Runs, base batchevent.StateChanged, emit func(batchevent.StateChanged)) bool {
	e := base
	coder := s.items.Coder()
	var buf [18]byte
	sent := 0
	flush := func(atLeast int) {
		if len(e.Runs)+len(e.Codes) >= atLeast {
			emit(e)
			sent++
			e = base
		}
	}
	for _, r := range numbers {
		if sent > eventsMax/2 {
			return false
		}
		if r.Len() >= longRun {
			e.Runs = append(e.Runs, batchevent.Run{From: r.From, To: r.To})
			flush(eventItemsMax)
			continue
		}
		for no := r.From; no <= r.To; no++ {
			e.Codes = append(e.Codes, string(coder.AppendCode(buf[:0], b.Serial(no))))
			flush(eventItemsMax)
		}
	}
	flush(1)
	return true
}
