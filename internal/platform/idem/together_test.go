package idem

import (
	"context"
	"database/sql"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/test/servers"
)

// ask is a request as clients make them.
type ask struct {
	key, body byte // key 0 = none
	how       string
}

func (a ask) request() ids.Request {
	if a.key == 0 {
		return ids.Request{}
	}
	return request(a.key, a.body)
}

var (
	errRefused = errors.New("refused")
	errBroken  = errors.New("broken")
)

// together answers asks, and writes a row for each effect.
func together(ctx context.Context, db *sqldb.DB, asks []ask) ([]Outcome, error) {
	attempts := make([]Attempt, len(asks))
	for i, a := range asks {
		attempts[i] = Attempt{a.request(), ids.New("eff")}
	}
	return Together(ctx, db, clock.Func(now), attempts, func(ctx context.Context, tx *sqldb.Tx, fresh []int) (map[int]error, error) {
		refused := map[int]error{}
		for _, i := range fresh {
			switch asks[i].how {
			case "refused":
				refused[i] = errRefused
			case "broken":
				return nil, errBroken
			default:
				if _, err := tx.ExecContext(ctx, `INSERT INTO effects (id) VALUES (?)`, attempts[i].Effect); err != nil {
					return nil, err
				}
			}
		}
		return refused, nil
	})
}

// process is one that combines.
type process = sqldb.Combiner[int, ask, Outcome]

func newProcess(db *sqldb.DB) *process {
	return sqldb.NewCombiner[int](8, 1000, func(ctx context.Context, asks []ask) ([]sqldb.Outcome[Outcome], error) {
		all, err := together(ctx, db, asks)
		out := make([]sqldb.Outcome[Outcome], len(all))
		for i, o := range all {
			out[i] = sqldb.Outcome[Outcome]{Value: o, Err: o.Err}
		}
		return out, err
	})
}

func effects(t *testing.T, db *sqldb.DB) []string {
	t.Helper()
	all, err := sqldb.Collect(t.Context(), db.Reader(), func(r *sql.Rows) (s string, err error) { err = r.Scan(&s); return s, err }, `SELECT id FROM effects ORDER BY id`)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestTogetherIsOnceForEach(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := migrated(t, fresh(t)())
		wantOnce(t, db, request(1, 1), "old", "old", false, nil)
		asks := []ask{
			{1, 1, ""}, {1, 2, ""}, // had an effect; with another body
			{3, 1, ""}, {2, 1, ""}, {3, 1, ""}, {3, 2, ""}, // new, twice, with another body
			{0, 1, ""}, {0, 1, ""}, {0, 1, "refused"}, // without a key
			{4, 1, "refused"}, {4, 1, ""}, {4, 2, ""}, // refused, and the same with it
		}
		out, err := together(t.Context(), db, asks)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			replayed bool
			err      error
		}{
			{true, nil}, {false, ErrMismatch}, {false, nil}, {false, nil}, {true, nil}, {false, ErrMismatch},
			{false, nil}, {false, nil}, {false, errRefused}, {false, errRefused}, {false, errRefused}, {false, ErrRunning},
		} {
			if o := out[i]; o.Replayed != want.replayed || !errors.Is(o.Err, want.err) || (o.Effect == "") != (want.err != nil) {
				t.Errorf("ask %d: %+v, want %+v", i, o, want)
			}
		}
		if out[0].Effect != "old" || out[4].Effect != out[2].Effect {
			t.Errorf("replays name %q and %q", out[0].Effect, out[4].Effect)
		}
		want := []string{"old", out[2].Effect, out[3].Effect, out[6].Effect, out[7].Effect}
		slices.Sort(want)
		if diff := cmp.Diff(want, effects(t, db)); diff != "" {
			t.Errorf("effects (-want +got):\n%s", diff)
		}
		wantFound(t, db, request(4, 1), "", false, nil)
		wantOnce(t, db, request(3, 1), "again", out[2].Effect, true, nil)

		if _, err := together(t.Context(), db, []ask{{5, 1, ""}, {6, 1, "broken"}}); !errors.Is(err, errBroken) {
			t.Errorf("a group that breaks: %v", err)
		}
		wantFound(t, db, request(5, 1), "", false, nil)
		if out, err := together(t.Context(), db, []ask{{5, 1, "refused"}, {0, 1, "refused"}}); err != nil || out[0].Err == nil || out[1].Err == nil {
			t.Errorf("all refused: %+v, %v", out, err)
		}
		wantEffects(t, db, len(want))
	})
}

// world is one database, two processes that combine, and what they were asked.
type world struct {
	t         *testing.T
	db        *sqldb.DB
	processes [2]*process
	known     map[string]bool // effects that somebody was told of
	unknown   int             // asks without a key of which nobody can tell
}

