package batch_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

func TestBadBatchesAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p := o.product(batch.Pool{})
	other := o.product(batch.Pool{})
	o.batch(p, "taken", 1)
	for _, c := range []struct {
		name string
		edit func(s *batch.BatchSpec)
		want string
		kind fault.Kind
	}{
		{"quantity 0", func(s *batch.BatchSpec) { s.Quantity = 0 }, "quantity.too_small", fault.Invalid},
		{"quantity -1", func(s *batch.BatchSpec) { s.Quantity = -1 }, "quantity.too_small", fault.Invalid},
		{"quantity 10^10+1", func(s *batch.BatchSpec) { s.Quantity = 10_000_000_001 }, "quantity.too_large", fault.Invalid},
		{"quantity 1,000,001", func(s *batch.BatchSpec) { s.Quantity = 1_000_001 }, "generate: quantity.too_large", fault.Invalid},
		{"unknown product", func(s *batch.BatchSpec) { s.ProductID = 99 }, "product.unknown", fault.NotFound},
		{"unknown brand", func(s *batch.BatchSpec) { s.BrandID = 99 }, "brand.unknown", fault.NotFound},
		{"another brand's product", func(s *batch.BatchSpec) { s.BrandID = other.BrandID }, "product.other_brand", fault.Invalid},
		{"no batch_no", func(s *batch.BatchSpec) { s.No = "" }, "input.empty", fault.Invalid},
		{"blank batch_no", func(s *batch.BatchSpec) { s.No = " \u3000" }, "input.empty", fault.Invalid},
		{"batch_no of 65 bytes", func(s *batch.BatchSpec) { s.No = strings.Repeat("x", 65) }, "input.too_long", fault.Invalid},
		{"batch_no of 66 bytes in 22 characters", func(s *batch.BatchSpec) { s.No = strings.Repeat("批", 22) }, "input.too_long", fault.Invalid},
		{"batch_no with a line end", func(s *batch.BatchSpec) { s.No = "a\nb" }, "input.bad_text", fault.Invalid},
		{"batch_no with NUL", func(s *batch.BatchSpec) { s.No = "a\x00" }, "input.bad_text", fault.Invalid},
		{"batch_no that is no UTF-8", func(s *batch.BatchSpec) { s.No = "a\xff" }, "input.bad_text", fault.Invalid},
		{"batch_no taken", func(s *batch.BatchSpec) { s.No = "taken" }, "batch.exists", fault.Conflict},
		{"expiry in the past", func(s *batch.BatchSpec) { s.ExpiresAt = batchtest.Start().Add(-time.Second) }, "batch.bad_expiry", fault.Invalid},
		{"expiry now", func(s *batch.BatchSpec) { s.ExpiresAt = batchtest.Start() }, "batch.bad_expiry", fault.Invalid},
		{"expire_hours -1", func(s *batch.BatchSpec) { s.ExpireHours = -1 }, "batch.bad_expiry", fault.Invalid},
		{"expire_hours of ages", func(s *batch.BatchSpec) { s.ExpireHours = 1 << 30 }, "batch.bad_expiry", fault.Invalid},
		{"two expiries", func(s *batch.BatchSpec) { s.ExpireHours, s.ExpiresAt = 5, batchtest.Start().Add(time.Hour) }, "batch.bad_expiry", fault.Invalid},
		{"rotation of 1s", func(s *batch.BatchSpec) { s.RotateEvery = time.Second }, "rotate.bad_period", fault.Invalid},
		{"rotation of -1h", func(s *batch.BatchSpec) { s.RotateEvery = -time.Hour }, "rotate.bad_period", fault.Invalid},
		{"rotation with a fraction", func(s *batch.BatchSpec) { s.RotateEvery = time.Hour + time.Millisecond }, "rotate.bad_period", fault.Invalid},
		{"rotation of ages", func(s *batch.BatchSpec) { s.RotateEvery = batch.RotateMax + time.Second }, "rotate.bad_period", fault.Invalid},
		{"unknown mark", func(s *batch.BatchSpec) { s.Mark = "engraved" }, "batch.bad_mark", fault.Invalid},
		{"bad production date", func(s *batch.BatchSpec) { s.ProductionDate = "2026-02-30" }, "batch.bad_date", fault.Invalid},
		{"description too long", func(s *batch.BatchSpec) { s.Description = strings.Repeat("x", 4097) }, "input.too_long", fault.Invalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := batch.BatchSpec{ProductID: p.ID, No: "new", Quantity: 10}
			c.edit(&spec)
			heads := o.heads()
			want, onlyGenerate := strings.CutPrefix(c.want, "generate: ")
			_, _, err := o.Generate(t.Context(), anon(), spec)
			wantCode(t, err, want)
			if fault.KindOf(err) != c.kind {
				t.Errorf("kind %s, want %s", fault.KindOf(err), c.kind)
			}
			if !onlyGenerate {
				_, _, err = o.CreateBatch(t.Context(), anon(), spec)
				wantCode(t, err, want)
			}
			if o.heads() != heads {
				t.Error("a refused batch left something behind")
			}
		})
	}
	if len(o.tasks.Woken()) != 0 {
		t.Error("a task was woken for a refused batch")
	}
}

func TestBadProductsAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	brand, _, err := o.CreateBrand(t.Context(), anon(), "Tea house")
	o.must(err)
	pool := batch.Pool{Target: 100, BatchQuantity: 100}
	for _, c := range []struct {
		name string
		edit func(p *batch.Product)
		gtin string
		want string
	}{
		{"good", func(*batch.Product) {}, "09506000134352", ""},
		{"good pool", func(p *batch.Product) { p.Pool = pool }, "", ""},
		{"check digit", func(*batch.Product) {}, "09506000134353", "gs1.bad_gtin"},
		{"gtin with a letter", func(*batch.Product) {}, "0950600013435X", "gs1.bad_gtin"},
		{"gtin of 9 digits", func(*batch.Product) {}, "095060001", "gs1.bad_gtin"},
		{"no name", func(p *batch.Product) { p.Name = "" }, "", "input.empty"},
		{"name of 257 bytes", func(p *batch.Product) { p.Name = strings.Repeat("x", 257) }, "", "input.too_long"},
		{"help with NUL", func(p *batch.Product) { p.Help = "\x00" }, "", "input.bad_text"},
		{"unknown brand", func(p *batch.Product) { p.BrandID = 99 }, "", "brand.unknown"},
		{"pool target -1", func(p *batch.Product) { p.Pool.Target = -1 }, "", "pool.bad_target"},
		{"pool without target", func(p *batch.Product) { p.Pool.BatchQuantity = 5 }, "", "pool.bad_target"},
		{"pool quantity -1", func(p *batch.Product) { p.Pool = pool; p.Pool.BatchQuantity = -1 }, "", "pool.bad_quantity"},
		{"pool rotation", func(p *batch.Product) { p.Pool = pool; p.Pool.RotateEvery = 1 }, "", "rotate.bad_period"},
		{"pool mark", func(p *batch.Product) { p.Pool = pool; p.Pool.Mark = "x" }, "", "batch.bad_mark"},
		{"pool expiry", func(p *batch.Product) { p.Pool = pool; p.Pool.ExpireHours = -1 }, "", "batch.bad_expiry"},
	} {
		p := batch.Product{BrandID: brand.ID, Name: "tea"}
		c.edit(&p)
		_, _, err := o.CreateProduct(t.Context(), anon(), p, c.gtin)
		if got := codeOf(err); got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
	}
	_, _, err = o.CreateBrand(t.Context(), anon(), "\t")
	wantCode(t, err, "input.empty")
}

