// Package resolvetest holds every engine of resolve to its contract.
package resolvetest

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/resolve"
)

// RunStore runs the contract of resolve.Store. open gives what opens one empty store,
// each call as another process would.
func RunStore(t *testing.T, open func(t *testing.T) func() resolve.Store) {
	t.Run("Empty", func(t *testing.T) {
		s := open(t)()
		if head, err := s.Head(t.Context()); head != 0 || err != nil {
			t.Errorf("head %d, %v", head, err)
		}
		if _, err := s.Record(t.Context(), "/01/1"); !errors.Is(err, resolve.ErrUnknown) {
			t.Errorf("an unknown record: %v", err)
		}
	})
	t.Run("Racers", func(t *testing.T) { racers(t, open(t)) })
	t.Run("FollowerMissesNothing", func(t *testing.T) { follower(t, open(t)) })
	t.Run("Model", func(t *testing.T) {
		reopen := open(t)
		stores := []resolve.Store{reopen(), reopen()}
		n := 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			model(t, rt, stores, "t"+strconv.Itoa(n)+"/")
		})
	})
}

func at(i int64) time.Time { return time.Date(2026, 11, 1, 8, 0, 0, int(i)*1000, time.UTC) }

// model does what comes to mind, through two handles, and compares with a map.
func model(t *testing.T, rt *rapid.T, stores []resolve.Store, prefix string) {
	ctx := t.Context()
	want := map[string]resolve.Record{}
	head, err := stores[0].Head(ctx)
	must(rt, err)
	begin := head
	for range rapid.IntRange(1, 12).Draw(rt, "steps") {
		s := rapid.SampledFrom(stores).Draw(rt, "store")
		r := resolve.Record{
			Name:    prefix + rapid.SampledFrom([]string{"a", "A", "b", "b "}).Draw(rt, "name"),
			BrandID: ids.BrandID(rapid.IntRange(1, 2).Draw(rt, "brand")), Body: []byte(rapid.SampledFrom([]string{"", "[]", "x"}).Draw(rt, "body")),
			ChangedAt: at(head),
		}
		ifVersion := rapid.SampledFrom([]int64{resolve.AnyVersion, 0, head}).Draw(rt, "if")
		old, known := want[r.Name]
		had := known && len(old.Body) > 0
		version, changed, err := s.Put(ctx, r, ifVersion)
		switch {
		case had && old.BrandID != r.BrandID:
			wantErr(rt, err, resolve.ErrTaken)
		case ifVersion == 0 && had, ifVersion > 0 && (!had || old.Version != ifVersion):
			wantErr(rt, err, resolve.ErrVersion)
		case bytes.Equal(old.Body, r.Body):
			must(rt, err)
			if changed || version != old.Version {
				rt.Fatalf("the same again: version %d, changed %v; was %d", version, changed, old.Version)
			}
		default:
			must(rt, err)
			if !changed || version <= head {
				rt.Fatalf("version %d after %d, changed %v", version, head, changed)
			}
			head, r.Version = version, version
			want[r.Name] = r
		}
	}
	compare(t, rt, stores[1], want, prefix, begin)
}

func compare(t *testing.T, rt *rapid.T, s resolve.Store, want map[string]resolve.Record, prefix string, begin int64) {
	ctx := t.Context()
	var byVersion, byName []resolve.Record
	for _, r := range want {
		byVersion = append(byVersion, r)
		if len(r.Body) > 0 {
			byName = append(byName, r)
		}
		got, err := s.Record(ctx, r.Name)
		must(rt, err)
		same(rt, "record", r, got)
	}
	slices.SortFunc(byVersion, func(a, b resolve.Record) int { return cmp.Compare(a.Version, b.Version) })
	slices.SortFunc(byName, func(a, b resolve.Record) int { return cmp.Compare(a.Name, b.Name) })
	changes, err := s.Changes(ctx, begin, 100)
	must(rt, err)
	same(rt, "changes", byVersion, changes)
	if len(byVersion) > 1 {
		some, err := s.Changes(ctx, byVersion[0].Version, 1)
		must(rt, err)
		same(rt, "a page of changes", byVersion[1:2], some)
	}
	list, err := s.List(ctx, 0, prefix, 100)
	must(rt, err)
	list = slices.DeleteFunc(list, func(r resolve.Record) bool { return !strings.HasPrefix(r.Name, prefix) })
	same(rt, "list", byName, list)
	first := slices.DeleteFunc(slices.Clone(byName), func(r resolve.Record) bool { return r.BrandID != 1 })
	list, err = s.List(ctx, 1, prefix, 100)
	must(rt, err)
	list = slices.DeleteFunc(list, func(r resolve.Record) bool { return !strings.HasPrefix(r.Name, prefix) })
	same(rt, "list of a brand", first, list)
}

func same(rt *rapid.T, what string, want, got any) {
	nilIsEmpty := gocmp.Transformer("bytes", func(b []byte) string { return string(b) })
	if diff := gocmp.Diff(want, got, nilIsEmpty, gocmp.FilterValues(func(a, b []resolve.Record) bool { return len(a)+len(b) == 0 }, gocmp.Ignore())); diff != "" {
		rt.Fatalf("%s (-want +got):\n%s", what, diff)
	}
}

func must(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}

func wantErr(rt *rapid.T, err, want error) {
	if !errors.Is(err, want) {
		rt.Fatalf("%v, want %v", err, want)
	}
}

// racers want the same new anchor for two brands; one has it.
func racers(t *testing.T, reopen func() resolve.Store) {
	stores := []resolve.Store{reopen(), reopen()}
	won := make([]ids.BrandID, 16)
	var wg sync.WaitGroup
	for i := range won {
		wg.Go(func() {
			r := resolve.Record{Name: "/01/1", BrandID: ids.BrandID(1 + i%2), Body: []byte("x"), ChangedAt: at(0)}
			_, _, err := stores[i%2].Put(t.Context(), r, resolve.AnyVersion)
			switch {
			case err == nil:
				won[i] = r.BrandID
			case !errors.Is(err, resolve.ErrTaken):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(won)
	won = slices.Compact(slices.DeleteFunc(won, func(b ids.BrandID) bool { return b == 0 }))
	if len(won) != 1 {
		t.Errorf("the anchor went to %v", won)
	}
}

// follower reads on from what it has while others write, and in the end has all.
func follower(t *testing.T, reopen func() resolve.Store) {
	const writers, each = 4, 25
	var wg sync.WaitGroup
	for w := range writers {
		s := reopen()
		wg.Go(func() {
			for i := range each {
				r := resolve.Record{Name: strconv.Itoa(w) + "-" + strconv.Itoa(i), BrandID: 1, Body: []byte("x"), ChangedAt: at(0)}
				if _, _, err := s.Put(t.Context(), r, resolve.AnyVersion); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	s, seen, last := reopen(), map[string]bool{}, int64(0)
	for ended := false; ; {
		page, err := s.Changes(t.Context(), last, 7)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			seen[r.Name], last = true, r.Version
		}
		if len(page) > 0 {
			continue
		}
		if ended {
			break
		}
		select {
		case <-done:
			ended = true
		default:
		}
	}
	if len(seen) != writers*each {
		t.Errorf("the follower has %d of %d", len(seen), writers*each)
	}
}