// round asks all at once, from both processes, and again with the key while the answer
// is that it may have happened, or that another runs.
func (w *world) round(asks []ask) map[ask][]Outcome {
	var mu sync.Mutex
	answers := map[ask][]Outcome{}
	var all sync.WaitGroup
	for i, a := range asks {
		all.Go(func() {
			for {
				o, err := w.processes[i%2].Do(w.t.Context(), i%3, a)
				o.Err = err
				if again := fault.KindOf(err) == fault.Unavailable || errors.Is(err, ErrRunning); again && a.key != 0 {
					continue
				}
				mu.Lock()
				answers[a] = append(answers[a], o)
				mu.Unlock()
				return
			}
		})
	}
	all.Wait()
	return answers
}

// judge holds the answers of a round to what one request after the other would get.
func (w *world) judge(r *rapid.T, answers map[ask][]Outcome) {
	byKey := map[byte]string{}
	fresh := map[byte]int{}
	body := map[byte]byte{}
	for a, all := range answers {
		for _, o := range all {
			switch {
			case o.Err == nil && a.key == 0:
				if w.known[o.Effect] || o.Replayed || a.how != "" {
					r.Fatalf("%+v without a key: %+v", a, o)
				}
				w.known[o.Effect] = true
			case o.Err == nil:
				if had, ok := byKey[a.key]; ok && (had != o.Effect || body[a.key] != a.body) {
					r.Fatalf("%+v had the effects %q and %q", a, had, o.Effect)
				}
				byKey[a.key], body[a.key], w.known[o.Effect] = o.Effect, a.body, true
				if !o.Replayed {
					fresh[a.key]++
				}
			case errors.Is(o.Err, errRefused) && a.how == "refused", errors.Is(o.Err, errBroken) && a.how == "broken":
			case errors.Is(o.Err, sqldb.ErrUnknownOutcome) && a.key == 0 && a.how == "":
				w.unknown++
			case errors.Is(o.Err, errRefused) && slices.ContainsFunc(sortOf(answers), func(b ask) bool { return a.key == b.key && a.body == b.body && b.how == "refused" }):
			case errors.Is(o.Err, ErrMismatch): // judged below
			default:
				r.Fatalf("%+v: %+v", a, o)
			}
		}
	}
	for a, all := range answers {
		for _, o := range all {
			if errors.Is(o.Err, ErrMismatch) && (byKey[a.key] == "" || body[a.key] == a.body) {
				r.Fatalf("%+v: %v, but no other body had an effect", a, o.Err)
			}
		}
		if fresh[a.key] > 1 {
			r.Fatalf("key %d took effect %d times", a.key, fresh[a.key])
		}
	}
	got := effects(w.t, w.db)
	told := 0
	for _, e := range got {
		if w.known[e] {
			told++
		}
	}
	if told != len(w.known) || len(got) > told+w.unknown {
		r.Fatalf("%d effects, %d of them told; want %d told and at most %d unknown", len(got), told, len(w.known), w.unknown)
	}
}

func sortOf(answers map[ask][]Outcome) (all []ask) {
	for a := range answers {
		all = append(all, a)
	}
	return all
}

// commit is the statement as it is sent. Sessions are also set to READ COMMITTED.
const commit = "\x03COMMIT"

// TestTogetherAgreesWithAModel asks at random from two processes: good and bad acts,
// the same twice at once, and on MariaDB connections that are cut at any statement,
// before it and after it. Each key has one effect, and whatever was told is there.
func TestTogetherAgreesWithAModel(t *testing.T) {
	t.Parallel()
	run := func(t *testing.T, cut func(r *rapid.T) (over func()), dbs ...*sqldb.DB) {
		w := &world{t: t, db: migrated(t, dbs[0]), known: map[string]bool{}}
		for i := range w.processes {
			w.processes[i] = newProcess(dbs[i])
		}
		rapid.Check(t, func(r *rapid.T) {
			var asks []ask
			for range rapid.IntRange(1, 20).Draw(r, "asks") {
				a := ask{
					byte(rapid.IntRange(0, 4).Draw(r, "key")), byte(rapid.IntRange(1, 2).Draw(r, "body")),
					rapid.SampledFrom([]string{"", "", "", "refused", "broken"}).Draw(r, "how"),
				}
				asks = append(asks, a)
			}
			over := cut(r)
			answers := w.round(asks)
			over()
			w.judge(r, answers)
			forget(t, dbs[0])
		})
		for _, p := range w.processes {
			p.Close()
		}
	}
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := sqldbtest.SQLite(t)()
		run(t, func(*rapid.T) func() { return func() {} }, db, db)
	})
	t.Run("MariaDB", func(t *testing.T) {
		t.Parallel()
		open := sqldbtest.MariaDB(t)
		run(t, func(*rapid.T) func() { return func() {} }, open(), open())
	})
	t.Run("MariaDBWithCuts", func(t *testing.T) {
		t.Parallel()
		url := servers.MariaDB(t)
		proxy := sqldbtest.NewProxy(t, url)
		open := func(url string) *sqldb.DB {
			db, err := sqldb.OpenMySQL(t.Context(), url, sqldb.MySQLOptions{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = db.Close() })
			return db
		}
		cuts := 0
		run(t, func(r *rapid.T) func() {
			n := rapid.IntRange(0, 3).Draw(r, "cuts")
			for range n {
				proxy.Cut(rapid.SampledFrom([]string{commit, commit, "INSERT INTO idempotency", "INSERT INTO effects", "DELETE FROM idempotency", "START"}).Draw(r, "at"),
					rapid.SampledFrom([]sqldbtest.Fate{sqldbtest.RequestLost, sqldbtest.ReplyLost}).Draw(r, "fate"))
			}
			return func() { cuts += n - proxy.Left(); proxy.Forget() }
		}, open(url), open(proxy.URL))
		if cuts == 0 {
			t.Error("no connection was cut: the test shows nothing")
		}
		t.Log(cuts, "connections were cut")
	})
}