// TestBadStateChangesAreRefused pins that a refused change changes nothing.
func TestBadStateChangesAreRefused(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p, other := o.product(batch.Pool{}), o.product(batch.Pool{})
	b, foreign := o.batch(p, "lot", 1000), o.batch(other, "lot", 10)
	o.move(b, 1, 1000, "active")
	sold := o.move(b, 1, 10, "retail_sold")
	elsewhere := o.move(foreign, 1, 10, "active")
	none, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{
		Select: batch.Selection{BatchID: foreign.ID}, To: "encoded", Reason: "moves nothing",
	})
	o.must(err)
	run := func(from, to int64) batch.Selection { return batch.Selection{BatchID: b.ID, From: from, To: to} }
	heads := o.heads()
	for _, c := range []struct {
		name string
		spec batch.StateSpec
		want string
	}{
		{"no selection", batch.StateSpec{To: "void"}, "select.empty"},
		{"two forms", batch.StateSpec{Select: batch.Selection{BatchID: b.ID, Codes: o.codes(b, 1)}, To: "void"}, "select.two"},
		{"numbers without a batch", batch.StateSpec{Select: batch.Selection{Codes: o.codes(b, 1), From: 1}, To: "void"}, "select.no_batch"},
		{"100,001 codes", batch.StateSpec{Select: batch.Selection{Codes: slices.Repeat(o.codes(b, 1), 100_001)}, To: "void"}, "select.too_many"},
		{"reversed", batch.StateSpec{Select: run(5, 4), To: "void"}, "select.bad_range"},
		{"from -1", batch.StateSpec{Select: run(-1, 4), To: "void"}, "select.bad_range"},
		{"beyond the end", batch.StateSpec{Select: run(1, 1001), To: "void"}, "select.bad_range"},
		{"unknown batch", batch.StateSpec{Select: batch.Selection{BatchID: ids.BatchID(ids.New("bat"))}, To: "void"}, "batch.unknown"},
		{"no batch's id", batch.StateSpec{Select: batch.Selection{BatchID: "1 OR 1=1"}, To: "void"}, "batch.unknown"},
		{"malformed code", batch.StateSpec{Select: batch.Selection{Codes: []string{o.code(b, 1), "12345678901234567x"}}, To: "void"}, "code.malformed"},
		{"short code", batch.StateSpec{Select: batch.Selection{Codes: []string{"1"}}, To: "void"}, "code.malformed"},
		{"full-width digits", batch.StateSpec{Select: batch.Selection{Codes: []string{strings.Repeat("１", 6)}}, To: "void"}, "code.malformed"},
		{"two brands", batch.StateSpec{Select: batch.Selection{Codes: []string{o.code(b, 1), o.code(foreign, 1)}}, To: "void"}, "select.two_brands"},
		{"unknown state", batch.StateSpec{Select: run(1, 1), To: "broken"}, "state.unknown"},
		{"no state", batch.StateSpec{Select: run(1, 1)}, "state.unknown"},
		{"state in capitals", batch.StateSpec{Select: run(1, 1), To: "VOID"}, "state.unknown"},
		{"place with a line end", batch.StateSpec{Select: run(1, 1), To: "void", Place: "a\nb"}, "input.bad_text"},
		{"undo of no change's id", batch.StateSpec{Select: run(1, 1), Reverts: "chg"}, "change.unknown"},
		{"undo of an unknown change", batch.StateSpec{Select: run(1, 1), Reverts: ids.ChangeID(ids.New("chg"))}, "change.unknown"},
		{"undo of another brand's change", batch.StateSpec{Select: run(1, 1), Reverts: elsewhere.ID}, "change.unknown"},
		{"the same by codes", batch.StateSpec{Select: batch.Selection{Codes: o.codes(b, 1)}, Reverts: elsewhere.ID}, "change.unknown"},
		{"undo of what moved nothing", batch.StateSpec{Reverts: none.ID}, "change.empty"},
		{"strict against the table", batch.StateSpec{Select: run(1, 20), To: "in_transit", Strict: true}, "state.refused"},
		{"strict undo of what it did not do", batch.StateSpec{Select: run(1, 20), Reverts: sold.ID, Strict: true}, "state.refused"},
		{"strict with an unknown code", batch.StateSpec{Select: batch.Selection{Codes: []string{o.code(b, 20), "000000000000000000"}}, To: "void", Strict: true}, "state.refused"},
		{"strict with only unknown codes", batch.StateSpec{Select: batch.Selection{Codes: []string{"000000000000000000"}}, To: "void", Strict: true}, "state.refused"},
	} {
		c.spec.Reason = "test"
		_, _, err := o.ChangeState(t.Context(), anon(), c.spec)
		if got := codeOf(err); got != c.want {
			t.Errorf("%s: %q (%v), want %q", c.name, got, err, c.want)
		}
	}
	for _, reason := range []string{"", " ", "a\x00", strings.Repeat("x", 257)} {
		_, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Select: run(1, 1), To: "void", Reason: reason})
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("reason %.10q: %v", reason, err)
		}
	}
	if o.heads() != heads {
		t.Error("a refused change left something behind")
	}
	o.wantStates(b, map[int64]string{1: "retail_sold", 10: "retail_sold", 11: "active", 20: "active", 1000: "active"})
}

