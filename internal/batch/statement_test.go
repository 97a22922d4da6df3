package batch_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// deed is something that is asked of blocks of a batch's numbers: by an event, which may
// come late, or by somebody's act, which cannot.
type deed struct {
	event     bool
	at        int // seconds
	to        gs1.Disposition
	blocks    []int
	undoes    int  // an act: the deed that it takes back; -1 = none
	withdrawn bool // an event that was declared an error
}

// life is one random history.
type life struct {
	deeds  []deed // in the order of when they were
	blocks int
	width  int64
}

func drawLife(rng *rand.Rand) life {
	l := life{blocks: 4, width: []int64{1, 3, 1500}[rng.IntN(3)]}
	some := []gs1.Disposition{gs1.Active, gs1.Active, gs1.InTransit, gs1.InProgress, gs1.RetailSold, gs1.Returned, gs1.Recalled, gs1.Void, gs1.Inactive, gs1.Stolen}
	for i := range 3 + rng.IntN(5) {
		d := deed{event: rng.IntN(5) < 3, at: 10 * (i + 1), to: some[rng.IntN(len(some))], undoes: -1, withdrawn: rng.IntN(6) == 0}
		for b := range l.blocks {
			if rng.IntN(3) > 0 {
				d.blocks = append(d.blocks, b)
			}
		}
		if d.blocks == nil {
			d.blocks = []int{0}
		}
		if !d.event && i > 0 && rng.IntN(3) == 0 {
			d.undoes = rng.IntN(i)
		}
		l.deeds = append(l.deeds, d)
	}
	return l
}

// state is the model: one item at a time, nothing kept but what was asked.
func (l *life) state(block int) (state gs1.Disposition, by int) {
	table := batch.NewTransitions()
	fold := func(steps []int) (gs1.Disposition, int, bool) {
		at, by, possible := batch.FirstState, -1, true
		for _, i := range steps {
			if to := l.deeds[i].to; table.Allowed(at, to) {
				at, by = to, i
			} else if at != to {
				possible = false
			}
		}
		return at, by, possible
	}
	state, by = batch.FirstState, -1
	took, undone := []int{}, map[int]int{} // steps that count; which undo took one back
	living := func(without int) (out []int) {
		for _, i := range took {
			if _, dead := undone[i]; !dead && i != without && l.deeds[i].undoes < 0 {
				out = append(out, i)
			}
		}
		return out
	}
	for i, d := range l.deeds {
		if !slices.Contains(d.blocks, block) || d.event && d.withdrawn {
			continue
		}
		switch {
		case d.undoes >= 0:
			if !slices.Contains(took, d.undoes) {
				continue // it did nothing to this one
			}
			if _, dead := undone[d.undoes]; dead || l.deeds[d.undoes].undoes >= 0 {
				continue // the lives that are drawn undo no undo
			}
			to, giver, possible := fold(living(d.undoes))
			if !possible {
				continue
			}
			undone[d.undoes], state = i, to
			took = append(took, i)
			if by = i; sale(to) && giver >= 0 {
				by = giver
			}
			continue
		case state == d.to && d.event && d.to == gs1.RetailSold, state != d.to && !table.Allowed(state, d.to):
			continue
		case state == d.to && sale(d.to): // sold once
			took = append(took, i)
			continue
		default:
			state = d.to
		}
		took, by = append(took, i), i
	}
	return state, by
}

// played is a life on an office.
type played struct {
	*office
	life    life
	batch   batch.Batch
	base    time.Time
	changes []ids.ChangeID
}

func (p *played) at(second int) { p.setClock(p.base.Add(time.Duration(second) * time.Second)) }

func (p *played) name(i int) string { return fmt.Sprintf("ni:///%s/%d", p.batch.ID, i) }

func (p *played) tell(i int, withdrawn bool) batch.Told {
	p.t.Helper()
	d := p.life.deeds[i]
	st := batch.Statement{Event: p.name(i), Brand: p.batch.BrandID, At: p.base.Add(time.Duration(d.at) * time.Second), To: d.to, Reason: fmt.Sprint(i), Actor: "epcis"}
	for _, b := range d.blocks {
		from := p.batch.Serial(int64(b)*p.life.width + 1)
		st.Items = append(st.Items, batch.SerialRun{From: from, To: from + ids.Serial(p.life.width) - 1})
	}
	if withdrawn {
		st.To = 0
	}
	told, err := p.State(p.t.Context(), st)
	p.must(err)
	if !withdrawn {
		p.changes[i] = told.Change.ID
	}
	return told
}

