package task

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/test/servers"
)

func start() time.Time { return time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) }

func open(t *testing.T, fresh sqldbtest.Fresh) *sqldb.DB {
	t.Helper()
	return migrated(t, fresh(t)())
}

func migrated(t *testing.T, db *sqldb.DB) *sqldb.DB {
	t.Helper()
	create := &fstest.MapFile{Data: []byte("-- +goose Up\nCREATE TABLE ends (task_id VARCHAR(40) PRIMARY KEY, failure VARCHAR(256) NOT NULL);\n")}
	ends := fstest.MapFS{"sqlite/00001_ends.sql": create, "mysql/00001_ends.sql": create}
	if err := errors.Join(db.Migrate(t.Context(), "task", Schema()), db.Migrate(t.Context(), "ends", ends)); err != nil {
		t.Fatal(err)
	}
	return db
}

// worker is a handler made of two functions. Its Finish writes a row of its own,
// which must stand and fall with the task's end.
type worker struct {
	run    func(ctx context.Context, p *Progress) error
	finish func(t *Task) error

	mu   sync.Mutex
	runs int // guarded by mu
	over chan ids.TaskID
}

func newWorker(run func(ctx context.Context, p *Progress) error) *worker {
	return &worker{run: run, finish: func(*Task) error { return nil }, over: make(chan ids.TaskID, 100)}
}

func (w *worker) Run(ctx context.Context, p *Progress) error {
	w.mu.Lock()
	w.runs++
	w.mu.Unlock()
	defer func() { w.over <- p.ID }()
	return w.run(ctx, p)
}

func (w *worker) Finish(ctx context.Context, tx *sqldb.Tx, t *Task, failure error) error {
	text := ""
	if failure != nil {
		text = failure.Error()
	}
	_, err := tx.ExecContext(ctx, `INSERT INTO ends (task_id, failure) VALUES (?, ?)`, t.ID, text)
	return errors.Join(err, w.finish(t))
}

func (w *worker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.runs
}

func newRunner(db *sqldb.DB, w *worker, slots int) *Runner {
	r := NewRunner(sqldb.One(db), clock.Func(start), slog.New(slog.DiscardHandler), slots)
	r.Handle("work", w)
	return r
}

func insert(t *testing.T, db *sqldb.DB, kind string) ids.TaskID {
	t.Helper()
	task := Task{
		ID: ids.TaskID(ids.New("task")), Kind: kind, Step: "first", Payload: json.RawMessage(`{"n":3}`), Subject: "bat_1",
		File: "f.zip", Total: 3, CreatedBy: "tester", CreatedAt: start(),
	}
	if err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return Insert(ctx, tx, task) }); err != nil {
		t.Fatal(err)
	}
	return task.ID
}

