// Package complainttest holds every engine of complaints to its contract.
package complainttest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/complaint"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/picture"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// World is a store, and what it told of.
type World struct {
	complaint.Store

	// Told gives the subjects of the events of a brand, in order.
	Told func(t *testing.T, brand ids.BrandID) []string
}

// Start is when the suite begins.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// Request is a request of the suite.
func Request(n int) ids.Request {
	return ids.Request{Key: sha256.Sum256(fmt.Append(nil, "key", n)), Body: sha256.Sum256(fmt.Append(nil, "body", n))}
}

// Some is a complaint about an item of a brand, so many minutes after Start.
func Some(brand ids.BrandID, minutes int) complaint.Complaint {
	return complaint.Complaint{
		ID: complaint.ID(ids.NewIn(ids.ShardOf(brand), complaint.IDPrefix)), Brand: brand, Batch: "bat_1", Code: "123456789012345678",
		Token: "0000ABC", Text: strings.Repeat("标签歪了\n", 200), Place: "义乌 №3", Photo: picture.JPEG, CreatedAt: Start().Add(time.Duration(minutes) * time.Minute),
	}
}

// RunStore runs the contract of complaint.Store. open gives an empty world.
func RunStore(t *testing.T, open func(t *testing.T) World) {
	t.Run("KeepsEveryField", func(t *testing.T) { keeps(t, open(t)) })
	t.Run("OneRequestIsOneComplaint", func(t *testing.T) { once(t, open(t)) })
	t.Run("Lists", func(t *testing.T) { lists(t, open(t)) })
	t.Run("ClosesOnce", func(t *testing.T) { closes(t, open(t)) })
	t.Run("KnowsAbandonedPhotos", func(t *testing.T) { abandoned(t, open(t)) })
}

