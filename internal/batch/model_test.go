package batch_test

import (
	"errors"
	"flag"
	"maps"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the model test; 0 draws one and prints it")

// record is a change as the model keeps it: from..to and a bit for each number of
// it that the change covers.
type record struct {
	id       ids.ChangeID
	to       gs1.Disposition
	reverts  int // -1 = none
	from, at int64
	covered  []uint64
}

func newRecord(from, to int64) record {
	return record{from: from, at: to, reverts: -1, covered: make([]uint64, (to-from)/64+1)}
}

func (r *record) cover(no int64) { r.covered[(no-r.from)/64] |= 1 << ((no - r.from) % 64) }

func (r *record) covers(no int64) bool {
	return r.from <= no && no <= r.at && r.covered[(no-r.from)/64]&(1<<((no-r.from)%64)) != 0
}

func (r *result) equal(o result) bool {
	return r.Items == o.Items && r.Unchanged == o.Unchanged && maps.EqualFunc(r.Refused, o.Refused, slices.Equal[[]batch.Run])
}

// ledger is the model of one batch: a byte for each number, and every change that
// there was. It knows neither runs nor pages, and works an undo out item by item.
type ledger struct {
	table   *batch.Transitions
	state   []gs1.Disposition // of number i
	last    []int32           // the change that covered it last, plus one
	journal []record
}

func newLedger(quantity int64) *ledger {
	l := &ledger{table: batch.NewTransitions(), state: make([]gs1.Disposition, quantity+1), last: make([]int32, quantity+1)}
	for i := range l.state {
		l.state[i] = batch.FirstState
	}
	return l
}

// result is what a change comes to.
type result struct {
	Items, Unchanged int64
	Refused          map[gs1.Disposition][]batch.Run
}

func (r *result) refuse(state gs1.Disposition, no int64) {
	list := r.Refused[state]
	if n := len(list); n > 0 && list[n-1].To == no-1 {
		list[n-1].To = no
	} else {
		r.Refused[state] = append(list, batch.Run{From: no, To: no})
	}
}

// change tells what moving the numbers, in their order, would come to; commit
// makes it so.
func (l *ledger) change(numbers func(yield func(int64) bool), rec record, to gs1.Disposition) (result, record) {
	out := result{Refused: map[gs1.Disposition][]batch.Run{}}
	rec.to = to
	for no := range numbers {
		switch state := l.state[no]; {
		case state == to:
			out.Unchanged++
			rec.cover(no)
		case l.table.Allowed(state, to):
			out.Items++
			rec.cover(no)
		default:
			out.refuse(state, no)
		}
	}
	return out, rec
}

// without folds a number's living changes as if one of them had been undone.
// by is the change that gave the state then; -1 = none.
func (l *ledger) without(no int64, undone int) (state gs1.Disposition, by int, possible bool) {
	var living []int
	dead := map[int]bool{undone: true}
	for i := len(l.journal) - 1; i >= 0; i-- {
		switch c := &l.journal[i]; {
		case !c.covers(no) || dead[i]:
		case c.reverts >= 0:
			dead[c.reverts] = true
		default:
			living = append(living, i)
		}
	}
	state, by, possible = batch.FirstState, -1, true
	for _, i := range slices.Backward(living) {
		switch to := l.journal[i].to; {
		case state == to:
		case l.table.Allowed(state, to):
			state, by = to, i
		default:
			possible = false
		}
	}
	return state, by, possible
}

func (l *ledger) isDead(no int64, change int) bool {
	dead := map[int]bool{}
	for i := len(l.journal) - 1; i > change; i-- {
		if c := &l.journal[i]; c.reverts >= 0 && !dead[i] && c.covers(no) {
			dead[c.reverts] = true
		}
	}
	return dead[change]
}

// undo is change for an undo; targets are the states that the covered numbers get.
func (l *ledger) undo(numbers func(yield func(int64) bool), rec record, undone int) (result, record, map[int64]given) {
	out := result{Refused: map[gs1.Disposition][]batch.Run{}}
	rec.reverts = undone
	targets := map[int64]given{}
	for no := range numbers {
		if !l.journal[undone].covers(no) {
			out.refuse(l.state[no], no)
			continue
		}
		if l.isDead(no, undone) {
			out.Unchanged++
			continue
		}
		target, by, possible := l.without(no, undone)
		if !possible {
			out.refuse(l.state[no], no)
			continue
		}
		if target == l.state[no] {
			out.Unchanged++
		} else {
			out.Items++
		}
		rec.cover(no)
		targets[no] = given{target, by}
	}
	return out, rec, targets
}

// given is a state that an undo brings back, and the change that had given it.
type given struct {
	state gs1.Disposition
	by    int
}

func sale(d gs1.Disposition) bool { return d == gs1.RetailSold || d == gs1.Dispensed }

func (l *ledger) commit(rec record, id ids.ChangeID, targets map[int64]given) {
	rec.id = id
	l.journal = append(l.journal, rec)
	for word, mask := range rec.covered {
		for ; mask != 0; mask &= mask - 1 {
			no := rec.from + int64(word)*64 + int64(bits.TrailingZeros64(mask))
			last := int32(len(l.journal))
			switch back := targets[no]; {
			case rec.reverts >= 0:
				if l.state[no] = back.state; sale(back.state) && back.by >= 0 {
					last = int32(back.by) + 1
				}
			case l.state[no] == rec.to && sale(rec.to): // it was sold once
				continue
			default:
				l.state[no] = rec.to
			}
			l.last[no] = last
		}
	}
}

// play drives a service and the ledger side by side.
type play struct {
	*office
	rng            *rand.Rand
	batch          batch.Batch
	ledger         *ledger
	singles, runs  int
	undos, refusal int
}

// toState draws a state: mostly ones that lead on, seldom ones that end.
func (p *play) toState(length int64) gs1.Disposition {
	onwards := []gs1.Disposition{
		gs1.Active, gs1.Active, gs1.InTransit, gs1.InProgress, gs1.SellableAccessible, gs1.SellableNotAccessible,
		gs1.RetailSold, gs1.Dispensed, gs1.Returned, gs1.Returned, gs1.Inactive, gs1.Stolen, gs1.Damaged, gs1.NoPedigreeMatch,
	}
	all := gs1.Dispositions()
	if length < 5000 && p.rng.IntN(10) == 0 {
		return all[p.rng.IntN(len(all))]
	}
	return onwards[p.rng.IntN(len(onwards))]
}

func between(from, to int64) func(yield func(int64) bool) {
	return func(yield func(int64) bool) {
		for no := from; no <= to; no++ {
			if !yield(no) {
				return
			}
		}
	}
}

// drawRun draws a run whose ends are often a page's or an earlier run's.
func (p *play) drawRun() (from, to int64) {
	lengths := []int64{1, 2, 7, 60, 200, 1023, 1024, 1024, 1025, 1025, 3000, 3000, 20_000, 65_536}
	if p.rng.IntN(150) == 0 {
		lengths = []int64{200_000, 500_000, p.batch.Quantity}
	}
	length := lengths[p.rng.IntN(len(lengths))]
	from = 1 + p.rng.Int64N(p.batch.Quantity)
	switch p.rng.IntN(4) {
	case 0:
		from = p.rng.Int64N(p.batch.Quantity>>16+1)<<16 + p.rng.Int64N(3) - 1
	case 1:
		if n := len(p.ledger.journal); n > 0 {
			from = p.ledger.journal[p.rng.IntN(n)].at + p.rng.Int64N(3)
		}
	}
	from = min(max(1, from), p.batch.Quantity)
	return from, min(p.batch.Quantity, from+length-1)
}

// drawList draws up to 1000 numbers: scattered, or close together.
func (p *play) drawList() []int64 {
	spread := []int64{2_000, 65_536, p.batch.Quantity}[p.rng.IntN(3)]
	spread = min(spread, p.batch.Quantity)
	base := p.rng.Int64N(p.batch.Quantity - spread + 1)
	list := make([]int64, 1+p.rng.IntN(1000))
	for i := range list {
		list[i] = base + 1 + p.rng.Int64N(spread)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// tell is a change in the model's terms.
func tell(c batch.Change) result {
	out := result{Items: c.Items, Unchanged: c.Unchanged, Refused: map[gs1.Disposition][]batch.Run{}}
	for _, r := range c.Refused {
		out.Refused[r.State] = append(out.Refused[r.State], r.Numbers...)
	}
	return out
}

// do asks the service and compares the answer with the model's.
func (p *play) do(spec batch.StateSpec, want result, rec record, targets map[int64]given) {
	p.t.Helper()
	spec.Reason, spec.Strict = "model", p.rng.IntN(10) == 0
	var heads [ids.Shards]int64
	if spec.Strict {
		heads = p.heads()
	}
	c, _, err := p.ChangeState(p.t.Context(), anon(), spec)
	if spec.Strict && len(want.Refused) > 0 {
		p.refusal++
		if !errors.Is(err, batch.ErrRefused) || p.heads() != heads {
			p.t.Fatalf("strict with %d refused: %v", len(want.Refused), err)
		}
		return
	}
	p.must(err)
	if got := tell(c); !want.equal(got) {
		diff := cmp.Diff(want, got, cmpopts.EquateEmpty())
		p.t.Fatalf("change %d, %+v (-model +got):\n%s", len(p.ledger.journal), spec, diff)
	}
	p.ledger.commit(rec, c.ID, targets)
	for _, no := range []int64{rec.from - 1, rec.from, rec.from + 1, (rec.from + rec.at) / 2, rec.at - 1, rec.at, rec.at + 1, 1 + p.rng.Int64N(p.batch.Quantity)} {
		p.wantItem(no)
	}
}

// wantItem compares one number's state, and the change that gave it.
func (p *play) wantItem(no int64) {
	p.t.Helper()
	if no < 1 || no > p.batch.Quantity {
		return
	}
	serial := p.batch.Serial(no)
	item, ok := p.proj.Lookup(serial)
	if !ok || item.No != no || item.State != p.ledger.state[no] {
		p.t.Fatalf("number %d: %v, number %d in %s; want %s", no, ok, item.No, item.State, p.ledger.state[no])
	}
	note, ok, err := p.proj.Note(serial, item)
	p.must(err)
	last := p.ledger.last[no]
	if ok != (last > 0) || ok && note.ChangeID != p.ledger.journal[last-1].id {
		p.t.Fatalf("number %d was last changed by %s, %v; want change %d of the journal", no, note.ChangeID, ok, last)
	}
}

func (p *play) step() {
	switch n := p.rng.IntN(1000); {
	case n < 28: // up to 1000 single items
		list := p.drawList()
		to := p.toState(1)
		want, rec := p.ledger.change(slices.Values(list), newRecord(list[0], list[len(list)-1]), to)
		p.singles += len(list)
		shuffled := slices.Clone(list)
		p.rng.Shuffle(len(list), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		p.do(batch.StateSpec{Select: batch.Selection{Codes: p.codes(p.batch, shuffled...)}, To: to.String()}, want, rec, nil)
	case n < 31 && len(p.ledger.journal) > 0:
		p.undo()
	default:
		from, to := p.drawRun()
		state := p.toState(to - from)
		want, rec := p.ledger.change(between(from, to), newRecord(from, to), state)
		p.runs++
		p.do(batch.StateSpec{Select: batch.Selection{BatchID: p.batch.ID, From: from, To: to}, To: state.String()}, want, rec, nil)
	}
}

// undo takes back one of the last changes or any, for some of its numbers or all.
func (p *play) undo() {
	n := len(p.ledger.journal)
	undone := n - 1 - p.rng.IntN(min(n, 20))
	if p.rng.IntN(3) == 0 {
		undone = p.rng.IntN(n)
	}
	c := p.ledger.journal[undone]
	from := c.from + p.rng.Int64N(c.at-c.from+1)
	to := min(c.at+p.rng.Int64N(2), from+p.rng.Int64N(2000), p.batch.Quantity)
	p.undos++
	want, rec, targets := p.ledger.undo(between(from, to), newRecord(from, to), undone)
	p.do(batch.StateSpec{Select: batch.Selection{BatchID: p.batch.ID, From: from, To: to}, Reverts: c.id}, want, rec, targets)
}

// TestStatesAgreeWithModel moves runs and single items of one batch about at
// random, with undos, and compares every answer and in the end every item with a
// model that has one byte for each item.
func TestStatesAgreeWithModel(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test ./internal/batch -run TestStatesAgreeWithModel -args -seed=%d", seed)
	quantity, singles, runs := int64(10_000_000), 100_000, 10_000
	if raceEnabled {
		quantity, singles, runs = 300_000, 4_000, 400
	}
	o := newOffice(t)
	p := &play{office: o, rng: rand.New(rand.NewPCG(seed, 0)), batch: o.batch(o.product(batch.Pool{}), "model", quantity), ledger: newLedger(quantity)}
	for p.singles < singles || p.runs < runs {
		p.step()
	}
	t.Logf("%d single items, %d runs, %d undos, %d strict refusals", p.singles, p.runs, p.undos, p.refusal)

	var counts batch.Counts
	for no := int64(1); no <= quantity; no++ {
		counts[p.ledger.state[no]]++
		if item, _ := p.proj.Lookup(p.batch.Serial(no)); item.State != p.ledger.state[no] {
			t.Fatalf("number %d is %s, want %s", no, item.State, p.ledger.state[no])
		}
		if no%997 == 0 {
			p.wantItem(no)
		}
	}
	if got, _ := p.proj.Counts(p.batch.First); got != counts {
		t.Errorf("counts %v, want %v", got, counts)
	}
	if used := len(slices.Collect(maps.Keys(statesOf(counts)))); used < 10 {
		t.Errorf("only %d states were in use: the test has become too easy", used)
	}
}

func statesOf(c batch.Counts) map[gs1.Disposition]int64 {
	out := map[gs1.Disposition]int64{}
	for state, n := range c {
		if n > 0 {
			out[gs1.Disposition(state)] = n
		}
	}
	return out
}