func find(t *testing.T, db *sqldb.DB, id ids.TaskID) Task {
	t.Helper()
	task, err := Find(t.Context(), db.Reader(), id)
	if err != nil {
		t.Fatal(err)
	}
	return task
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// ends lists the rows that Finish wrote.
func ends(t *testing.T, db *sqldb.DB) (failures []string) {
	t.Helper()
	rows, err := db.Reader().QueryContext(t.Context(), `SELECT failure FROM ends ORDER BY task_id`)
	must(t, err)
	defer rows.Close()
	for rows.Next() {
		var f string
		must(t, rows.Scan(&f))
		failures = append(failures, f)
	}
	must(t, rows.Err())
	return failures
}

func TestTaskIsRunToItsEnd(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)

		w := newWorker(func(ctx context.Context, p *Progress) error {
			if string(p.Payload) != `{"n":3}` || string(p.Checkpoint) != "{}" || p.State != Queued {
				t.Errorf("the handler got %+v", p.Task)
			}
			if err := p.Save(ctx, "second", map[string]int{"at": 2}, 2); err != nil {
				return err
			}
			if now := find(t, db, p.ID); now.State != Running || now.Step != "second" || now.Done != 2 || string(now.Checkpoint) != `{"at":2}` {
				t.Errorf("saved: %+v", now)
			}
			return p.Save(ctx, "third", map[string]int{"at": 3}, 3)
		})
		r := newRunner(db, w, 1)
		must(t, r.Start(t.Context()))
		id := insert(t, db, "work")
		must(t, r.Wake(t.Context(), id))
		<-w.over
		r.Stop()
		want := Task{
			ID: id, Kind: "work", State: Done, Step: "third", Payload: json.RawMessage(`{"n":3}`), Checkpoint: json.RawMessage(`{"at":3}`),
			Subject: "bat_1", File: "f.zip", Done: 3, Total: 3, CreatedBy: "tester", CreatedAt: start(), FinishedAt: start(),
		}
		if diff := cmp.Diff(want, find(t, db, id)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]string{""}, ends(t, db)); diff != "" {
			t.Errorf("ends (-want +got):\n%s", diff)
		}
		_, err := r.Find(t.Context(), "task_none")
		if !errors.Is(err, ErrUnknown) || !errors.Is(r.Wake(t.Context(), "task_none"), ErrUnknown) {
			t.Errorf("an unknown task: %v", err)
		}
	})
}

func TestFailureIsToldAndCompensated(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		for name, c := range map[string]struct {
			err        error
			code, text string
		}{
			"fault":    {fault.New(fault.Unavailable, "blob.no_space", "no space left").Because(errors.New("ENOSPC on /dev/vda")), "blob.no_space", "no space left"},
			"internal": {errors.New("password is hunter2"), "internal", "internal error; see the server's log"},
		} {
			t.Run(name, func(t *testing.T) {
				db := open(t, fresh)

				w := newWorker(func(context.Context, *Progress) error { return c.err })
				ending := make(chan struct{}, 10)
				w.finish = func(*Task) error { ending <- struct{}{}; return nil }
				r := newRunner(db, w, 1)
				id := insert(t, db, "work")
				must(t, r.Start(t.Context())) // it was there before
				<-ending                      // a Stop before it would leave the task open
				r.Stop()
				got := find(t, db, id)
				if got.State != Failed || got.ErrorCode != c.code || got.ErrorText != c.text || !got.FinishedAt.Equal(start()) {
					t.Errorf("%+v", got)
				}
				if diff := cmp.Diff([]string{c.err.Error()}, ends(t, db)); diff != "" {
					t.Errorf("ends (-want +got):\n%s", diff)
				}
			})
		}
	})
}

// TestTaskGoesOnFromItsCheckpoint stops a runner in the middle of a task, which is
// what the death of the process leaves behind, and starts another.
func TestTaskGoesOnFromItsCheckpoint(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)

		saved := make(chan bool)
		first := newWorker(func(ctx context.Context, p *Progress) error {
			if err := p.Save(ctx, "half", 5, 5); err != nil {
				return err
			}
			saved <- true
			<-ctx.Done()
			return ctx.Err()
		})
		r := newRunner(db, first, 1)
		must(t, r.Start(t.Context()))
		id, waiting := insert(t, db, "work"), insert(t, db, "work")
		must(t, r.Wake(t.Context(), id))
		<-saved
		must(t, r.Wake(t.Context(), waiting)) // no slot is free for it
		r.Stop()
		if got := find(t, db, id); got.State != Running || string(got.Checkpoint) != "5" {
			t.Errorf("after the stop: %+v", got)
		}
		if got := find(t, db, waiting); got.State != Queued || first.count() != 1 {
			t.Errorf("the other after the stop: %+v, %d runs", got, first.count())
		}
		must(t, r.Wake(t.Context(), waiting)) // too late: nothing is launched any more
		if len(ends(t, db)) != 0 {
			t.Error("a stopped task has an end")
		}

		second := newWorker(func(_ context.Context, p *Progress) error {
			if p.ID == id && (string(p.Checkpoint) != "5" || p.Done != 5 || p.Step != "half") {
				t.Errorf("goes on from %+v", p.Task)
			}
			return nil
		})
		r = newRunner(db, second, 2)
		must(t, r.Start(t.Context()))
		<-second.over
		<-second.over
		r.Stop()
		for _, id := range []ids.TaskID{id, waiting} {
			if got := find(t, db, id); got.State != Done {
				t.Errorf("in the end: %+v", got)
			}
		}
		must(t, r.Start(t.Context())) // what has ended is not taken up again
		if second.count() != 2 || first.count() != 1 {
			t.Errorf("%d and %d runs, want 1 and 2", first.count(), second.count())
		}
	})
}

