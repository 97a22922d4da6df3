package batch_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/task"
)

func unmarshal(raw []byte, into any) error { return json.Unmarshal(raw, into) }

func TestClaimRules(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	b := o.batch(o.product(batch.Pool{}), "lot", 50_000)
	for _, c := range []struct {
		quantity int64
		claimant string
		want     string
	}{
		{0, "line", "quantity.too_small"}, {-1, "line", "quantity.too_small"}, {batch.BatchMax + 1, "line", "quantity.too_large"},
		{1, "", "input.empty"}, {1, "a\nb", "input.bad_text"}, {1, strings.Repeat("x", 257), "input.too_long"}, {50_001, "line", "batch.exhausted"},
	} {
		_, err := o.Claim(ctx, anon(), b.ID, c.quantity, c.claimant)
		wantCode(t, err, c.want)
	}
	small, err := o.Claim(ctx, anon(), b.ID, batch.ClaimCodesInline, "line")
	o.must(err)
	if small.TaskID != "" || small.From != 1 || small.To != 10_000 {
		t.Errorf("10,000 numbers: %+v; want them without a task", small)
	}
	large, err := o.Claim(ctx, keyed(1), b.ID, batch.ClaimCodesInline+1, "line")
	o.must(err)
	made, err := task.Find(ctx, o.db.Reader(), large.TaskID)
	o.must(err)
	var job batch.FileJob
	o.must(json.Unmarshal(made.Payload, &job))
	if made.Total != 10_001 || len(job.Runs) != 1 || job.Runs[0] != (batch.Run{From: 10_001, To: 20_001}) || !slices.Equal(o.tasks.Woken(), []ids.TaskID{large.TaskID}) {
		t.Errorf("10,001 numbers: task of %d, %+v, woken %v", made.Total, job, o.tasks.Woken())
	}
	again, err := o.Claim(ctx, keyed(1), b.ID, batch.ClaimCodesInline+1, "line")
	o.must(err)
	large.Replayed = true
	if diff := cmp.Diff(large, again); diff != "" {
		t.Errorf("the same claim again (-first +again):\n%s", diff)
	}
	if woken := o.tasks.Woken(); !slices.Equal(woken, []ids.TaskID{large.TaskID, large.TaskID}) {
		t.Errorf("the same claim again has woken %v", woken)
	}
}

func TestReturnsOnlyWhatWasNotUsed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	b := o.batch(o.product(batch.Pool{}), "lot", 1000)
	c, err := o.Claim(ctx, anon(), b.ID, 100, "line")
	o.must(err)
	refused := func(from int64, want string) {
		t.Helper()
		_, _, err := o.ReturnClaim(ctx, anon(), b.ID, c.ID, from)
		wantCode(t, err, want)
	}
	refused(0, "claim.bad_range")
	refused(101, "claim.bad_range")
	o.scans.Scan(b.Serial(40))
	refused(40, "claim.in_use")
	refused(1, "claim.in_use")
	change := o.move(b, 60, 60, "active")
	refused(41, "claim.in_use")
	_, _, err = o.Reissue(ctx, anon(), o.code(b, 70), "")
	o.must(err)
	refused(61, "claim.in_use")
	left, _, err := o.ReturnClaim(ctx, anon(), b.ID, c.ID, 71)
	o.must(err)
	if left.To != 70 {
		t.Errorf("holds up to %d, want 70", left.To)
	}
	_, _, err = o.ChangeState(ctx, anon(), batch.StateSpec{Reverts: change.ID, Reason: "test"})
	o.must(err)
	refused(65, "claim.in_use") // the reissued one
	o.scans.Err = errors.New("the log cannot be read")
	if _, _, err := o.ReturnClaim(ctx, anon(), b.ID, c.ID, 70); err == nil {
		t.Error("numbers went back though nobody knows whether they were scanned")
	}
	v, err := o.View(ctx, b.ID)
	o.must(err)
	if v.Unclaimed != 930 {
		t.Errorf("%d unclaimed, want 930", v.Unclaimed)
	}
}

