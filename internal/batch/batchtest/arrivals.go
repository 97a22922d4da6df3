package batchtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// TestArrivals holds the store to batch.Arrivals, which every engine has.
func TestArrivals(t *testing.T, open Open) {
	t.Run("ProductsMadeLaterAreAboveTheHeads", func(t *testing.T) { productsArrive(t, open) })
	t.Run("BatchesAndTextsWithoutStates", func(t *testing.T) { catalogArrives(t, open) })
}

func arrivals(t *testing.T, w *world) batch.Arrivals {
	t.Helper()
	a, ok := w.Store.(batch.Arrivals)
	if !ok {
		t.Fatalf("%T is no batch.Arrivals", w.Store)
	}
	return a
}

func productsArrive(t *testing.T, open Open) {
	w := newWorld(t, open)
	a := arrivals(t, w)
	heads := func() []int64 {
		t.Helper()
		all, err := a.ProductHeads(t.Context())
		w.must(err)
		return all
	}
	read := func(from []int64) (all []batch.Product) {
		t.Helper()
		for order, at := range from {
			for {
				page, err := a.ProductsSince(t.Context(), order, at, 2)
				w.must(err)
				for _, p := range page {
					if int64(p.ID) <= at || int64(p.ID) > heads()[order] {
						t.Errorf("product %d behind %d, the head is %d", p.ID, at, heads()[order])
					}
					at = int64(p.ID)
				}
				all = append(all, page...)
				if len(page) < 2 {
					break
				}
			}
		}
		slices.SortFunc(all, func(a, b batch.Product) int { return int(a.ID - b.ID) })
		return all
	}
	want := []batch.Product{w.product}
	for n := range 4 {
		_, p := w.addProduct(fmt.Sprint("early ", n))
		want = append(want, p)
	}
	slices.SortFunc(want, func(a, b batch.Product) int { return int(a.ID - b.ID) })
	if diff := cmp.Diff(want, read(make([]int64, len(heads())))); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	before := heads()
	if got := read(before); len(got) != 0 {
		t.Errorf("behind the heads: %v", got)
	}
	want = nil
	for n := range 3 {
		_, p := w.addProduct(fmt.Sprint("late ", n))
		want = append(want, p)
	}
	slices.SortFunc(want, func(a, b batch.Product) int { return int(a.ID - b.ID) })
	if diff := cmp.Diff(want, read(before)); diff != "" {
		t.Errorf("made later (-want +got):\n%s", diff)
	}
}

func catalogArrives(t *testing.T, open Open) {
	w := newWorld(t, open)
	var all []batch.Batch
	name := "Assam"
	for n := range 3 {
		b := w.make(fmt.Sprint("lot ", n), 10)
		all = append(all, b)
		w.commit(batch.Change{
			ID: ids.ChangeID(ids.NewIn(w.shard(), "chg")), BrandID: w.brand.ID, To: gs1.RetailSold, Reason: "r", Actor: "a",
			Refused: []batch.Refused{{Batch: b.First, State: gs1.Void, Numbers: batch.Runs{{From: 1, To: 10}}}},
		})
		_, err := w.ChangeTexts(t.Context(), ids.Request{}, batch.TextChange{BrandID: w.brand.ID, ProductID: w.product.ID, Name: &name})
		w.must(err)
	}
	want := slices.DeleteFunc(w.feed(100), func(e batch.Entry) bool { return e.Kind != batch.BatchCreated && e.Kind != batch.TextsChanged })
	if len(want) != 2*len(all) {
		t.Fatalf("%d entries", len(want))
	}
	var got []batch.Entry
	for after := int64(0); ; after = got[len(got)-1].Seq {
		page, err := arrivals(t, w).CatalogSince(t.Context(), w.shard(), after, 4)
		w.must(err)
		got = append(got, page...)
		if len(page) < 4 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