// TestWokenOftenRunsOnce wakes a task again and again while it runs and after.
func TestWokenOftenRunsOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)

		w := newWorker(func(context.Context, *Progress) error { return nil })
		r := newRunner(db, w, 3)
		must(t, r.Start(t.Context()))
		tasks := make([]ids.TaskID, 20)
		for i := range tasks {
			tasks[i] = insert(t, db, "work")
		}
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() {
				for _, id := range tasks {
					for range 5 {
						if err := r.Wake(t.Context(), id); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		all.Wait()
		for range tasks {
			<-w.over
		}
		for _, id := range tasks { // as if Wake had read the task before it ended
			r.launch(id)
		}
		idle := make(chan struct{})
		all.Go(func() {
			r.work.Wait()
			close(idle)
		})
		select {
		case <-idle:
		case id := <-w.over:
			t.Errorf("task %s ran again after its end", id)
		}
		r.Stop()
		all.Wait()
		if w.count() != len(tasks) || len(ends(t, db)) != len(tasks) {
			t.Errorf("%d runs and %d ends of %d tasks", w.count(), len(ends(t, db)), len(tasks))
		}
	})
}

func TestSlotsBoundWhatRunsAtOnce(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)

		started, release := make(chan bool, 10), make(chan bool)
		w := newWorker(func(context.Context, *Progress) error {
			started <- true
			<-release
			return nil
		})
		r := newRunner(db, w, 2)
		for range 5 {
			insert(t, db, "work")
		}
		must(t, r.Start(t.Context()))
		for done := range 5 {
			for len(started) < min(2, 5-done) { // wait for those that may run
				s := <-started
				started <- s
			}
			if len(started) > 2 {
				t.Errorf("%d run at once, want 2", len(started))
			}
			release <- true
			<-started
			<-w.over
		}
		r.Stop()
	})
}

// lines gives what is logged to who waits for it.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

func TestUnknownKindStaysOpen(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)

		logged := make(lines, 10)
		r := NewRunner(sqldb.One(db), clock.Func(start), slog.New(slog.NewTextHandler(logged, nil)), 1)
		id := insert(t, db, "of a newer version")
		other := insert(t, db, "work")
		w := newWorker(func(context.Context, *Progress) error { return nil })
		r.Handle("work", w)
		must(t, r.Start(t.Context()))
		<-w.over
		line := <-logged
		r.Stop()
		if got := find(t, db, id); got.State != Queued {
			t.Errorf("%+v", got)
		}
		if got := find(t, db, other); got.State != Done {
			t.Errorf("the known one: %+v", got)
		}
		if !strings.Contains(line, "of a newer version") || !strings.Contains(line, string(id)) {
			t.Errorf("the log says %q", line)
		}
	})
}