func TestExportCoversWhatIsClaimed(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	b := o.batch(o.product(batch.Pool{}), "lot", 100_000)
	_, _, err := o.Export(ctx, anon(), b.ID, batch.Run{}, batch.FileSpec{}, false)
	wantCode(t, err, "export.nothing")
	c, err := o.Claim(ctx, anon(), b.ID, 1000, "line")
	o.must(err)
	_, _, err = o.ReturnClaim(ctx, anon(), b.ID, c.ID, 501)
	o.must(err)
	for _, e := range []struct {
		name      string
		within    batch.Run
		unclaimed bool
		want      batch.Runs
	}{
		{"all that is claimed", batch.Run{}, false, batch.Runs{{From: 1, To: 500}}},
		{"a part", batch.Run{From: 400, To: 600}, false, batch.Runs{{From: 400, To: 500}}},
		{"the rest too", batch.Run{From: 400, To: 2000}, true, batch.Runs{{From: 400, To: 2000}}},
		{"what is claimed by now", batch.Run{}, false, batch.Runs{{From: 1, To: 2000}}},
	} {
		id, _, err := o.Export(ctx, anon(), b.ID, e.within, batch.FileSpec{}, e.unclaimed)
		o.must(err)
		made, err := task.Find(ctx, o.db.Reader(), id)
		o.must(err)
		var job batch.FileJob
		o.must(json.Unmarshal(made.Payload, &job))
		if diff := cmp.Diff(e.want, job.Runs); diff != "" || made.Total != e.want.Count() || (len(job.Release) > 0) != e.unclaimed {
			t.Errorf("%s: total %d, release %v, runs (-want +got):\n%s", e.name, made.Total, job.Release, diff)
		}
	}
	for _, e := range []struct {
		within batch.Run
		spec   batch.FileSpec
		want   string
	}{
		{batch.Run{From: 5, To: 4}, batch.FileSpec{}, "select.bad_range"}, {batch.Run{From: 1, To: 100_001}, batch.FileSpec{}, "select.bad_range"},
		{batch.Run{}, batch.FileSpec{Format: "xls"}, "export.bad_format"}, {batch.Run{}, batch.FileSpec{Layout: "a5"}, "export.bad_layout"},
		{batch.Run{}, batch.FileSpec{Link: "long"}, "export.bad_link"}, {batch.Run{}, batch.FileSpec{Link: "gs1"}, "export.no_gtin"},
		{batch.Run{From: 1, To: 20_000}, batch.FileSpec{Format: batch.FormatLabels}, "export.too_many_labels"},
	} {
		_, _, err := o.Export(ctx, anon(), b.ID, e.within, e.spec, true)
		wantCode(t, err, e.want)
	}
	v, err := o.View(ctx, b.ID)
	o.must(err)
	if v.Unclaimed != 98_000 {
		t.Errorf("%d unclaimed, want 98,000: a refused export claims nothing", v.Unclaimed)
	}
}

func (o *office) free(p batch.Product) (free int64, batches int) {
	o.t.Helper()
	candidates, free, err := o.store.PoolCandidates(o.t.Context(), p.ID, 1, time.UnixMicro(o.micros.Load()))
	o.must(err)
	return free, len(candidates)
}