// forget makes the keys new again.
func forget(t *testing.T, db *sqldb.DB) {
	t.Helper()
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `DELETE FROM idempotency`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestLostCommitsOfGroupsAreSettled: of a group whose commit was lost, who has a key is
// told what happened, once and for all, and who has none is told that it is unknown.
func TestLostCommitsOfGroupsAreSettled(t *testing.T) {
	t.Parallel()
	proxy := sqldbtest.NewProxy(t, servers.MariaDB(t))
	db, err := sqldb.OpenMySQL(t.Context(), proxy.URL, sqldb.MySQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	migrated(t, db)
	key := byte(0)
	for _, fate := range []sqldbtest.Fate{sqldbtest.RequestLost, sqldbtest.ReplyLost} {
		for _, cuts := range []int{1, 2, 3} {
			before := len(effects(t, db))
			for range cuts {
				proxy.Cut(commit, fate)
			}
			asks := []ask{{key + 1, 1, ""}, {0, 1, ""}, {key + 2, 1, ""}, {key + 1, 1, ""}, {key + 3, 1, "refused"}}
			key += 3
			out, err := together(t.Context(), db, asks)
			proxy.Forget()
			if err != nil {
				t.Fatal(err)
			}
			settled := fate == sqldbtest.ReplyLost || cuts < settleTriesMax // a lost reply's commit is found by the second try
			for _, i := range []int{0, 2, 3} {
				if o := out[i]; settled && (o.Err != nil || o.Effect == "") || !settled && !errors.Is(o.Err, sqldb.ErrUnknownOutcome) {
					t.Errorf("fate %d, %d cuts: ask %d: %+v", fate, cuts, i, o)
				}
			}
			if !errors.Is(out[1].Err, sqldb.ErrUnknownOutcome) {
				t.Errorf("fate %d, %d cuts: without a key: %+v", fate, cuts, out[1])
			}
			want := before
			if settled {
				want += 2
				wantFound(t, db, asks[0].request(), out[0].Effect, true, nil)
				wantFound(t, db, asks[2].request(), out[2].Effect, true, nil)
			}
			if fate == sqldbtest.ReplyLost {
				want++ // the one without a key: it happened
			}
			wantEffects(t, db, want)
		}
	}
}

// TestUnreachableServerSettlesNothing: a commit that may stand is not called undone when
// the server cannot be asked.
func TestUnreachableServerSettlesNothing(t *testing.T) {
	t.Parallel()
	proxy := sqldbtest.NewProxy(t, servers.MariaDB(t))
	db, err := sqldb.OpenMySQL(t.Context(), proxy.URL, sqldb.MySQLOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	migrated(t, db)
	for name, do := range map[string]func(ctx context.Context) error{
		"Once": func(ctx context.Context) error {
			_, _, err := Once(ctx, db, clock.Func(now), request(1, 1), func(ctx context.Context, tx *sqldb.Tx) (string, error) {
				_, err := tx.ExecContext(ctx, `INSERT INTO effects (id) VALUES ('one')`)
				return "one", err
			})
			return err
		},
		"Together": func(ctx context.Context) error {
			out, err := together(ctx, db, []ask{{2, 1, ""}})
			if err != nil {
				return err
			}
			return out[0].Err
		},
	} {
		proxy.Cut(commit, sqldbtest.ReplyLost)
		for range 30 { // more than any retry
			proxy.Cut("START", sqldbtest.RequestLost)
		}
		err := do(t.Context())
		if proxy.Left() == 30 || !errors.Is(err, sqldb.ErrUnknownOutcome) {
			t.Errorf("%s: %v, %d cuts left; want that it is unknown", name, err, proxy.Left())
		}
		proxy.Forget()
	}
	wantEffects(t, db, 2)
	for _, key := range []byte{1, 2} {
		if effect, ok, err := Find(t.Context(), db.Reader(), request(key, 1)); !ok || effect == "" || err != nil {
			t.Errorf("key %d: %q, %v, %v", key, effect, ok, err)
		}
	}
}