func (p *played) act(i int) {
	p.t.Helper()
	d := p.life.deeds[i]
	p.at(d.at)
	var codes []string
	for _, b := range d.blocks {
		for no := range p.life.width {
			codes = append(codes, p.codes(p.batch, int64(b)*p.life.width+no+1)...)
		}
	}
	for part := range slices.Chunk(codes, batch.SelectCodesMax) {
		spec := batch.StateSpec{Select: batch.Selection{Codes: part}, To: d.to.String(), Reason: fmt.Sprint(i)}
		if d.undoes >= 0 {
			if spec.To, spec.Reverts = "", p.changes[d.undoes]; spec.Reverts == "" {
				return
			}
		}
		c, _, err := p.ChangeState(p.t.Context(), anon(), spec)
		p.must(err)
		p.changes[i] = c.ID
	}
}

// play lets the deeds happen: acts when they were, events in the order of arrival. An event
// comes again at times, and what is withdrawn is so before or after it came.
func (p *played) play(arrival []int, rng *rand.Rand) {
	p.t.Helper()
	rank := map[int]int{}
	for k, i := range arrival {
		rank[i] = k
	}
	late := map[int]int{} // event → the second at which it comes
	now := 0
	for _, i := range arrival {
		now = max(now, p.life.deeds[i].at) + rng.IntN(8)
		late[i] = now
	}
	type entry struct{ at, i int }
	var order []entry
	for i, d := range p.life.deeds {
		if at, ok := late[i]; ok {
			order = append(order, entry{at, i})
		} else {
			order = append(order, entry{d.at, i})
		}
	}
	slices.SortStableFunc(order, func(a, b entry) int { return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(rank[a.i], rank[b.i])) })
	for _, o := range order {
		d := p.life.deeds[o.i]
		if !d.event {
			p.act(o.i)
			continue
		}
		p.at(o.at)
		if d.withdrawn && rng.IntN(2) == 0 {
			p.tell(o.i, true) // the declaration was faster
			continue
		}
		p.tell(o.i, false)
		if rng.IntN(3) == 0 {
			if again := p.tell(o.i, false); again.New {
				p.t.Fatal("the same again was taken for news")
			}
		}
	}
	for i, d := range p.life.deeds {
		if d.event && d.withdrawn {
			p.at(now + 100)
			p.tell(i, true)
		}
	}
}

// wantModel compares every block, and who gave its state, with the model.
func (p *played) wantModel(proj *batch.Projection, how string) {
	p.t.Helper()
	for b := range p.life.blocks {
		state, by := p.life.state(b)
		for _, no := range []int64{int64(b)*p.life.width + 1, int64(b+1) * p.life.width} {
			serial := p.batch.Serial(no)
			item, _ := proj.Lookup(serial)
			note, ok, err := proj.Note(serial, item)
			p.must(err)
			if item.State != state || by >= 0 && (!ok || note.Reason != fmt.Sprint(by)) {
				p.t.Fatalf("%s: block %d (width %d) is %s by %q, want %s by %d\n%+v", how, b, p.life.width, item.State, note.Reason, state, by, p.life.deeds)
			}
		}
	}
}

func permutations(of []int) (all [][]int) {
	if len(of) < 2 {
		return [][]int{slices.Clone(of)}
	}
	for i, first := range of {
		for _, rest := range permutations(slices.Concat(of[:i], of[i+1:])) {
			all = append(all, append([]int{first}, rest...))
		}
	}
	return all
}

// TestOrderOfArrivalMakesNoDifference plays random histories of events and acts: with the
// events in every order of arrival, each item ends as the model says, by the same deed; a
// projection that is filled anew says the same.
func TestOrderOfArrivalMakesNoDifference(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("go test ./internal/batch -run TestOrderOfArrivalMakesNoDifference -args -seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	o := newOffice(t)
	product := o.product(batch.Pool{})
	var all []*played
	for n := range 25 {
		l := drawLife(rng)
		for i := range l.deeds { // no undo of an undo: change_test.go has those
			if u := l.deeds[i].undoes; u >= 0 && (l.deeds[u].undoes >= 0 || l.deeds[u].withdrawn || l.deeds[u].event) {
				l.deeds[i].undoes = -1
			}
			if !l.deeds[i].event {
				l.deeds[i].withdrawn = false
			}
		}
		var events []int
		for i, d := range l.deeds {
			if d.event {
				events = append(events, i)
			}
		}
		orders := permutations(events)
		rng.Shuffle(len(orders), func(i, j int) { orders[i], orders[j] = orders[j], orders[i] })
		for k, order := range orders[:min(len(orders), 24)] {
			p := &played{office: o, life: l, base: batchtest.Start().Add(time.Duration(len(all)+1) * time.Hour), changes: make([]ids.ChangeID, len(l.deeds))}
			p.at(0)
			p.batch = o.batch(product, fmt.Sprintf("%d-%d", n, k), int64(l.blocks)*l.width)
			p.play(order, rng)
			p.wantModel(o.proj, fmt.Sprintf("order %v", order))
			all = append(all, p)
		}
	}
	if testing.Short() {
		return
	}
	again := batch.NewProjection(o.store, o.local, 0)
	if err := again.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		p.wantModel(again, "anew")
	}
}