func TestPoolKeepsItsTarget(t *testing.T) {
	t.Parallel()
	var filled int64
	s := newSetting(t)
	s.config.Filled = func(brand ids.BrandID, codes int64, err error) {
		if filled += codes; brand == 0 || err != nil {
			t.Errorf("brand %d, %v", brand, err)
		}
	}
	o := s.open(t)
	t.Cleanup(o.close)
	ctx := t.Context()
	p := o.product(batch.Pool{Target: 100, BatchQuantity: 60, ExpireHours: 10, RotateEvery: time.Hour, Mark: batch.Display, InnerCode: true})
	first, err := o.ClaimFromPool(ctx, anon(), p.ID, 10, "line")
	o.must(err)
	if free, n := o.free(p); free < 100 || free >= 160 || n != 2 || filled != 120 {
		t.Errorf("after the first claim %d numbers in %d batches are ready, %d were told, want 110 in 2 and 120", free, n, filled)
	}
	b, err := o.store.Batch(ctx, first.BatchID)
	o.must(err)
	if b.Mark != batch.Display || b.RotateEvery != time.Hour || b.InnerKeyID != batchtest.InnerKey || !b.ExpiresAt.Equal(batchtest.Start().Add(10*time.Hour)) ||
		!strings.HasPrefix(b.No, "POOL-20260301-") {
		t.Errorf("the pool's batch: %+v", b)
	}
	o.setClock(batchtest.Start().Add(time.Hour))
	for range 40 {
		_, err := o.ClaimFromPool(ctx, anon(), p.ID, 7, "line")
		o.must(err)
		if free, _ := o.free(p); free < 100 || free >= 160 {
			t.Fatalf("%d numbers are ready, want 100 to 159", free)
		}
	}
	o.setClock(batchtest.Start().Add(1000 * time.Hour)) // all have expired
	if free, _ := o.free(p); free != 0 {
		t.Fatalf("%d numbers of expired batches are ready", free)
	}
	_, err = o.ClaimFromPool(ctx, anon(), p.ID, 1, "line")
	o.must(err)
	if free, _ := o.free(p); free < 100 {
		t.Errorf("%d numbers are ready, want 100", free)
	}
}

func TestPoolTakesTheNearestExpiry(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	p := o.product(batch.Pool{})
	add := func(no string, hours int32) batch.Batch {
		b, _, err := o.CreateBatch(ctx, anon(), batch.BatchSpec{ProductID: p.ID, No: no, Quantity: 10, ExpireHours: hours})
		o.must(err)
		return b
	}
	never, late, soon := add("never", 0), add("late", 50), add("soon", 5)
	for _, want := range []batch.Batch{soon, late, never} {
		c, err := o.ClaimFromPool(ctx, anon(), p.ID, 10, "line")
		o.must(err)
		if c.BatchID != want.ID {
			t.Errorf("claimed of another batch than %s", want.No)
		}
	}
	_, err := o.ClaimFromPool(ctx, anon(), p.ID, 1, "line")
	wantCode(t, err, "batch.exhausted") // no target: nothing is made
	for _, c := range []struct {
		product  ids.ProductID
		quantity int64
		claimant string
		want     string
	}{{99, 1, "line", "product.unknown"}, {p.ID, 0, "line", "quantity.too_small"}, {p.ID, 1, "", "input.empty"}} {
		_, err := o.ClaimFromPool(ctx, anon(), c.product, c.quantity, c.claimant)
		wantCode(t, err, c.want)
	}
}

// TestPoolServesABlockThoughItsNumbersAreScattered pins that a pool which has its
// target in small pieces still gives what one of its batches can give.
func TestPoolServesABlockThoughItsNumbersAreScattered(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	p := o.product(batch.Pool{Target: 100, BatchQuantity: 100})
	first, err := o.ClaimFromPool(ctx, anon(), p.ID, 40, "line")
	o.must(err)
	candidates, _, err := o.store.PoolCandidates(ctx, p.ID, 100, batchtest.Start())
	o.must(err)
	if len(candidates) != 1 || candidates[0] == first.BatchID {
		t.Fatalf("batches with a block of 100: %v, want the second", candidates)
	}
	_, err = o.Claim(ctx, anon(), candidates[0], 1, "line")
	o.must(err)
	if free, _ := o.free(p); free != 60+99 {
		t.Fatalf("%d numbers are ready, want 60 and 99", free)
	}
	for range 5 {
		c, err := o.ClaimFromPool(ctx, anon(), p.ID, 100, "line")
		o.must(err)
		if c.To-c.From+1 != 100 {
			t.Errorf("got %d..%d", c.From, c.To)
		}
	}
	_, err = o.ClaimFromPool(ctx, anon(), p.ID, 101, "line")
	wantCode(t, err, "batch.exhausted")
}