// TestEndIsTriedAgain: what the end of a task means is written with the end or not
// at all, and a task whose end cannot be written stays open until it can.
func TestEndIsTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db := open(t, sqldbtest.SQLite)
		w := newWorker(func(context.Context, *Progress) error { return nil })
		tries := 0
		w.finish = func(*Task) error {
			if tries++; tries < 4 {
				return errors.New("the disk is full")
			}
			return nil
		}
		r := newRunner(db, w, 1)
		id := insert(t, db, "work")
		began := time.Now()
		must(t, r.Start(t.Context()))
		<-w.over
		synctest.Wait()
		if got := find(t, db, id); got.State != Queued || len(ends(t, db)) != 0 {
			t.Errorf("after the first failure: %+v, ends %v", got, ends(t, db))
		}
		time.Sleep(time.Second + 2*time.Second + 4*time.Second)
		r.Stop()
		if got := find(t, db, id); got.State != Done || tries != 4 || len(ends(t, db)) != 1 {
			t.Errorf("%+v after %d tries, ends %v", got, tries, ends(t, db))
		}
		if took := time.Since(began); took < 7*time.Second {
			t.Errorf("three waits took %v, want 1+2+4 s", took)
		}
		if w.count() != 1 {
			t.Errorf("the work was done %d times", w.count())
		}
	})
}

func TestEndedTaskCannotBeSaved(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)

		var late *Progress
		w := newWorker(func(_ context.Context, p *Progress) error {
			late = p
			return nil
		})
		r := newRunner(db, w, 1)
		id := insert(t, db, "work")
		must(t, r.Start(t.Context()))
		<-w.over
		r.Stop()
		if err := late.Save(t.Context(), "late", 1, 1); err == nil || !strings.Contains(err.Error(), string(id)) {
			t.Errorf("Save after the end: %v", err)
		}
		if got := find(t, db, id); got.State != Done {
			t.Errorf("%+v", got)
		}
	})
}

// TestOneProcessRunsATask: several processes look for the same tasks.
func TestOneProcessRunsATask(t *testing.T) {
	t.Parallel()
	open := sqldbtest.MariaDB(t)
	db := migrated(t, open())
	tasks := make([]ids.TaskID, 20)
	for i := range tasks {
		tasks[i] = insert(t, db, "work")
	}
	workers := make([]*worker, 3)
	runners := make([]*Runner, len(workers))
	for i := range workers {
		workers[i] = newWorker(func(ctx context.Context, p *Progress) error { return p.Save(ctx, "half", 1, 1) })
		runners[i] = newRunner(open(), workers[i], 2)
		must(t, runners[i].Start(t.Context()))
	}
	runs := 0
	for range tasks {
		select {
		case <-workers[0].over:
		case <-workers[1].over:
		case <-workers[2].over:
		}
	}
	for i := range workers {
		runners[i].Stop()
		runs += workers[i].count()
	}
	if runs != len(tasks) || len(ends(t, db)) != len(tasks) {
		t.Errorf("%d runs and %d ends of %d tasks", runs, len(ends(t, db)), len(tasks))
	}
}

