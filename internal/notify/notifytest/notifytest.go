// Package notifytest holds every engine of webhooks to its contract.
package notifytest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/notify"
)

// World is a store, and how events get into it.
type World struct {
	notify.Store

	// Tell tells an event of a brand, now, and puts all that was told on its way.
	Tell func(t *testing.T, brand ids.BrandID, kind string) (event string)
}

// Start is when the suite begins.
func Start() time.Time { return time.Date(2026, 3, 1, 8, 30, 15, 123456000, time.UTC) }

// Request is a request of the suite.
func Request(n int) ids.Request {
	return ids.Request{Key: sha256.Sum256(fmt.Append(nil, "key", n)), Body: sha256.Sum256(fmt.Append(nil, "body", n))}
}

// RunStore runs the contract of notify.Store. open gives an empty world.
func RunStore(t *testing.T, open func(t *testing.T) World) {
	t.Run("Endpoints", func(t *testing.T) { endpoints(t, open(t)) })
	t.Run("EventsGoWhereTheyAreWanted", func(t *testing.T) { wanted(t, open(t)) })
	t.Run("Deliveries", func(t *testing.T) { deliveries(t, open(t)) })
	t.Run("Removed", func(t *testing.T) { removed(t, open(t)) })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Endpoint adds an endpoint of a brand.
func (w World) Endpoint(t *testing.T, n int, brand ids.BrandID, types ...string) notify.Endpoint {
	t.Helper()
	e, _, err := w.AddEndpoint(t.Context(), Request(n), notify.Endpoint{
		ID: notify.EndpointID(ids.New("whk")), Brand: brand, URL: fmt.Sprint("https://erp.example/", n), Types: types,
		CreatedBy: "admin 管理员", CreatedAt: Start(),
	})
	must(t, err)
	return e
}

func endpoints(t *testing.T, w World) {
	first := w.Endpoint(t, 0, 1)
	if again := w.Endpoint(t, 0, 1); !cmp.Equal(first, again) {
		t.Errorf("the same request again:\n%s", cmp.Diff(first, again))
	}
	want := []notify.Endpoint{first}
	for n := 1; n < notify.EndpointsMax; n++ {
		want = append(want, w.Endpoint(t, n, 1, "code.generated", "code.state_changed"))
	}
	_, _, err := w.AddEndpoint(t.Context(), Request(100), notify.Endpoint{ID: notify.EndpointID(ids.New("whk")), Brand: 1, URL: "https://x"})
	if !errors.Is(err, notify.ErrTooManyEndpoints) {
		t.Errorf("one too many: %v", err)
	}
	other := w.Endpoint(t, 101, 17)
	slices.SortFunc(want, func(a, b notify.Endpoint) int { return slices.Compare([]byte(a.ID), []byte(b.ID)) })
	var got []notify.Endpoint
	for after := notify.EndpointID(""); ; after = got[len(got)-1].ID {
		page, err := w.Endpoints(t.Context(), 1, after, 7)
		must(t, err)
		if got = append(got, page...); len(page) < 7 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("those of the brand (-want +got):\n%s", diff)
	}
	all, err := w.Endpoints(t.Context(), 0, "", 100)
	must(t, err)
	if len(all) != len(want)+1 || !slices.ContainsFunc(all, func(e notify.Endpoint) bool { return e.ID == other.ID }) {
		t.Errorf("%d of all brands", len(all))
	}
}

// due gives what is due as words "event at endpoint".
func (w World) due(t *testing.T, now time.Time) (words []string) {
	t.Helper()
	all, err := w.Due(t.Context(), now, 100)
	must(t, err)
	for _, d := range all {
		words = append(words, word(d.Event, d.Endpoint))
	}
	return words
}

func word(event string, e notify.EndpointID) string { return event + " at " + string(e) }

func wanted(t *testing.T, w World) {
	w.Tell(t, 1, "code.generated") // before anybody asked
	all, some, other := w.Endpoint(t, 1, 1), w.Endpoint(t, 2, 1, "code.state_changed"), w.Endpoint(t, 3, 17)
	made, moved, elsewhere := w.Tell(t, 1, "code.generated"), w.Tell(t, 1, "code.state_changed"), w.Tell(t, 17, "code.generated")
	w.Tell(t, 2, "code.generated") // nobody's
	want := []string{word(made, all.ID), word(moved, all.ID), word(moved, some.ID), word(elsewhere, other.ID)}
	got := w.due(t, Start().Add(time.Hour))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func deliveries(t *testing.T, w World) {
	e, now := w.Endpoint(t, 1, 1), Start().Add(time.Hour)
	for range 4 {
		w.Tell(t, 1, "code.generated")
	}
	all, err := w.Due(t.Context(), now, 100)
	must(t, err)
	if len(all) != 4 || all[0].URL != e.URL || len(all[0].Body) == 0 || all[0].Tries != 0 || all[0].Dead || all[0].CreatedAt.IsZero() {
		t.Fatalf("due are %+v", all)
	}
	must(t, w.Done(t.Context(), all[0]))
	must(t, w.Done(t.Context(), all[0]))
	late, dead := all[1], all[2]
	late.Tries, late.Reason, late.DueAt = 3, "it answers 500", now.Add(time.Minute)
	dead.Tries, dead.Reason, dead.Dead = notify.TriesMax, "it answers 404", true
	must(t, w.Failed(t.Context(), &late))
	must(t, w.Failed(t.Context(), &dead))
	if diff := cmp.Diff([]string{word(all[3].Event, e.ID)}, w.due(t, now)); diff != "" {
		t.Errorf("due now (-want +got):\n%s", diff)
	}
	must(t, w.Postpone(t.Context(), e.ID, now, now.Add(2*time.Minute)))
	if got := w.due(t, now.Add(time.Minute)); !slices.Equal(got, []string{word(late.Event, e.ID)}) {
		t.Errorf("after a minute are due %v", got)
	}
	if got := w.due(t, now.Add(2*time.Minute)); len(got) != 2 {
		t.Errorf("after two minutes are due %v", got)
	}
	got, err := w.Dead(t.Context(), "", "", 10)
	must(t, err)
	dead.CreatedAt, dead.DueAt = got[0].CreatedAt, got[0].DueAt
	if diff := cmp.Diff([]notify.Delivery{dead}, got); diff != "" {
		t.Errorf("dead (-want +got):\n%s", diff)
	}
	up, err := w.GivenUp(t.Context(), []notify.EndpointID{e.ID, "whk_none"})
	must(t, err)
	if diff := cmp.Diff(map[notify.EndpointID]notify.GivenUp{e.ID: {Count: 1, Reason: "it answers 404"}}, up); diff != "" {
		t.Errorf("given up (-want +got):\n%s", diff)
	}
	if behind, err := w.Dead(t.Context(), dead.Event, dead.Endpoint, 10); err != nil || len(behind) != 0 {
		t.Errorf("behind the last: %v, %v", behind, err)
	}
	must(t, w.Done(t.Context(), dead))
	if got, err := w.Dead(t.Context(), "", "", 10); err != nil || len(got) != 0 {
		t.Errorf("after it was discarded: %v, %v", got, err)
	}
}

func removed(t *testing.T, w World) {
	gone, stays := w.Endpoint(t, 1, 1), w.Endpoint(t, 2, 1)
	event := w.Tell(t, 1, "code.generated")
	all, err := w.Due(t.Context(), Start().Add(time.Hour), 10)
	must(t, err)
	must(t, w.RemoveEndpoint(t.Context(), gone.ID))
	must(t, w.RemoveEndpoint(t.Context(), gone.ID))
	for i := range all { // a try that was under way
		all[i].Dead = all[i].Endpoint == gone.ID
		must(t, w.Failed(t.Context(), &all[i]))
	}
	next := w.Tell(t, 1, "code.generated")
	want := []string{word(event, stays.ID), word(next, stays.ID)}
	got := w.due(t, Start().Add(time.Hour))
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if dead, err := w.Dead(t.Context(), "", "", 10); err != nil || len(dead) != 0 {
		t.Errorf("dead: %v, %v", dead, err)
	}
	if _, _, err := w.AddEndpoint(t.Context(), Request(1), notify.Endpoint{}); !errors.Is(err, notify.ErrUnknownEndpoint) {
		t.Errorf("the request that made it, again: %v", err)
	}
}
