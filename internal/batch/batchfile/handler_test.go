package batchfile

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

func TestGenerate(t *testing.T) {
	t.Parallel()
	w := openWorld(t, open{})
	defer w.close()
	w.start()
	p := w.product(batch.Product{}, "")
	id, _, err := w.svc.Generate(t.Context(), asOperator(), batch.BatchSpec{ProductID: p.ID, No: "L7", Quantity: 2*unitRows + 5})
	if err != nil {
		t.Fatal(err)
	}
	data := w.done(id)
	b, err := w.svc.Batch(t.Context(), ids.BatchID(w.task(id).Subject))
	if err != nil {
		t.Fatal(err)
	}
	sameText(t, unzip(t, data), naive(t, w.svc.Linker(&b, ""), batch.Runs{{From: 1, To: b.Quantity}}))
	want := []batchevent.Generated{{
		Kind: "file", BatchID: string(b.ID), BrandID: int32(b.BrandID), ProductID: int32(p.ID), BatchNo: "L7",
		Quantity: b.Quantity, TaskID: string(id), UserID: "operator", File: string(id) + ".zip",
	}}
	if diff := cmp.Diff(want, w.told(id)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if free := w.free(&b); len(free) != 0 {
		t.Errorf("free numbers %v after a file of all", free)
	}
}

func TestExportFormats(t *testing.T) {
	t.Parallel()
	w := openWorld(t, open{})
	defer w.close()
	w.start()
	b := w.batch(batch.BatchSpec{Quantity: 100, InnerCode: true}, "9506000134352")
	product, err := w.svc.Product(t.Context(), b.ProductID)
	if err != nil {
		t.Fatal(err)
	}
	all := batch.Runs{{From: 1, To: 100}}
	remove := func(id ids.TaskID) { // done insists that there is one file only
		if err := w.files.Remove(t.Context(), w.task(id).File); err != nil {
			t.Fatal(err)
		}
	}
	id := w.export(&b, batch.FileSpec{Link: "gs1"})
	text := unzip(t, w.done(id))
	sameText(t, text, naive(t, w.svc.Linker(&b, product.GTIN), all))
	if !strings.Contains(text, ",https://code.example.com/01/09506000134352/21/") {
		t.Errorf("no Digital Links in %.200s", text)
	}
	remove(id)

	id = w.export(&b, batch.FileSpec{Format: batch.FormatNDJSON})
	lines := bytes.SplitAfter(w.done(id), []byte("\n"))
	if len(lines) != 101 {
		t.Fatalf("%d lines, want 100", len(lines)-1)
	}
	for i, line := range lines[:100] {
		checkLine(t, w.svc.Linker(&b, ""), int64(i+1), line)
	}
	remove(id)

	for _, layout := range []string{batch.LayoutA4, batch.LayoutRoll} {
		id = w.export(&b, batch.FileSpec{Format: batch.FormatLabels, Layout: layout})
		data := w.done(id)
		pages := map[string]int{batch.LayoutA4: 4, batch.LayoutRoll: 100}[layout]
		if n := bytes.Count(data, []byte("/Type /Page\n")); !bytes.HasPrefix(data, []byte("%PDF-")) || n != pages {
			t.Errorf("labels %s: %d bytes, %d pages, want %d", layout, len(data), n, pages)
		}
		remove(id)
	}
}

// cutOff accepts an export of a display batch and stops its runner midway.
func cutOff(t *testing.T, dir string) (ids.TaskID, batch.Batch) {
	t.Helper()
	k := newKeys()
	reached, once := make(chan struct{}), sync.Once{}
	var b batch.Batch
	k.onToken = func(s ids.Serial) error {
		if no, _ := b.Number(s); no > 6*unitRows && no < b.Quantity { // the last one is tried at the start
			once.Do(func() { close(reached) })
		}
		return nil
	}
	w := openWorld(t, open{dir: dir, keys: k, chunk: unitRows, workers: 1})
	defer w.close()
	b = w.batch(batch.BatchSpec{Quantity: 50 * unitRows, Mark: batch.Display, RotateEvery: time.Hour}, "")
	w.start()
	id := w.export(&b, batch.FileSpec{})
	<-reached
	w.runner.Stop()
	if got := w.task(id); got.State != task.Running || got.Step != batch.StepGenerate || got.Done < unitRows || got.Done >= got.Total {
		t.Fatalf("the stopped task is %s at %s, %d of %d", got.State, got.Step, got.Done, got.Total)
	}
	w.wantFiles(string(id) + ".zip.part")
	return id, b
}

// TestStopAndGoOn pins what the next process makes of a file that was cut off.
func TestStopAndGoOn(t *testing.T) {
	t.Parallel()
	const later = 1_800_000_000 + 2*3600 // two epochs later
	for name, c := range map[string]struct {
		spoil func(part string) error
		url   string
		at    int64 // the moment of the links that the file must have
	}{
		"as it was":    {spoil: leave, at: 1_800_000_000},
		"torn tail":    {spoil: tearTail, at: 1_800_000_000},
		"lost":         {spoil: os.Remove, at: later},
		"too short":    {spoil: func(part string) error { return os.Truncate(part, 100) }, at: later},
		"other origin": {spoil: leave, url: "https://new.example.com", at: later},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			id, b := cutOff(t, dir)
			must(t, c.spoil(filepath.Join(dir, "files", string(id)+".zip.part")))
			w := openWorld(t, open{dir: dir, url: c.url, now: later, chunk: 20 * unitRows})
			defer w.close()
			w.start()
			text := unzip(t, w.done(id))
			want := naive(t, w.svc.LinkerAt(&b, "", time.Unix(c.at, 0)), batch.Runs{{From: 1, To: b.Quantity}})
			sameText(t, text, want)
			if n := len(w.told(id)); n != 1 {
				t.Errorf("told %d times", n)
			}
		})
	}
}

