package trace

import (
	"bytes"
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Containment is a fold of the packings, those of AggregationEvents and AssociationEvents,
// in the order of (eventTime, hash): the latest ADD of a child wins until a DELETE from that
// parent, by name or of all its children. What was declared an error is passed over. Since
// it is computed from all that is there, the order in which events came in makes no
// difference (TestArrivalOrderMakesNoDifference).

// Flag says what is strange about how things were packed.
type Flag string

// The flags.
const (
	DoubleParent Flag = "double_parent" // it was packed while it was in another parent
	Loop         Flag = "loop"          // something is within itself
)

const (
	containDepthMax  = 16
	packingsMax      = 100_000 // that one question may read
	containedRunsMax = 100_000
)

// packing is what an event says about containment.
type packing struct {
	ref    Ref
	hash   Hash
	add    bool
	parent string // canonical
	runs   []Run  // of its children that are ours, sorted
	others map[string]bool
	every  bool // DELETE without children: of all of them
}

// packingOf reads an event; false = it packs nothing.
func packingOf(p *Unpacked) (k packing, ok bool) {
	if maskOf(p.Type)&packings == 0 || p.Action == Observe || p.Declared != nil || p.Stored.Withdrawn || p.Parent == "" {
		return k, false
	}
	k = packing{
		ref: Ref{p.Stored.No, p.Stored.Time}, hash: p.Stored.Hash, add: p.Action == Add, parent: Canonical(p.Parent),
		others: make(map[string]bool, len(p.EPCs)),
	}
	for _, epc := range p.EPCs {
		k.others[Canonical(epc)] = true
	}
	k.runs = runsIn(p.Groups[0])
	k.every = !k.add && len(k.runs)+len(k.others)+len(p.Quantities) == 0
	return k, true
}

func (k *packing) before(o *packing) int {
	return cmp.Or(k.ref.Time.Compare(o.ref.Time), bytes.Compare(k.hash[:], o.hash[:]))
}

// Child names something that may be packed: an item of ours, or any EPC.
type Child struct {
	Serial ids.Serial
	EPC    string // canonical; "" = the item
}

func (c Child) in(k *packing) bool {
	if c.EPC != "" {
		return k.others[c.EPC]
	}
	i, found := slices.BinarySearchFunc(k.runs, c.Serial, func(r Run, s ids.Serial) int {
		switch {
		case r.To < s:
			return -1
		case r.From > s:
			return 1
		}
		return 0
	})
	return found && i < len(k.runs)
}

// inside is where something is, by the fold.
type inside struct {
	parent string
	since  time.Time
	double bool
}

// fold goes through the packings, which are in their order, for one child. left, unless it
// is nil, is told of each stay that ended.
func fold(all []*packing, of func(k *packing) bool, left func(in inside, until time.Time)) (in inside) {
	for _, k := range all {
		out := !k.add && k.parent == in.parent && (k.every || of(k))
		if !out && (!k.add || !of(k)) {
			continue
		}
		if left != nil && in.parent != "" {
			left(in, k.ref.Time)
		}
		if out {
			in = inside{}
			continue
		}
		in = inside{parent: k.parent, since: k.ref.Time, double: in.parent != "" && in.parent != k.parent}
	}
	return in
}

// reading is one question's view: packings that were read, by number.
type reading struct {
	*Service
	brand  ids.BrandID // 0 = of all in the scope
	scope  ids.Scope
	brands []ids.BrandID
	at     time.Time // as of; not later
	known  map[int64]*packing
	parent map[string][]*packing // by parent, in order
	ends   map[int64]*packing    // by a packing's number, the one that emptied its parent next
	child  map[string][]*packing // by child, those that were gathered, in order
	opened map[int64]*Unpacked   // events by number; nil = they are not kept
}

func (s *Service) reading(ctx context.Context, brand ids.BrandID, at time.Time) (*reading, error) {
	brands, err := s.brandsOf(ctx, brand)
	return &reading{
		Service: s, brand: brand, scope: ids.ScopeOf(ctx), brands: brands, at: at, known: map[int64]*packing{},
		parent: map[string][]*packing{}, ends: map[int64]*packing{}, child: map[string][]*packing{},
	}, err
}

// load reads events and keeps those that pack something and are not later than asked.
func (r *reading) load(stored []Stored) (out []*packing, _ error) {
	for i := range stored {
		e := &stored[i]
		if e.Time.After(r.at) || r.brand != 0 && e.Brand != r.brand || !r.scope.Has(e.Brand) {
			continue
		}
		k, seen := r.known[e.No]
		if !seen {
			p, err := r.open(e)
			if err != nil {
				return nil, err
			}
			if one, ok := packingOf(p); ok {
				k = &one
			}
			if r.known[e.No] = k; len(r.known) > packingsMax {
				return nil, ErrQueryLarge.Textf("more than %d packings are to be looked at", packingsMax)
			}
		}
		if k != nil {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b *packing) int { return a.before(b) })
	return slices.Compact(out), nil
}

// numbered reads events by number, those that were not read before.
func (r *reading) numbered(ctx context.Context, refs []Ref) ([]*packing, error) {
	var missing []int64
	var out []*packing
	for _, ref := range refs {
		if k, seen := r.known[ref.No]; !seen {
			missing = append(missing, ref.No)
		} else if k != nil {
			out = append(out, k)
		}
	}
	stored, err := r.store.Events(ctx, missing)
	if err != nil {
		return nil, err
	}
	more, err := r.load(stored)
	out = append(out, more...)
	slices.SortFunc(out, func(a, b *packing) int { return a.before(b) })
	return slices.Compact(out), err
}

// ofParent are the packings of a parent.
func (r *reading) ofParent(ctx context.Context, parent string) ([]*packing, error) {
	if all, ok := r.parent[parent]; ok {
		return all, nil
	}
	var stored []Stored
	if err := r.ofTerms(ctx, &stored, r.brands, Term{ParentTerm, parent}); err != nil {
		return nil, err
	}
	all, err := r.load(stored)
	r.parent[parent] = all
	return all, err
}

// withEmptied adds to packings that name children those that emptied one of their parents: for
// each the first behind it, since whoever was in is out then.
func (r *reading) withEmptied(ctx context.Context, all []*packing) ([]*packing, error) {
	out := slices.Clone(all)
	next := map[string]*packing{} // by parent, as of the packing before
	for _, k := range all {
		if !k.add {
			continue
		}
		if p, ok := next[k.parent]; ok && (p == nil || k.before(p) < 0) {
			continue
		}
		p, err := r.emptied(ctx, k)
		if err != nil {
			return nil, err
		}
		if next[k.parent] = p; p != nil {
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b *packing) int { return a.before(b) })
	return slices.Compact(out), nil
}

// emptiedRows is how many of a parent's events are read at once: what empties it usually comes
// soon after what filled it.
const emptiedRows = 16

// emptied is the first packing that emptied the parent after k; nil when none did.
func (r *reading) emptied(ctx context.Context, k *packing) (first *packing, _ error) {
	if p, ok := r.ends[k.ref.No]; ok {
		return p, nil
	}
	take := func(all []*packing) {
		for _, p := range all {
			if p.every && p.parent == k.parent && k.before(p) < 0 && (first == nil || p.before(first) < 0) {
				first = p
			}
		}
	}
	if all, ok := r.parent[k.parent]; ok {
		take(all)
		return first, nil
	}
	for _, brand := range r.brands {
		st := Stretch{
			Brand: brand, Order: ByTerm, Terms: []int64{Term{ParentTerm, k.parent}.Key(brand)}, From: k.ref.Time, To: r.at.Add(time.Millisecond),
		}
		for {
			found, err := r.store.Scan(ctx, st, emptiedRows)
			if err != nil {
				return nil, err
			}
			all, err := r.load(found)
			if err != nil {
				return nil, err
			}
			if take(all); len(found) < emptiedRows {
				break
			}
			last := found[len(found)-1]
			if first != nil && last.Time.After(first.ref.Time) {
				break
			}
			st.After = Ref{last.No, last.Time}
		}
	}
	r.ends[k.ref.No] = first
	return first, nil
}

// ofChild are the packings that matter to a child.
func (r *reading) ofChild(ctx context.Context, c Child) ([]*packing, error) {
	var all []*packing
	var err error
	if gathered, ok := r.child[c.EPC]; ok {
		all = gathered
	} else if c.EPC != "" {
		var stored []Stored
		if err = r.ofTerms(ctx, &stored, r.brands, Term{ChildTerm, c.EPC}); err == nil {
			all, err = r.load(stored)
		}
	} else {
		all, err = r.ofRun(ctx, Run{c.Serial, c.Serial})
	}
	if err != nil {
		return nil, err
	}
	return r.withEmptied(ctx, all)
}

func (r *reading) ofRun(ctx context.Context, run Run) ([]*packing, error) {
	refs, err := r.store.Packings(ctx, run)
	if err != nil {
		return nil, err
	}
	return r.numbered(ctx, refs)
}

// Step is one container on the way out.
type Step struct {
	Parent string    // canonical
	Since  time.Time // of the packing
	Flags  []Flag
}

// Within tells what a thing was in at a time, from the inside out. A loop ends the way.
func (s *Service) Within(ctx context.Context, brand ids.BrandID, c Child, at time.Time) ([]Step, error) {
	r, err := s.reading(ctx, brand, at)
	if err != nil {
		return nil, err
	}
	var out []Step
	seen := map[string]bool{c.EPC: c.EPC != ""}
	for range containDepthMax {
		all, err := r.ofChild(ctx, c)
		if err != nil {
			return nil, err
		}
		in := fold(all, c.in, nil)
		if in.parent == "" {
			break
		}
		step := Step{Parent: in.parent, Since: in.since}
		if in.double {
			step.Flags = append(step.Flags, DoubleParent)
		}
		if seen[in.parent] {
			step.Flags = append(step.Flags, Loop)
			return append(out, step), nil
		}
		out, seen[in.parent] = append(out, step), true
		if c, err = s.Child(ctx, in.parent); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Child says what an EPC is as a child: an item of ours, or itself.
func (s *Service) Child(ctx context.Context, epc string) (Child, error) {
	canonical := Canonical(epc)
	if it, _, ok, err := ours(s.itemsOf(ctx).Finder(), epc, canonical); ok || err != nil {
		return Child{Serial: it.Serial}, err
	}
	return Child{EPC: canonical}, nil
}

// Contents is what is in something.
type Contents struct {
	Runs  []Run    // items of ours, sorted
	EPCs  []string // what else, canonical and sorted
	Flags []Flag
}

// Contents tells what was directly in a parent at a time; with deep also what was in that.
func (s *Service) Contents(ctx context.Context, brand ids.BrandID, parent string, at time.Time, deep bool) (Contents, error) {
	r, err := s.reading(ctx, brand, at)
	if err != nil {
		return Contents{}, err
	}
	var out Contents
	flags := map[Flag]bool{}
	top := Canonical(parent)
	level := []string{top}
	seen := map[string]bool{top: true}
	for depth := 0; len(level) > 0 && depth < containDepthMax; depth++ {
		var next []string
		for _, p := range level {
			one, err := r.contents(ctx, p, flags)
			if err != nil {
				return out, err
			}
			out.Runs, out.EPCs = append(out.Runs, one.Runs...), append(out.EPCs, one.EPCs...)
			items, err := r.parentsAmong(ctx, one.Runs)
			if err != nil {
				return out, err
			}
			for _, child := range append(items, one.EPCs...) {
				if seen[child] {
					flags[Loop] = true
				} else {
					next, seen[child] = append(next, child), true
				}
			}
		}
		if level = next; !deep {
			break
		}
		if len(out.Runs) > containedRunsMax || len(out.EPCs) > containedRunsMax {
			return out, ErrQueryLarge.Textf("the container holds more than can be listed")
		}
	}
	out.Runs = merged(out.Runs)
	slices.Sort(out.EPCs)
	out.EPCs = slices.Compact(out.EPCs)
	for _, f := range []Flag{DoubleParent, Loop} {
		if flags[f] {
			out.Flags = append(out.Flags, f)
		}
	}
	return out, nil
}

// parentsAmong are the items of runs that are parents themselves.
func (r *reading) parentsAmong(ctx context.Context, runs []Run) (out []string, _ error) {
	find := r.items.Finder()
	for _, run := range runs {
		found, err := r.store.Parents(ctx, run)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			it, ok, err := find(r.items.Code(s))
			if err != nil {
				return nil, err
			}
			if ok && it.GTIN != "" {
				out = append(out, gs1.CanonicalStem+"/01/"+it.GTIN.String()+"/21/"+r.items.Code(s))
			}
		}
	}
	return out, nil
}

// contents folds what may be in a parent: whatever was ever added to it, each by all of its
// own packings.
func (r *reading) contents(ctx context.Context, parent string, flags map[Flag]bool) (out Contents, _ error) {
	own, err := r.ofParent(ctx, parent)
	if err != nil {
		return out, err
	}
	var runs []Run
	others := map[string]bool{}
	for _, k := range own {
		if k.add {
			runs = append(runs, k.runs...)
			for epc := range k.others {
				others[epc] = true
			}
		}
	}
	for _, run := range merged(runs) {
		if err := r.runIn(ctx, parent, run, &out, flags); err != nil {
			return out, err
		}
	}
	if err := r.gather(ctx, slices.Sorted(maps.Keys(others))); err != nil {
		return out, err
	}
	for epc := range others {
		c := Child{EPC: epc}
		all, err := r.ofChild(ctx, c)
		if err != nil {
			return out, err
		}
		if in := fold(all, c.in, nil); in.parent == parent {
			out.EPCs = append(out.EPCs, epc)
			flags[DoubleParent] = flags[DoubleParent] || in.double
		}
	}
	return out, nil
}

const (
	gatherTerms = 32   // of one look-up
	gatherRows  = 1024 // that it may find: what has more is asked for alone
)

// gather reads the packings of many things at once, as children and as parents: a pallet's cases
// one by one would be a look-up for each of their sides.
func (r *reading) gather(ctx context.Context, epcs []string) error {
	for part := range slices.Chunk(epcs, gatherTerms/2) {
		var stored []Stored
		for _, brand := range r.brands {
			st := Stretch{Brand: brand, Order: ByTerm}
			for i := range gatherTerms / 2 { // always as many, so that it is one statement
				epc := part[min(i, len(part)-1)]
				st.Terms = append(st.Terms, Term{ChildTerm, epc}.Key(brand), Term{ParentTerm, epc}.Key(brand))
			}
			found, err := r.store.Scan(ctx, st, gatherRows)
			if err != nil {
				return err
			}
			if len(found) == gatherRows {
				return nil
			}
			stored = append(stored, found...)
		}
		all, err := r.load(stored)
		if err != nil {
			return err
		}
		r.sort(part, all)
	}
	return nil
}

// sort keeps all packings of some things, as children and as parents.
func (r *reading) sort(epcs []string, all []*packing) {
	slices.SortFunc(all, func(a, b *packing) int { return a.before(b) })
	for _, epc := range epcs {
		r.child[epc], r.parent[epc] = nil, nil
		for _, k := range all {
			if k.others[epc] {
				r.child[epc] = append(r.child[epc], k)
			}
			if k.parent == epc {
				r.parent[epc] = append(r.parent[epc], k)
			}
		}
	}
}

// runIn adds what of a run is in the parent.
func (r *reading) runIn(ctx context.Context, parent string, run Run, out *Contents, flags map[Flag]bool) error {
	return r.foldRun(ctx, run, func(part Run, in inside) {
		if in.parent == parent {
			out.Runs = append(out.Runs, part)
			flags[DoubleParent] = flags[DoubleParent] || in.double
		}
	})
}

// foldRun tells of each part of a run where it is. Items between two edges of all packings
// have the same history, so one of them answers for all.
func (r *reading) foldRun(ctx context.Context, run Run, tell func(part Run, in inside)) error {
	all, err := r.ofRun(ctx, run)
	if err == nil {
		all, err = r.withEmptied(ctx, all)
	}
	if err != nil {
		return err
	}
	edges := []ids.Serial{run.From, run.To + 1}
	for _, k := range all {
		for _, one := range k.runs {
			if one.From > run.From && one.From <= run.To {
				edges = append(edges, one.From)
			}
			if one.To >= run.From && one.To < run.To {
				edges = append(edges, one.To+1)
			}
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	for i := range len(edges) - 1 {
		tell(Run{edges[i], edges[i+1] - 1}, fold(all, Child{Serial: edges[i]}.in, nil))
	}
	return nil
}

// Stay is where some items are.
type Stay struct {
	Run
	Parent string // canonical
}

// Ever is later than any event: as of it, all that is captured counts.
func Ever() time.Time { return time.UnixMilli(1 << 52) }

// Stays tells what items are in, directly, by all packings that are captured, whatever their
// time. Those that are in nothing are left out.
func (s *Service) Stays(ctx context.Context, brand ids.BrandID, runs []Run) (out []Stay, _ error) {
	r, err := s.reading(ctx, brand, Ever())
	if err != nil {
		return nil, err
	}
	for _, run := range runs {
		if err := r.foldRun(ctx, run, func(part Run, in inside) {
			if in.parent != "" {
				out = append(out, Stay{part, in.parent})
			}
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// merged sorts runs and joins those that touch.
func merged(runs []Run) (out []Run) {
	runs = slices.Clone(runs)
	slices.SortFunc(runs, func(a, b Run) int { return cmp.Compare(a.From, b.From) })
	for _, r := range runs {
		if n := len(out); n > 0 && r.From <= out[n-1].To+1 {
			out[n-1].To = max(out[n-1].To, r.To)
		} else {
			out = append(out, r)
		}
	}
	return out
}

// Code is the code of an item.
func (s *Service) Code(serial ids.Serial) string { return s.items.Code(serial) }