func TestPoolRetriesGetTheSameBlock(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	ctx := t.Context()
	p := o.product(batch.Pool{Target: 10, BatchQuantity: 10, ExpireHours: 5})
	first, err := o.ClaimFromPool(ctx, keyed(1), p.ID, 10, "line")
	o.must(err)
	first.Replayed = true
	for hour := range 3 { // the next batches of the pool are others
		o.setClock(batchtest.Start().Add(time.Duration(hour) * 7 * time.Hour))
		_, err = o.ClaimFromPool(ctx, anon(), p.ID, 10, "line")
		o.must(err)
		again, err := o.ClaimFromPool(ctx, keyed(1), p.ID, 10, "line")
		o.must(err)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("(-first +again):\n%s", diff)
		}
	}
}

// TestPoolUnderManyLines claims at once from one pool in two processes.
func TestPoolUnderManyLines(t *testing.T) {
	t.Parallel()
	at := newSetting(t)
	offices := []*office{at.open(t), setting{db: at.db, local: t.TempDir(), config: at.config}.open(t)}
	for _, o := range offices {
		defer o.close() //nolint:gocritic // they live as long as the test
	}
	const target, lines, each = 500, 12, 5
	p := offices[0].product(batch.Pool{Target: target, BatchQuantity: target})
	type held struct {
		batch ids.BatchID
		batch.Run
	}
	var mu sync.Mutex
	var all []held
	var total int64
	var wg sync.WaitGroup
	for i, o := range offices {
		for line := range lines {
			wg.Go(func() {
				for n := range each {
					quantity := int64(1 + (i*lines*each+line*each+n)*37%190)
					c, err := o.ClaimFromPool(t.Context(), anon(), p.ID, quantity, "line")
					if err != nil || c.To-c.From+1 != quantity {
						t.Errorf("asked for %d: %d..%d, %v", quantity, c.From, c.To, err)
						continue
					}
					mu.Lock()
					all = append(all, held{c.BatchID, batch.Run{From: c.From, To: c.To}})
					total += quantity
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b held) int {
		if a.batch != b.batch {
			return strings.Compare(string(a.batch), string(b.batch))
		}
		return int(a.From - b.From)
	})
	for i := 1; i < len(all); i++ {
		if all[i].batch == all[i-1].batch && all[i].From <= all[i-1].To {
			t.Fatalf("%v and %v overlap", all[i-1], all[i])
		}
	}
	free, _ := offices[0].free(p)
	issued := int64(0)
	batches, err := offices[0].store.ListBatches(t.Context(), p.ID, time.Now().Add(time.Hour), "", 10_000)
	offices[0].must(err)
	for _, b := range batches {
		issued += b.Quantity
	}
	if issued != free+total {
		t.Errorf("%d issued, %d claimed and %d free", issued, total, free)
	}
	if free < target || free >= 3*target { // scattered rests may lie beside the target
		t.Errorf("%d numbers are ready, want about %d: racing lines fill up once", free, target)
	}
}

// TestPoolThatCannotBeFilledStillAnswers pins that a claim which was made is
// answered, also when there is nothing to fill the pool with any more.
func TestPoolThatCannotBeFilledStillAnswers(t *testing.T) {
	t.Parallel()
	at := newSetting(t)
	at.config.Region = 9999 // a shard of it may issue 62,500 numbers
	o := at.open(t)
	defer o.close()
	limit := batch.ShardLimit(9999)
	p := o.product(batch.Pool{Target: limit, BatchQuantity: limit})
	c, err := o.ClaimFromPool(t.Context(), anon(), p.ID, 1000, "line")
	o.must(err)
	if c.To != 1000 {
		t.Errorf("claimed %d..%d", c.From, c.To)
	}
	_, err = o.ClaimFromPool(t.Context(), anon(), p.ID, limit, "line")
	wantCode(t, err, "batch.guess_bound")
	b, err := o.store.Batch(t.Context(), c.BatchID)
	o.must(err)
	if b.First.Region() != 9999 {
		t.Errorf("serial %d is of region %d", b.First, b.First.Region())
	}
	if _, ok := o.proj.Lookup(b.First); !ok {
		t.Error("the region's own serial is not known")
	}
	if _, ok := o.proj.Lookup(b.First - ids.Serial(ids.Shards)*ids.ShardCapacity*6); ok {
		t.Error("another region's serial is known")
	}
}