// TestForbiddenItemsAreLeftAlone is the same without strict: what may move moves,
// the rest is listed with its state.
func TestForbiddenItemsAreLeftAlone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.batch(o.product(batch.Pool{}), "lot", 100)
	o.move(b, 1, 50, "active")
	o.move(b, 11, 12, "in_transit")
	o.move(b, 21, 30, "void")
	c := o.move(b, 1, 60, "in_transit")
	want := []batch.Refused{
		{Batch: b.First, State: gs1.Encoded, Numbers: batch.Runs{{From: 51, To: 60}}},
		{Batch: b.First, State: gs1.Void, Numbers: batch.Runs{{From: 21, To: 30}}},
	}
	if diff := cmp.Diff(want, c.Refused); diff != "" || c.Items != 38 || c.Unchanged != 2 {
		t.Errorf("%d items, %d unchanged, refused (-want +got):\n%s", c.Items, c.Unchanged, diff)
	}
	o.wantStates(b, map[int64]string{1: "in_transit", 20: "in_transit", 21: "void", 30: "void", 31: "in_transit", 51: "encoded", 100: "encoded"})

	unknown := "000000000000000000"
	c, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{
		Select: batch.Selection{Codes: []string{unknown, o.code(b, 1), o.code(b, 1), o.code(b, 100)}}, To: "in_transit", Reason: "test",
	})
	o.must(err)
	if c.Items != 0 || c.Unchanged != 1 || len(c.Refused) != 2 || c.Refused[0].State != 0 || c.Refused[0].Numbers.Count() != 1 {
		t.Errorf("by codes: %+v", c)
	}
	c, replayed, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Select: batch.Selection{Codes: []string{unknown}}, To: "void", Reason: "test"})
	if err != nil || replayed || c.ID != "" || len(c.Refused) != 1 {
		t.Errorf("only unknown codes: %+v, %v", c, err)
	}
}

func TestUndoOfEverythingThatAChangeDid(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p := o.product(batch.Pool{})
	a, b := o.batch(p, "a", 10_000), o.batch(p, "b", 10)
	o.move(a, 1, 5000, "active")
	o.move(a, 10, 10, "stolen")
	recall, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{
		Select: batch.Selection{Codes: append(o.codes(a, 1, 2, 3, 9000, 10), o.codes(b, 1)...)}, To: "recalled", Reason: "lot",
	})
	o.must(err)
	o.move(a, 3, 3, "destroyed") // after it, and only possible because of it or anyway
	undo, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Reverts: recall.ID, Reason: "was another lot"})
	o.must(err)
	if undo.To != 0 || undo.Reverts != recall.ID || undo.Items != 5 || undo.Unchanged != 1 || len(undo.Refused) != 0 {
		t.Errorf("undo: %+v", undo)
	}
	o.wantStates(a, map[int64]string{1: "active", 2: "active", 3: "destroyed", 10: "stolen", 9000: "encoded"})
	o.wantStates(b, map[int64]string{1: "encoded"})
	steps, err := o.CodeHistory(t.Context(), o.code(a, 10))
	o.must(err)
	var kinds []string
	for _, s := range steps {
		kinds = append(kinds, s.Kind)
	}
	if diff := cmp.Diff([]string{"active", "stolen", "recalled", "stolen"}, kinds); diff != "" {
		t.Errorf("history of number 10 (-want +got):\n%s", diff)
	}
	again, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Reverts: undo.ID, To: "recalled", Reason: "was this lot"})
	o.must(err)
	if again.Items != 5 || len(again.Refused) != 1 { // number 3 would come back to destroyed, not to recalled
		t.Errorf("undo of the undo: %+v", again)
	}
	o.wantStates(a, map[int64]string{1: "recalled", 3: "destroyed", 10: "recalled", 9000: "recalled"})
}