// TestTakenOverSavesNothing: a process that was silent for too long has lost its task.
// It may wake up in the middle of it, and even at its end.
func TestTakenOverSavesNothing(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		open := fresh(t)
		db := migrated(t, open())
		var late atomic.Bool
		clocks := clock.Func(func() time.Time {
			if late.Load() {
				return start().Add(leaseFor)
			}
			return start()
		})
		runner := func(w *worker) *Runner {
			r := NewRunner(sqldb.One(open()), clocks, slog.New(slog.DiscardHandler), 1)
			r.Handle("work", w)
			return r
		}
		begun, goOn := make(chan bool), make(chan bool)
		var saved [2]error // while the other works, and after its end
		silent := newWorker(func(ctx context.Context, p *Progress) error {
			if err := p.Save(ctx, "half", 5, 5); err != nil {
				t.Error(err)
			}
			for i := range saved {
				begun <- true
				<-goOn
				saved[i] = p.Save(ctx, "more", 6, 6)
			}
			return nil // as one that looks at nothing
		})
		id := insert(t, db, "work")
		first := runner(silent)
		must(t, first.look(t.Context()))
		<-begun
		second := newWorker(func(ctx context.Context, p *Progress) error {
			if string(p.Checkpoint) != "5" {
				t.Errorf("goes on from %+v", p.Task)
			}
			err := p.Save(ctx, "theirs", 7, 7)
			goOn <- true
			<-begun
			if now := find(t, db, p.ID); now.Step != "theirs" {
				t.Errorf("the silent one has saved: %+v", now)
			}
			return err
		})
		r := runner(second)
		must(t, r.look(t.Context()))
		r.launch(id)
		r.work.Wait()
		if second.count() != 0 {
			t.Fatal("two run one task")
		}
		late.Store(true)
		must(t, r.look(t.Context()))
		<-second.over
		r.work.Wait()
		goOn <- true
		<-silent.over
		first.Stop()
		r.Stop()
		if !errors.Is(saved[0], ErrTakenOver) || !errors.Is(saved[1], ErrTakenOver) {
			t.Errorf("the silent one saved: %v", saved)
		}
		if got := find(t, db, id); got.State != Done || got.Step != "theirs" || string(got.Checkpoint) != "7" {
			t.Errorf("in the end: %+v", got)
		}
		if diff := cmp.Diff([]string{""}, ends(t, db)); diff != "" {
			t.Errorf("ends (-want +got):\n%s", diff)
		}
	})
}

// TestStopGivesTheLeaseBack: who comes next need not wait until it runs out.
func TestStopGivesTheLeaseBack(t *testing.T) {
	t.Parallel()
	open := sqldbtest.MariaDB(t)
	db := migrated(t, open())
	begun := make(chan bool)
	w := newWorker(func(ctx context.Context, _ *Progress) error {
		begun <- true
		<-ctx.Done()
		return ctx.Err()
	})
	r := newRunner(db, w, 1)
	id := insert(t, db, "work")
	must(t, r.Start(t.Context()))
	<-begun
	r.Stop()
	next := newWorker(func(context.Context, *Progress) error { return nil })
	r = newRunner(open(), next, 1)
	must(t, r.Start(t.Context()))
	<-next.over
	r.Stop()
	if got := find(t, db, id); got.State != Done {
		t.Errorf("%+v", got)
	}
}

// TestSameOwnerIsBackAtOnce: a process that was killed and is there again need not wait for
// its own lease, and another one must.
func TestSameOwnerIsBackAtOnce(t *testing.T) {
	t.Parallel()
	open := sqldbtest.MariaDB(t)
	db := migrated(t, open())
	id := insert(t, db, "work")
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { // as the killed one had taken it
		_, _, ok, err := take(ctx, tx, id, "here", start(), start().Add(leaseFor))
		if err == nil && !ok {
			err = errors.New("not taken")
		}
		return err
	})
	must(t, err)
	run := func(owner string) *worker {
		w := newWorker(func(context.Context, *Progress) error { return nil })
		r := newRunner(open(), w, 1)
		r.Own(owner)
		must(t, r.Start(t.Context()))
		if owner == "here" {
			<-w.over
		}
		r.Stop()
		return w
	}
	if run("elsewhere").count() != 0 {
		t.Error("another process took it over before its lease had ended")
	}
	if run("here").count() != 1 {
		t.Error("the same process did not take it up")
	}
	if got := find(t, db, id); got.State != Done {
		t.Errorf("%+v", got)
	}
}

// TestLongErrorsEndATask: a text that does not fit must not keep it open for ever.
func TestLongErrorsEndATask(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)
		why := fault.New(fault.Internal, "work.long", "%s", strings.Repeat("\xff茶", 2000))
		w := newWorker(func(context.Context, *Progress) error { return why })
		w.finish = func(*Task) error { return nil }
		r := newRunner(db, w, 1)
		r.handlers["work"] = silentEnd{w}
		id := insert(t, db, "work")
		must(t, r.Start(t.Context()))
		<-w.over
		r.Stop()
		if got := find(t, db, id); got.State != Failed || !strings.HasPrefix(got.ErrorText, "茶茶") || len(got.ErrorText) > errorTextBytes {
			t.Errorf("%s with %d bytes", got.State, len(got.ErrorText))
		}
	})
}

