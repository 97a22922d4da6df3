package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/scan/scanevent"
)

// TestSyncedIsToldWhenItSaysSomething: once a minute while there are scans, once an hour
// while there are none, and by one process.
func TestSyncedIsToldWhenItSaysSomething(t *testing.T) {
	t.Parallel()
	start := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)
	now, newest, behind, mine := start, time.Time{}, 2*time.Second, true
	var got []time.Duration
	teller := &syncedTeller{
		what: scanevent.Records, clock: clock.Func(func() time.Time { return now }), at: start.Add(-syncedEvery),
		through: func(context.Context) (time.Time, error) { return now.Add(-behind), nil },
		newest:  func() time.Time { return newest },
		turn:    func(context.Context) (bool, error) { return mine, nil },
		tell: func(_ context.Context, e scanevent.Synced) error {
			if e.What != scanevent.Records || e.BrandID != 0 {
				t.Errorf("told %+v", e)
			}
			got = append(got, e.Through.Sub(start))
			return nil
		},
	}
	pass := func(d time.Duration) {
		t.Helper()
		for end := now.Add(d); now.Before(end); now = now.Add(syncedLook) {
			if err := teller.look(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	told := func(why string, want ...time.Duration) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", why, diff)
		}
		got = nil
	}
	pass(10 * time.Minute)
	told("without scans")
	newest = now
	pass(10 * time.Minute)
	told("after a scan", 10*time.Minute-behind, 11*time.Minute-behind) // the second has it for sure
	pass(time.Hour)
	told("an idle hour", 71*time.Minute-behind)
	for range 5 {
		pass(time.Minute)
		newest = now
	}
	if len(got) < 4 || len(got) > 5 {
		t.Errorf("of five busy minutes: %v", got)
	}
	got = nil
	mine = false
	pass(5 * time.Minute)
	told("while another process tells")
	mine, newest = true, now
	pass(time.Minute)
	if len(got) != 1 {
		t.Errorf("when the other is gone: %v", got)
	}
	got = nil
	stuck := now.Add(-time.Second)
	teller.through = func(context.Context) (time.Time, error) { return stuck, nil }
	newest = now.Add(time.Hour)
	pass(10 * time.Minute)
	told("a group that is stuck", stuck.Sub(start))
	lost := errors.New("lost")
	teller.through = func(context.Context) (time.Time, error) { return time.Time{}, lost }
	if err := teller.look(t.Context()); !errors.Is(err, lost) {
		t.Error(err)
	}
}