func leave(string) error { return nil }

// tearTail adds what a dying process may have written behind its last checkpoint.
func tearTail(part string) error {
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(bytes.Repeat([]byte{0xab}, 70_000))
	return errors.Join(err, f.Close())
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWholeFileIsKept: the process died between the commit of the file and that of
// the task's end.
func TestWholeFileIsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := openWorld(t, open{dir: dir, idle: true})
	b := w.batch(batch.BatchSpec{Quantity: 10}, "")
	id := w.export(&b, batch.FileSpec{})
	up, err := w.files.Resume(t.Context(), w.task(id).File, 0)
	must(t, err)
	_, err = up.Write([]byte("whole"))
	must(t, err)
	must(t, up.Commit(t.Context()))
	w.close()
	w = openWorld(t, open{dir: dir})
	defer w.close()
	w.start()
	if got := string(w.done(id)); got != "whole" {
		t.Errorf("the whole file was written again: %q", got)
	}
}

// awayStore cannot be reached for some calls.
type awayStore struct {
	blob.Store
	calls atomic.Int64
	away  int64
	says  error
}

func (s *awayStore) Open(ctx context.Context, name string) (*blob.File, error) {
	if s.calls.Add(1) <= s.away {
		return nil, s.says
	}
	return s.Store.Open(ctx, name)
}

func (s *awayStore) Remove(context.Context, string) error { return s.says }

// TestAwayIsWaitedFor: while nobody can say whether the file is there, the task neither
// ends nor gives its numbers back. So it is when a connection to the database is lost.
func TestAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	for name, says := range map[string]error{
		"files": blob.ErrUnavailable, "database": sqldb.ErrUnavailable, "connection": fmt.Errorf("read batch: %w", driver.ErrBadConn),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			awayIsWaitedFor(t, says)
		})
	}
}

func awayIsWaitedFor(t *testing.T, says error) {
	t.Helper()
	w := openWorld(t, open{})
	defer w.close()
	away := &awayStore{Store: w.files, away: 3, says: says}
	w.handler.files, w.handler.away = away, time.Millisecond
	w.start()
	b := w.batch(batch.BatchSpec{Quantity: 10}, "")
	id := w.export(&b, batch.FileSpec{})
	sameText(t, unzip(t, w.done(id)), naive(t, w.svc.Linker(&b, ""), batch.Runs{{From: 1, To: 10}}))
	if got := away.calls.Load(); got <= away.away {
		t.Errorf("the task asked %d times", got)
	}
	if free := w.free(&b); len(free) != 0 {
		t.Errorf("given back: %v", free)
	}
}

var errBroken = errors.New("a key that cannot be read")

// TestFailure pins the compensation: no file, the numbers back in the pool, and the
// task says how to go on; and that this way works.
func TestFailure(t *testing.T) {
	t.Parallel()
	k := newKeys()
	w := openWorld(t, open{keys: k, chunk: unitRows})
	defer w.close()
	b := w.batch(batch.BatchSpec{Quantity: 10 * unitRows, Mark: batch.Display}, "")
	broken := true
	k.onToken = func(s ids.Serial) error {
		if no, _ := b.Number(s); broken && no > 5*unitRows && no < b.Quantity { // the last one is tried at the start
			return errBroken
		}
		return nil
	}
	w.start()
	held, err := w.svc.Claim(t.Context(), asOperator(), b.ID, 100, "line 1")
	must(t, err)
	id := w.export(&b, batch.FileSpec{})
	got := w.ended(id)
	if got.State != task.Failed || got.Step != batch.StepGenerate || got.ErrorCode != "internal" {
		t.Errorf("task ended as %s at %s with %s", got.State, got.Step, got.ErrorCode)
	}
	for _, part := range []string{"internal error", "pool of batch " + string(b.ID), "unclaimed: true"} {
		if !strings.Contains(got.ErrorText, part) {
			t.Errorf("task says %q, not %q", got.ErrorText, part)
		}
	}
	if strings.Contains(got.ErrorText, errBroken.Error()) {
		t.Errorf("an internal error is shown: %q", got.ErrorText)
	}
	w.wantFiles()
	want := []batchevent.Generated{{
		Kind: "failed", BatchID: string(b.ID), BrandID: int32(b.BrandID), ProductID: int32(b.ProductID), BatchNo: b.No,
		Quantity: b.Quantity, TaskID: string(id), UserID: "operator", Reason: got.ErrorText,
	}}
	if diff := cmp.Diff(want, w.told(id)); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	// what line 1 holds is not this file's to release
	if diff := cmp.Diff(batch.Runs{{From: held.To + 1, To: b.Quantity}}, w.free(&b)); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
	broken = false
	sameText(t, unzip(t, w.done(w.export(&b, batch.FileSpec{}))), naive(t, w.svc.Linker(&b, ""), batch.Runs{{From: 1, To: b.Quantity}}))
}

