package batchtest

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// Local runs the contract of batch.Local. open gives an empty store.
func Local(t *testing.T, open func(t *testing.T) batch.Local) {
	t.Run("FreshUntilTheFirstCheckpoint", func(t *testing.T) {
		l := open(t)
		must(t, l.PutItems(0, batch.Runs{{From: 1, To: 3}}, 5))
		if _, fresh, err := l.Load(); !fresh || err != nil {
			t.Errorf("without a checkpoint: fresh %v, %v", fresh, err)
		}
		want := batch.Standing{Positions: [ids.Shards]int64{3: 1 << 50, 15: 7}, AsOf: Start(),
			Settings: []batch.Settings{{BrandID: 7, Version: 2, MissesPerHour: 5, HidePlaces: true, Logo: "img_1.png", ChangedAt: Start()}}}
		must(t, l.Checkpoint(want, nil))
		got, fresh, err := l.Load()
		if diff := cmp.Diff(want, got); diff != "" || fresh || err != nil {
			t.Errorf("Load: fresh %v, %v (-want +got):\n%s", fresh, err, diff)
		}
	})
	t.Run("MissingIsNotAnError", func(t *testing.T) {
		l := open(t)
		if _, ok, err := l.Note(0, 1); ok || err != nil {
			t.Errorf("Note: %v, %v", ok, err)
		}
		if _, ok, err := l.ItemSeq(1); ok || err != nil {
			t.Errorf("ItemSeq: %v, %v", ok, err)
		}
		if _, ok, err := l.Extra(1); ok || err != nil {
			t.Errorf("Extra: %v, %v", ok, err)
		}
		snap, err := l.LoadBatch(1)
		if len(snap.Segments) != 0 || len(snap.Pages) != 0 || err != nil {
			t.Errorf("LoadBatch = %+v, %v", snap, err)
		}
	})
	t.Run("NotesAreReadableAtOnce", func(t *testing.T) { localNotes(t, open(t)) })
	t.Run("ItemsAreReadableAtOnce", func(t *testing.T) { localItems(t, open(t)) })
	t.Run("ExtrasAreReadableAtOnce", func(t *testing.T) {
		l := open(t)
		a := batch.Extra{Version: 65535, Superseded: []time.Time{Start(), Start().Add(time.Microsecond)}, InnerAt: Start().Add(time.Hour)}
		b := batch.Extra{Version: 1, InnerAt: Start()}
		must(t, l.PutExtra(7, batch.Extra{Version: 2}))
		must(t, l.PutExtra(7, a)) // the last counts
		must(t, l.PutExtra(ids.SerialCount-1, b))
		for serial, want := range map[ids.Serial]batch.Extra{7: a, ids.SerialCount - 1: b} {
			got, ok, err := l.Extra(serial)
			if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
				t.Errorf("extra of %d: %v, %v (-want +got):\n%s", serial, ok, err, diff)
			}
		}
	})
	t.Run("BatchesAreReadableAtOnce", func(t *testing.T) { localBatches(t, open(t)) })
	t.Run("CheckpointsAddUp", func(t *testing.T) { localCheckpoints(t, open(t)) })
	t.Run("ResetForgetsEverything", func(t *testing.T) {
		l := open(t)
		must(t, l.PutNote(15, 1, batch.Note{ChangeID: "chg_1"}))
		must(t, l.PutItems(ids.SerialCount-10, batch.Runs{{From: 1, To: 9}}, 5))
		must(t, l.PutExtra(3, batch.Extra{Version: 2}))
		must(t, l.PutBatch(&batch.Batch{First: 3, Quantity: 7}))
		snap := batch.Snapshot{First: 3, Segments: []batch.Segment{{From: 1, State: gs1.Active}}, Pages: map[int64][]byte{9: {1}}}
		must(t, l.Checkpoint(standing(1), []batch.Snapshot{snap}))
		must(t, l.Reset())
		_, fresh, err := l.Load()
		must(t, err)
		_, note, err := l.Note(15, 1)
		must(t, err)
		_, item, err := l.ItemSeq(ids.SerialCount - 5)
		must(t, err)
		_, extra, err := l.Extra(3)
		must(t, err)
		left, err := l.LoadBatch(3)
		must(t, err)
		batches, err := l.Batches(0, 10)
		must(t, err)
		if !fresh || note || item || extra || len(batches) > 0 || len(left.Segments)+len(left.Pages) != 0 {
			t.Errorf("left: fresh %v, note %v, item %v, extra %v, batch %+v", fresh, note, item, extra, left)
		}
	})
}

// standing is of a checkpoint at a position of the first shard.
func standing(at int64) batch.Standing { return batch.Standing{Positions: [ids.Shards]int64{at}} }