// silentEnd writes nothing of its own.
type silentEnd struct{ *worker }

func (silentEnd) Finish(context.Context, *sqldb.Tx, *Task, error) error { return nil }

// TestLostAnswerOfACheckpoint: the checkpoint is saved, whoever heard of it.
func TestLostAnswerOfACheckpoint(t *testing.T) {
	t.Parallel()
	proxy := sqldbtest.NewProxy(t, servers.MariaDB(t))
	db, err := sqldb.OpenMySQL(t.Context(), proxy.URL, sqldb.MySQLOptions{})
	must(t, err)
	t.Cleanup(func() { _ = db.Close() })
	migrated(t, db)
	w := newWorker(func(ctx context.Context, p *Progress) error {
		proxy.Cut("COMMIT", sqldbtest.ReplyLost)
		if err := p.Save(ctx, "half", 5, 5); err != nil {
			return err
		}
		proxy.Cut("COMMIT", sqldbtest.RequestLost)
		return p.Save(ctx, "whole", 9, 9)
	})
	r := newRunner(db, w, 1)
	id := insert(t, db, "work")
	must(t, r.Start(t.Context()))
	<-w.over
	r.Stop()
	if got := find(t, db, id); got.State != Done || got.Step != "whole" || proxy.Left() != 0 {
		t.Errorf("%+v, %d cuts left", got, proxy.Left())
	}
}

// TestList: a scope sees the tasks of its brands alone, pages meet without gap or repeat,
// and what a task is to do stays inside.
func TestList(t *testing.T) {
	t.Parallel()
	sqldbtest.Each(t, func(t *testing.T, fresh sqldbtest.Fresh) {
		db := open(t, fresh)
		r := newRunner(db, newWorker(nil), 1)
		var want []ids.TaskID // newest first
		own := map[ids.TaskID]bool{}
		for i := range 12 {
			made := Task{
				ID: ids.TaskID(ids.New("task")), Kind: "work", Payload: json.RawMessage(`{"secret":1}`), BrandID: ids.BrandID(1001 + i%3),
				CreatedAt: start().Add(time.Duration(i/4) * time.Second), // four of a time
			}
			must(t, db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error { return Insert(ctx, tx, made) }))
			want, own[made.ID] = append(want, made.ID), made.BrandID != 1002
		}
		list := func(scope ids.Scope) (all []ids.TaskID) {
			before, id := start().Add(time.Hour), ids.TaskID("")
			for {
				some, err := r.List(ids.WithScope(t.Context(), scope), before, id, 2)
				must(t, err)
				if len(some) == 0 {
					return all
				}
				for _, one := range some {
					if len(one.Payload) != 0 {
						t.Errorf("a list tells %s", one.Payload)
					}
					all = append(all, one.ID)
				}
				before, id = some[len(some)-1].CreatedAt, some[len(some)-1].ID
			}
		}
		whole := list(ids.AllBrands())
		if len(whole) != len(want) || len(slices.Compact(slices.Sorted(slices.Values(whole)))) != len(want) {
			t.Errorf("%d of %d tasks, or one twice: %v", len(whole), len(want), whole)
		}
		some := slices.DeleteFunc(slices.Clone(whole), func(id ids.TaskID) bool { return !own[id] })
		if diff := cmp.Diff(some, list(ids.OnlyBrands(1001, 1003))); diff != "" || len(some) != 8 {
			t.Errorf("of two brands (-want +got):\n%s", diff)
		}
		if got := list(ids.Scope{}); len(got) != 0 {
			t.Errorf("nobody's scope lists %v", got)
		}
	})
}
