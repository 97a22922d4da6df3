package batch_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/ids"
)

// singlesModel keeps for each item of a brand when its state was last changed singly,
// and when its own record last changed.
type singlesModel struct{ state, record map[ids.Serial]time.Time }

// note applies a committed change: short runs name items, long ones pass over them.
func (m *singlesModel) note(c batch.Change) {
	var kept, whole batch.Runs // of the one batch that it is about
	for _, cover := range c.Covers {
		if whole = whole.Union(cover.Numbers); cover.By == batch.Kept {
			kept = cover.Numbers
		}
	}
	for _, cover := range c.Covers {
		for _, r := range whole {
			for no := r.From; no <= r.To; no++ {
				if kept.Contains(no) {
					continue
				}
				if serial := cover.Batch + ids.Serial(no-1); r.Len() < 1024 {
					m.state[serial] = c.Effective
				} else {
					delete(m.state, serial)
				}
			}
		}
	}
}

func (m *singlesModel) list(since time.Time) (all []batch.Single) {
	for serial := range m.record {
		if _, ok := m.state[serial]; !ok {
			m.state[serial] = time.Time{}
		}
	}
	for serial, at := range m.state {
		if own := m.record[serial]; own.After(at) {
			at = own
		}
		if !at.IsZero() && !at.Before(since) {
			all = append(all, batch.Single{Serial: serial, At: at})
		}
	}
	slices.SortFunc(all, func(a, b batch.Single) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.Serial, a.Serial))
	})
	return all
}

// listSingles reads the whole list by pages of random length.
func (o *office) listSingles(rng *rand.Rand, brand ids.BrandID, since time.Time) (all []batch.Single) {
	o.t.Helper()
	before, beforeSerial := batchtest.Start().AddDate(1, 0, 0), ids.Serial(0)
	for {
		limit := 1 + rng.IntN(400)
		page, err := o.Singles(o.t.Context(), brand, since, before, beforeSerial, limit)
		o.must(err)
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		before, beforeSerial = page[len(page)-1].At, page[len(page)-1].Serial
	}
}

func TestSinglesAgreeWithModel(t *testing.T) {
	t.Parallel()
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("-seed=%d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	o := newOffice(t)
	ours := o.product(batch.Pool{})
	other := o.product(batch.Pool{})
	batches := []batch.Batch{o.batch(ours, "a", 5000), o.batch(ours, "b", 3000), o.batch(other, "c", 2000)}
	models := map[ids.BrandID]*singlesModel{}
	for _, b := range batches {
		models[b.BrandID] = &singlesModel{map[ids.Serial]time.Time{}, map[ids.Serial]time.Time{}}
	}
	states := []string{"active", "in_transit", "active", "stolen", "returned", "retail_sold"}
	now := batchtest.Start()
	for range 150 {
		if rng.IntN(3) > 0 { // else at the same time as the one before
			now = now.Add(time.Duration(1+rng.IntN(5)) * time.Second)
			o.setClock(now)
		}
		b := batches[rng.IntN(len(batches))]
		m := models[b.BrandID]
		no := 1 + rng.Int64N(b.Quantity)
		spec := batch.StateSpec{To: states[rng.IntN(len(states))], Reason: "model"}
		switch rng.IntN(4) {
		case 0:
			_, _, err := o.Reissue(t.Context(), anon(), o.code(b, no), "model")
			o.must(err)
			m.record[b.Serial(no)] = now
			continue
		case 1:
			spec.Select = batch.Selection{BatchID: b.ID, From: no, To: min(b.Quantity, no+rng.Int64N(2500))}
		default:
			var list []int64
			for range 1 + rng.IntN(30) {
				list = append(list, 1+rng.Int64N(min(b.Quantity, 100)))
			}
			slices.Sort(list)
			spec.Select = batch.Selection{Codes: o.codes(b, slices.Compact(list)...)}
		}
		c, _, err := o.ChangeState(t.Context(), anon(), spec)
		o.must(err)
		m.note(c)
	}
	for brand, m := range models {
		for _, since := range []time.Time{{}, batchtest.Start().Add(now.Sub(batchtest.Start()) / 2)} {
			if diff := gocmp.Diff(m.list(since), o.listSingles(rng, brand, since)); diff != "" {
				t.Errorf("brand %d since %v (-want +got):\n%s", brand, since, diff)
			}
		}
	}
}