func localBatches(t *testing.T, l batch.Local) {
	whole := batch.Batch{
		ID: "bat_1", ProductID: 2001, BrandID: 1001, No: "批 1", First: 5*ids.ShardCapacity + 9, Quantity: 1 << 40, Mark: batch.Display,
		RotateEvery: time.Hour, InnerKeyID: "key_1", SignatureKeyID: "3f2a9c01", SignatureGTIN: "09506000134352", ExpiresAt: Start().Add(time.Microsecond), ProductionDate: "2026-02-28",
		Description: "two\nlines", CreatedAt: Start(),
	}
	early, late := batch.Batch{ID: "bat_2", First: 3, Quantity: 5, Mark: batch.Print}, batch.Batch{ID: "bat_3", First: 6 * ids.ShardCapacity, Quantity: 1}
	for _, b := range []batch.Batch{whole, late, early, whole} { // twice is once
		must(t, l.PutBatch(&b))
	}
	for from, want := range map[ids.Serial][]batch.Batch{
		0: {early, whole}, 3: {early, whole}, 4: {whole, late}, late.First: {late}, late.First + 1: nil,
	} {
		got, err := l.Batches(from, 2)
		if diff := cmp.Diff(want, got); diff != "" || err != nil {
			t.Errorf("from %d: %v (-want +got):\n%s", from, err, diff)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func localNotes(t *testing.T, l batch.Local) {
	want := batch.Note{ChangeID: "chg_1", To: gs1.RetailSold, Effective: Start(), At: Start().Add(-time.Hour), Place: "义乌", Reason: "sold"}
	must(t, l.PutNote(3, 256, want))
	must(t, l.PutNote(3, 257, batch.Note{ChangeID: "chg_2"}))
	must(t, l.PutNote(4, 256, batch.Note{ChangeID: "chg_3"}))
	got, ok, err := l.Note(3, 256)
	if diff := cmp.Diff(want, got); diff != "" || !ok || err != nil {
		t.Errorf("note: %v, %v (-want +got):\n%s", ok, err, diff)
	}
	if other, ok, err := l.Note(4, 256); other.ChangeID != "chg_3" || !ok || err != nil {
		t.Errorf("the same seq of another shard: %+v, %v, %v", other, ok, err)
	}
}

func localItems(t *testing.T, l batch.Local) {
	const first = ids.Serial(ids.ShardCapacity + 1000)
	must(t, l.PutItems(first, batch.Runs{{From: 1, To: 25_000}, {From: 70_000, To: 70_000}}, 1<<40))
	must(t, l.PutItems(first, batch.Runs{{From: 20, To: 30}}, 1<<40+1)) // the last counts
	must(t, l.PutItems(first, nil, 9))
	for no, want := range map[int64]int64{
		1: 1 << 40, 19: 1 << 40, 20: 1<<40 + 1, 30: 1<<40 + 1, 31: 1 << 40, 10_000: 1 << 40, 10_001: 1 << 40,
		25_000: 1 << 40, 70_000: 1 << 40, 0: 0, 25_001: 0, 69_999: 0, 70_001: 0,
	} {
		got, ok, err := l.ItemSeq(first + ids.Serial(no) - 1)
		if got != want || ok != (want != 0) || err != nil {
			t.Errorf("number %d: seq %d, %v, %v; want %d", no, got, ok, err, want)
		}
	}
}

// localCheckpoints stores parts of batches that lie side by side.
func localCheckpoints(t *testing.T, l batch.Local) {
	segments := func(states ...gs1.Disposition) (out []batch.Segment) {
		for i, s := range states {
			out = append(out, batch.Segment{From: 1 + int64(i)*1_000_000_000, State: s, Seq: int64(i) << 33})
		}
		return out
	}
	a := batch.Snapshot{First: 0, Segments: segments(gs1.Encoded, gs1.Active), Pages: map[int64][]byte{0: {1, 2}, 1: {3}, 152_587: {4}}}
	b := batch.Snapshot{First: 1, Segments: segments(gs1.Void), Pages: map[int64][]byte{0: {5}}}
	must(t, l.Checkpoint(standing(1), []batch.Snapshot{a, b}))
	must(t, l.Checkpoint(standing(2), []batch.Snapshot{{
		First: 0, Segments: segments(gs1.Recalled), Pages: map[int64][]byte{1: nil, 2: {6}}, // page 1 is empty again
	}}))
	a.Segments, a.Pages = segments(gs1.Recalled), map[int64][]byte{0: {1, 2}, 2: {6}, 152_587: {4}}
	for _, want := range []batch.Snapshot{a, b, {First: 2}} {
		got, err := l.LoadBatch(want.First)
		must(t, err)
		if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("batch at %d (-want +got):\n%s", want.First, diff)
		}
	}
	if at, _, err := l.Load(); at.Positions[0] != 2 || !at.AsOf.IsZero() || err != nil {
		t.Errorf("it stands at %+v, %v", at, err)
	}
}