// TestFailureOfClaimedNumbers: numbers that a line holds stay its own.
func TestFailureOfClaimedNumbers(t *testing.T) {
	t.Parallel()
	k := newKeys()
	k.onToken = func(ids.Serial) error { return errBroken }
	w := openWorld(t, open{keys: k})
	defer w.close()
	w.start()
	b := w.batch(batch.BatchSpec{Quantity: 50, Mark: batch.Display}, "")
	_, err := w.svc.Claim(t.Context(), asOperator(), b.ID, 20, "line 1")
	must(t, err)
	id, _, err := w.svc.Export(t.Context(), asOperator(), b.ID, batch.Run{From: 1, To: 50}, batch.FileSpec{}, false)
	must(t, err)
	got := w.ended(id)
	if got.State != task.Failed || strings.Contains(got.ErrorText, "pool") || !strings.Contains(got.ErrorText, "export it again") {
		t.Errorf("task ended as %s: %q", got.State, got.ErrorText)
	}
	if diff := cmp.Diff(batch.Runs{{From: 21, To: 50}}, w.free(&b)); diff != "" {
		t.Errorf("free (-want +got):\n%s", diff)
	}
	w.wantFiles()
}

// TestUnreadablePayload: a task of another version must not run for ever.
func TestUnreadablePayload(t *testing.T) {
	t.Parallel()
	w := openWorld(t, open{})
	defer w.close()
	for _, payload := range []string{`[]`, `{"runs":[]}`} {
		bad := task.Task{Kind: batch.TaskExport, Payload: []byte(payload), File: "x.zip"}
		if err := w.handler.Run(t.Context(), &task.Progress{Task: bad}); err == nil {
			t.Errorf("payload %s was written", payload)
		}
		if err := w.handler.Finish(t.Context(), nil, &bad, errBroken); err != nil {
			t.Errorf("payload %s keeps its task open: %v", payload, err)
		}
		if err := w.handler.Finish(t.Context(), nil, &bad, nil); err == nil {
			t.Errorf("payload %s ended well", payload)
		}
	}
}

func TestCancelledRunStaysOpen(t *testing.T) {
	t.Parallel()
	w := openWorld(t, open{idle: true})
	defer w.close()
	b := w.batch(batch.BatchSpec{Quantity: 10}, "")
	id := w.export(&b, batch.FileSpec{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.handler.Run(ctx, &task.Progress{Task: w.task(id)}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run in a stopping process: %v", err)
	}
	if got := w.task(id); got.State != task.Queued {
		t.Errorf("task is %s", got.State)
	}
}

// TestFullDatabase: where files and database share a disk, a checkpoint may find it
// full before the file does. The operator must be told the same.
func TestFullDatabase(t *testing.T) {
	t.Parallel()
	db, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "full.db"))
	must(t, err)
	full := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		for _, statement := range []string{`CREATE TABLE t (b BLOB)`, `PRAGMA max_page_count = 3`, `INSERT INTO t VALUES (zeroblob(1000000))`} {
			if _, err := tx.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
		return nil
	})
	must(t, db.Close())
	if !sqldb.IsFull(full) {
		t.Fatalf("the database is not full: %v", full)
	}
	k := newKeys()
	k.onToken = func(ids.Serial) error { return full } // as Save would
	w := openWorld(t, open{keys: k})
	defer w.close()
	w.start()
	b := w.batch(batch.BatchSpec{Quantity: 10, Mark: batch.Display}, "")
	if got := w.ended(w.export(&b, batch.FileSpec{})); got.ErrorCode != "blob.no_space" || !strings.Contains(got.ErrorText, "no space left") {
		t.Errorf("task ended with %s: %s", got.ErrorCode, got.ErrorText)
	}
}