func (w World) file(t *testing.T, r ids.Request, c complaint.Complaint) complaint.Complaint {
	t.Helper()
	w.expect(t, c)
	got, _, err := w.File(t.Context(), r, c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func (w World) expect(t *testing.T, c complaint.Complaint) {
	t.Helper()
	if c.Photo == picture.None {
		return
	}
	if err := w.Expect(t.Context(), c.ID, c.Photo, c.CreatedAt); err != nil {
		t.Error(err)
	}
}

// abandoned: what is expected for too long is given until it is forgotten, and is not filed
// any more; what was filed, or is young, is not given.
func abandoned(t *testing.T, w World) {
	given := func(minutes, limit int) (all []complaint.ID) {
		t.Helper()
		some, err := w.Abandoned(t.Context(), Start().Add(time.Duration(minutes)*time.Minute), limit)
		if err != nil {
			t.Fatal(err)
		}
		for i := range some {
			if some[i].PhotoFile() != string(some[i].ID)+".jpg" {
				t.Errorf("the photo of %s is %q", some[i].ID, some[i].PhotoFile())
			}
			all = append(all, some[i].ID)
		}
		slices.Sort(all)
		return all
	}
	w.file(t, Request(1), Some(1, 0))
	old, other, young := Some(1, 0), Some(17, 1), Some(1, 10)
	for _, c := range []complaint.Complaint{old, other, young} {
		w.expect(t, c)
	}
	want := []complaint.ID{old.ID, other.ID}
	slices.Sort(want)
	for range 2 {
		if diff := cmp.Diff(want, given(10, 100)); diff != "" {
			t.Errorf("abandoned (-want +got):\n%s", diff)
		}
	}
	if _, _, err := w.File(t.Context(), Request(2), old); !errors.Is(err, complaint.ErrLate) {
		t.Errorf("filed when its photo may be gone: %v", err)
	}
	if _, err := w.Complaint(t.Context(), old.ID); !errors.Is(err, complaint.ErrUnknown) {
		t.Errorf("what came too late is kept: %v", err)
	}
	if _, _, err := w.File(t.Context(), Request(3), young); err != nil {
		t.Errorf("one that is in time: %v", err)
	}
	for _, id := range want {
		if err := w.Forget(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if left := given(60, 100); left != nil {
		t.Errorf("still abandoned: %v", left)
	}
	if _, _, err := w.File(t.Context(), Request(4), Some(1, 0)); !errors.Is(err, complaint.ErrLate) {
		t.Errorf("one that was never expected: %v", err)
	}
}

func keeps(t *testing.T, w World) {
	for _, c := range []complaint.Complaint{Some(1, 0), Some(17, 1), {ID: complaint.ID(ids.NewIn(0, complaint.IDPrefix)), CreatedAt: Start()}} {
		w.file(t, ids.Request{}, c)
		got, err := w.Complaint(t.Context(), c.ID)
		if diff := cmp.Diff(c, got); diff != "" || err != nil {
			t.Errorf("read back: %v (-want +got):\n%s", err, diff)
		}
		want := []string{string(c.ID)}
		if c.Brand == 0 {
			want = nil
		}
		if diff := cmp.Diff(want, w.Told(t, c.Brand)); diff != "" {
			t.Errorf("brand %d was told of (-want +got):\n%s", c.Brand, diff)
		}
	}
	if _, err := w.Complaint(t.Context(), complaint.ID(ids.NewIn(1, complaint.IDPrefix))); !errors.Is(err, complaint.ErrUnknown) {
		t.Errorf("one that there is not: %v", err)
	}
}

func once(t *testing.T, w World) {
	var all sync.WaitGroup
	got := make([]complaint.Complaint, 8)
	for i := range got {
		all.Go(func() {
			one := Some(1, i)
			w.expect(t, one)
			c, _, err := w.File(t.Context(), Request(1), one)
			if err != nil && fault.KindOf(err) != fault.Conflict {
				t.Error(err)
			}
			got[i] = c
		})
	}
	all.Wait()
	for i := range got {
		if got[i].ID != got[0].ID {
			t.Errorf("the same request made %s and %s", got[0].ID, got[i].ID)
		}
	}
	if told := w.Told(t, 1); len(told) != 1 {
		t.Errorf("told of %v", told)
	}
	other := Request(1)
	other.Body[0] ^= 1
	if _, _, err := w.File(t.Context(), other, Some(1, 0)); fault.KindOf(err) != fault.Mismatch {
		t.Errorf("another body under the same key: %v", err)
	}
}

func lists(t *testing.T, w World) {
	var want []complaint.ID
	for i := range 7 {
		c := w.file(t, Request(i), Some(1, i/2)) // pairs at one time
		w.file(t, Request(100+i), Some(17, i))
		want = append(want, c.ID)
	}
	if _, _, err := w.Close(t.Context(), Request(200), want[3], "x", ""); err != nil {
		t.Fatal(err)
	}
	for filter, n := range map[complaint.Filter]int{"": 7, complaint.OnlyOpen: 6, complaint.OnlyClosed: 1} {
		seen := map[complaint.ID]bool{}
		var before *complaint.Complaint
		for {
			page, err := w.List(t.Context(), 1, filter, before, 3)
			if err != nil {
				t.Fatal(err)
			}
			for i := range page {
				if before != nil && page[i].CreatedAt.After(before.CreatedAt) || seen[page[i].ID] || page[i].Brand != 1 {
					t.Errorf("%q: %s of brand %d is out of order", filter, page[i].ID, page[i].Brand)
				}
				seen[page[i].ID], before = true, &page[i]
			}
			if len(page) < 3 {
				break
			}
		}
		if len(seen) != n || seen[want[3]] == (filter == complaint.OnlyOpen) {
			t.Errorf("%q lists %d, want %d", filter, len(seen), n)
		}
	}
}

func closes(t *testing.T, w World) {
	c := w.file(t, Request(1), Some(1, 0))
	closed, replayed, err := w.Close(t.Context(), Request(2), c.ID, "alice", "a misprint\n印刷错误")
	if err != nil || replayed || closed.Open() || closed.ClosedBy != "alice" || closed.Outcome != "a misprint\n印刷错误" {
		t.Fatalf("%+v, %v, %v", closed, replayed, err)
	}
	if again, replayed, err := w.Close(t.Context(), Request(2), c.ID, "alice", "a misprint\n印刷错误"); err != nil || !replayed || !cmp.Equal(again, closed) {
		t.Errorf("the same request again: %+v, %v, %v", again, replayed, err)
	}
	if _, _, err := w.Close(t.Context(), Request(3), c.ID, "bob", "other"); !errors.Is(err, complaint.ErrClosed) {
		t.Errorf("another close: %v", err)
	}
	if now, err := w.Complaint(t.Context(), c.ID); err != nil || !cmp.Equal(now, closed) {
		t.Errorf("after another close: %+v, %v", now, err)
	}
	if _, _, err := w.Close(t.Context(), Request(4), complaint.ID(ids.NewIn(1, complaint.IDPrefix)), "x", ""); !errors.Is(err, complaint.ErrUnknown) {
		t.Errorf("close what there is not: %v", err)
	}
}
