package find_test

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

var errCut = errors.New("cut off")

// memory is an index that can be cut off between the documents and where it stands.
type memory struct {
	all    map[string]find.Document
	at     find.Standing
	cut    bool
	resets int
}

func (m *memory) Apply(_ context.Context, all []find.Document, to find.Standing) error {
	for _, d := range all {
		if was, ok := m.all[d.ID]; !ok || was.Version <= d.Version {
			m.all[d.ID] = d
		}
	}
	if m.cut {
		return errCut
	}
	m.at = to
	return nil
}

func (m *memory) Standing(context.Context) (find.Standing, error) { return m.at, nil }

func (m *memory) Reset(context.Context) error {
	m.all, m.at = map[string]find.Document{}, find.Standing{}
	m.resets++
	return nil
}

func (m *memory) Find(context.Context, *find.Query) (find.Page, error) { return find.Page{}, nil }

func (m *memory) titles() map[string]string {
	out := map[string]string{}
	for id, d := range m.all {
		if !d.Gone {
			out[id] = d.Title
		}
	}
	return out
}

// world is a source of two orders; things change and go, and their last change counts.
type world struct {
	last   [2]int64
	things map[string]find.Document // Version is the number in the order of the thing
}

func (w *world) clone() world { return world{w.last, maps.Clone(w.things)} }

func (w *world) order(id string) int { return int(id[0]) % 2 }

func (w *world) change(id, title string, gone bool) {
	order := w.order(id)
	w.last[order]++
	w.things[id] = find.Document{Kind: find.Place, ID: id, Title: title, Version: w.last[order], Gone: gone}
}

func (w *world) Heads(context.Context) ([]int64, error) { return slices.Clone(w.last[:]), nil }

const page = 2

func (w *world) Since(_ context.Context, order int, after, head int64) (all []find.Document, _ int64, _ error) {
	for _, d := range w.things {
		if w.order(d.ID) == order && d.Version > after {
			all = append(all, d)
		}
	}
	slices.SortFunc(all, func(a, b find.Document) int { return int(a.Version - b.Version) })
	if len(all) < page {
		return all, head, nil
	}
	return all[:page], all[page-1].Version, nil
}

func (w *world) titles() map[string]string {
	m := memory{all: w.things}
	return m.titles()
}

func follower(i find.Index, w *world) *find.Follower {
	return find.NewFollower(find.Follower{
		Index: i, Sources: map[string]find.Source{"things": w}, Clock: clock.System{}, Log: slog.New(slog.DiscardHandler),
		Written: func([]find.Document) {}, Failed: func() {},
	})
}

// TestFollower: whatever changed, failed, was started again or restored in between, an index
// that has caught up has what there is, and nothing that is gone or never was.
func TestFollower(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		w, i := &world{things: map[string]find.Document{}}, &memory{all: map[string]find.Document{}}
		f := follower(i, w)
		caught := func() {
			i.cut = false
			if err := f.Catch(t.Context()); err != nil {
				rt.Fatal(err)
			}
			if diff := gocmp.Diff(w.titles(), i.titles()); diff != "" || !i.at.Filled {
				rt.Fatalf("filled %t (-want +got):\n%s", i.at.Filled, diff)
			}
		}
		var kept []world
		change := func(*rapid.T) {
			id := rapid.SampledFrom([]string{"a", "b", "c", "d", "e"}).Draw(rt, "id")
			w.change(id, strconv.Itoa(rapid.IntRange(0, 9).Draw(rt, "title")), rapid.IntRange(0, 3).Draw(rt, "gone") == 0)
		}
		rt.Repeat(map[string]func(*rapid.T){
			"change": change, "change more": change,
			"catch": func(*rapid.T) { caught() },
			"cut": func(*rapid.T) {
				i.cut = true
				if err := f.Catch(t.Context()); err != nil && !errors.Is(err, errCut) {
					rt.Fatal(err)
				}
			},
			"restart": func(*rapid.T) { f = follower(i, w) },
			"back up": func(*rapid.T) { kept = append(kept, w.clone()) },
			"restore": func(*rapid.T) {
				caught()
				if len(kept) > 0 { // of what was kept later nothing is left
					n := rapid.IntRange(0, len(kept)-1).Draw(rt, "backup")
					*w, kept = kept[n].clone(), kept[:n+1]
				}
				caught()
			},
		})
		caught()
	})
}

// TestFollowerGivesWay: who does not lead writes nothing, and who leads again asks the index
// where it stands; an index that stands nowhere in particular is filled anew.
func TestFollowerGivesWay(t *testing.T) {
	t.Parallel()
	w, i := &world{things: map[string]find.Document{}}, &memory{all: map[string]find.Document{}}
	leads := false
	f := follower(i, w)
	f.Lead = func(context.Context) (bool, error) { return leads, nil }
	catch := func() {
		t.Helper()
		if err := f.Catch(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	w.change("a", "one", false)
	if catch(); len(i.all) != 0 || i.at.Filled {
		t.Error("it wrote without leading")
	}
	leads = true
	if catch(); len(i.titles()) != 1 {
		t.Error("it leads and writes nothing")
	}
	leads = false
	catch()
	leads = true
	for n, cursor := range []string{"", "nonsense", `{"things":[1]}`, `{"things":[9,9]}`, "null"} {
		i.all, i.at, i.resets = map[string]find.Document{"x": {ID: "x", Title: "of another history"}}, find.Standing{Cursor: cursor, Filled: true}, 0
		f = follower(i, w)
		catch()
		if want := min(n, 1); i.resets != want {
			t.Errorf("%q: forgotten %d times, want %d", cursor, i.resets, want)
		}
		if i.titles()["a"] != "one" {
			t.Errorf("%q: it has %v", cursor, i.titles())
		}
	}
}