// TestRetriesGetTheSameAnswer asks again when the world has moved on: the answer
// must still be that of the first time.
func TestRetriesGetTheSameAnswer(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p := o.product(batch.Pool{})
	ctx := t.Context()
	t.Run("CreateBatch", func(t *testing.T) {
		spec := batch.BatchSpec{ProductID: p.ID, No: "short-lived", Quantity: 10, ExpiresAt: batchtest.Start().Add(time.Hour)}
		first, _, err := o.CreateBatch(ctx, keyed(1), spec)
		o.must(err)
		o.setClock(batchtest.Start().Add(2 * time.Hour)) // it has expired since
		again, replayed, err := o.CreateBatch(ctx, keyed(1), spec)
		o.must(err)
		if diff := cmp.Diff(first, again); diff != "" || !replayed {
			t.Errorf("replayed %v (-first +again):\n%s", replayed, diff)
		}
	})
	t.Run("Generate", func(t *testing.T) {
		now := batchtest.Start().Add(3 * time.Hour)
		o.setClock(now)
		spec := batch.BatchSpec{ProductID: p.ID, No: "generated", Quantity: 10, ExpiresAt: now.Add(time.Hour)}
		first, _, err := o.Generate(ctx, keyed(2), spec)
		o.must(err)
		o.setClock(now.Add(2 * time.Hour))
		again, replayed, err := o.Generate(ctx, keyed(2), spec)
		o.must(err)
		if first != again || !replayed {
			t.Errorf("task %s, then %s, replayed %v", first, again, replayed)
		}
	})
	b := o.batch(p, "lot", 1000)
	t.Run("ChangeState", func(t *testing.T) {
		spec := batch.StateSpec{Select: batch.Selection{BatchID: b.ID, From: 1, To: 100}, To: "active", Reason: "test", Strict: true}
		first, _, err := o.ChangeState(ctx, keyed(3), spec)
		o.must(err)
		o.move(b, 1, 100, "void") // now nothing may become active
		again, replayed, err := o.ChangeState(ctx, keyed(3), spec)
		o.must(err)
		if diff := cmp.Diff(first, again); diff != "" || !replayed {
			t.Errorf("replayed %v (-first +again):\n%s", replayed, diff)
		}
		o.wantStates(b, map[int64]string{1: "void", 100: "void"})
	})
	t.Run("Reissue", func(t *testing.T) {
		first, _, err := o.Reissue(ctx, keyed(4), o.code(b, 500), "worn")
		o.must(err)
		_, _, err = o.Reissue(ctx, anon(), o.code(b, 500), "worn")
		o.must(err)
		again, replayed, err := o.Reissue(ctx, keyed(4), o.code(b, 500), "worn")
		o.must(err)
		if first != 2 || again != 2 || !replayed {
			t.Errorf("version %d, then %d, replayed %v", first, again, replayed)
		}
	})
	t.Run("ReturnClaim", func(t *testing.T) {
		c, err := o.Claim(ctx, anon(), b.ID, 100, "line")
		o.must(err)
		_, _, err = o.ReturnClaim(ctx, keyed(5), b.ID, c.ID, 200-99)
		wantCode(t, err, "claim.bad_range")
		_, _, err = o.ReturnClaim(ctx, keyed(5), b.ID, c.ID, 1)
		wantCode(t, err, "claim.in_use") // 1..100 were changed
		d, err := o.Claim(ctx, anon(), b.ID, 100, "line")
		o.must(err)
		first, _, err := o.ReturnClaim(ctx, keyed(5), b.ID, d.ID, 151)
		o.must(err)
		o.move(b, 151, 160, "active")
		again, replayed, err := o.ReturnClaim(ctx, keyed(5), b.ID, d.ID, 151)
		o.must(err)
		if diff := cmp.Diff(first, again); diff != "" || !replayed {
			t.Errorf("replayed %v (-first +again):\n%s", replayed, diff)
		}
	})
}

func TestUnknownIdsAreSaid(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	b := o.batch(o.product(batch.Pool{}), "lot", 10)
	for _, id := range []ids.BatchID{"", "bat_", ids.BatchID(ids.New("bat")), ids.BatchID(ids.New("clm")), "bat_'; DROP TABLE batches; --"} {
		_, err := o.Batch(ctx, id)
		wantCode(t, err, "batch.unknown")
		_, err = o.View(ctx, id)
		wantCode(t, err, "batch.unknown")
		_, err = o.Claim(ctx, anon(), id, 1, "line")
		wantCode(t, err, "batch.unknown")
		_, _, err = o.Export(ctx, anon(), id, batch.Run{}, batch.FileSpec{}, false)
		wantCode(t, err, "batch.unknown")
	}
	for _, id := range []ids.ClaimID{"", ids.ClaimID(ids.New("clm")), ids.ClaimID(b.ID)} {
		_, _, err := o.ReturnClaim(ctx, anon(), b.ID, id, 1)
		wantCode(t, err, "claim.unknown")
	}
	for code, want := range map[string]string{
		"000000000000000000": "code.unknown", "00000000000000000": "code.malformed", "": "code.malformed", "00000000000000000a": "code.malformed",
	} {
		_, err := o.ViewCode(t.Context(), code)
		wantCode(t, err, want)
		_, _, err = o.Reissue(ctx, anon(), code, "")
		wantCode(t, err, want)
		_, err = o.Link(t.Context(), code)
		wantCode(t, err, want)
		_, err = o.CodeHistory(ctx, code)
		wantCode(t, err, want)
	}
}

// TestTaskIsWokenAlsoWhenTheCallerHasGone pins that a task which is committed does
// not wait for the next start: no caller can cancel its waking.
func TestTaskIsWokenAlsoWhenTheCallerHasGone(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	p := o.product(batch.Pool{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	generated, _, err := o.Generate(ctx, anon(), batch.BatchSpec{ProductID: p.ID, No: "generated", Quantity: 20_000})
	o.must(err)
	b := o.batch(p, "lot", 100_000)
	claimed, err := o.Claim(ctx, anon(), b.ID, 20_000, "line")
	o.must(err)
	exported, _, err := o.Export(ctx, anon(), b.ID, batch.Run{}, batch.FileSpec{}, false)
	o.must(err)
	if diff := cmp.Diff([]ids.TaskID{generated, claimed.TaskID, exported}, o.tasks.Woken()); diff != "" {
		t.Errorf("woken (-want +got):\n%s", diff)
	}
	if n := o.tasks.Cancellable(); n != 0 {
		t.Errorf("%d of them under a context that the caller may cancel", n)
	}
}

// changesTold reads the state changes that the outbox tells of.
func (o *office) changesTold() (all []batchevent.StateChanged) {
	o.t.Helper()
	events, _, err := outbox.New(sqldb.One(o.db)).Read(o.t.Context(), outbox.Cursor{}, 100_000)
	o.must(err)
	for _, e := range events {
		if e.Type == batchevent.CodeStateChanged {
			var c batchevent.StateChanged
			o.must(unmarshal(e.Data, &c))
			all = append(all, c)
		}
	}
	return all
}

func TestEventsTellOfEveryItem(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.batch(o.product(batch.Pool{}), "lot", 1_000_000)
	list := make([]int64, 0, 2500)
	for i := range int64(2500) {
		list = append(list, 3*i+1)
	}
	o.move(b, 500_000, 600_000, "active")
	_, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Select: batch.Selection{Codes: o.codes(b, list...)}, To: "active", Reason: "test"})
	o.must(err)
	told := o.changesTold()
	if len(told) != 4 || len(told[0].Runs) != 1 || told[0].Runs[0] != (batchevent.Run{From: 500_000, To: 600_000}) {
		t.Fatalf("%d events, the first %+v; want the run and three of codes", len(told), told[0])
	}
	var codes []string
	for _, e := range told[1:] {
		if len(e.Codes) > 1000 || e.Partial || e.Kind != "active" || e.BatchID != string(b.ID) {
			t.Errorf("event with %d codes: %+v", len(e.Codes), e)
		}
		codes = append(codes, e.Codes...)
	}
	want := o.codes(b, list...)
	slices.Sort(want)
	slices.Sort(codes)
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("codes (-want +got):\n%s", diff)
	}
}

// TestEventsSayWhenTheyDoNotTellAll covers both ways to have too much to tell: one
// batch with very many items, and very many batches.
func TestEventsSayWhenTheyDoNotTellAll(t *testing.T) {
	t.Parallel()
	t.Run("one batch", func(t *testing.T) {
		o := newOffice(t)
		b := o.batch(o.product(batch.Pool{}), "lot", 1_000_000)
		list := make([]int64, 100_000)
		for i := range list {
			list[i] = int64(3*i + 1)
		}
		c, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Select: batch.Selection{Codes: o.codes(b, list...)}, To: "active", Reason: "test"})
		o.must(err)
		told := o.changesTold()
		if c.Items != 100_000 || len(told) > 150 || !told[len(told)-1].Partial || told[len(told)-1].ChangeID != string(c.ID) {
			t.Errorf("%d items, %d events, the last %+v", c.Items, len(told), told[len(told)-1])
		}
	})
	t.Run("many batches", func(t *testing.T) {
		o := newOffice(t)
		p := o.product(batch.Pool{})
		var codes []string
		for i := range 160 {
			codes = append(codes, o.code(o.batch(p, fmt.Sprint(i), 1), 1))
		}
		c, _, err := o.ChangeState(t.Context(), anon(), batch.StateSpec{Select: batch.Selection{Codes: codes}, To: "active", Reason: "test"})
		o.must(err)
		told := o.changesTold()
		if c.Items != 160 || len(told) != 150 || !told[149].Partial {
			t.Errorf("%d items, %d events, the last %+v", c.Items, len(told), told[len(told)-1])
		}
	})
}
