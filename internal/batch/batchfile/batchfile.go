// Package batchfile writes files of codes: zipped CSV, NDJSON and label sheets.
//
// Promise: a file task that was accepted ends either with a whole file under its
// name, or with none, and then what was claimed for it is back in the pool and the
// task says so. A task that a crash cut off goes on behind its last checkpoint, and
// its file is byte for byte the one of an undisturbed run (TestResume,
// TestKillAndGoOn). However many codes there are, memory stays the same.
//
// The CSV has the header `no,code,url`, with `inner` as fourth column where a batch
// has inner codes; its lines end in LF, and it is the entry codes.csv of a zip.
//
// One engine: a file is written in one way; where it is kept is platform/blob's
// matter.
package batchfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// Ledger is what the end of a file task means to the batch's records. Both must
// take effect in tx.
type Ledger interface {
	// ReleaseClaims gives back to the pool what these claims still hold.
	ReleaseClaims(ctx context.Context, tx *sqldb.Tx, b ids.BatchID, claims []ids.ClaimID) error
	// Announce tells an event.
	Announce(ctx context.Context, tx *sqldb.Tx, shard ids.Shard, e batch.Event) error
}

// Config is what an operator may set.
type Config struct {
	// Workers is how many goroutines format and compress one file. 0 is half of the
	// cores, at least one: who writes a file must not slow those who scan.
	Workers int
}

// Handler runs tasks of the kinds batch.TaskGenerate and batch.TaskExport.
type Handler struct {
	svc     *batch.Service
	ledger  Ledger
	files   blob.Store
	clock   clock.Clock
	log     *slog.Logger
	workers int
	chunk   int64         // rows between two checkpoints
	away    time.Duration // until the second try to reach the place that keeps files
}

var _ task.Handler = (*Handler)(nil)

// New makes the handler of file tasks.
func New(cfg Config, svc *batch.Service, ledger Ledger, files blob.Store, c clock.Clock, log *slog.Logger) *Handler {
	if cfg.Workers <= 0 {
		cfg.Workers = runtime.GOMAXPROCS(0) / 2
	}
	return &Handler{svc, ledger, files, c, log, min(max(cfg.Workers, 1), workersMax), chunkRows, awayWait}
}

// How long a file waits between two tries to reach the place that keeps files.
const (
	awayWait    = time.Second
	awayWaitMax = time.Minute
)

// Run implements task.Handler.
func (h *Handler) Run(ctx context.Context, p *task.Progress) error {
	err := h.write(ctx, p)
	// Whether the file is there is not known while nobody can be asked: no end of the
	// task would be true. The checkpoint keeps what was made.
	for wait := h.away; isAway(err) && ctx.Err() == nil; wait = min(2*wait, awayWaitMax) {
		h.log.Warn("a file waits for the place that keeps files, or for the database", "task_id", p.ID, "file", p.File, "error", err)
		select {
		case <-time.After(wait):
			err = h.write(ctx, p)
		case <-ctx.Done():
		}
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return errors.Join(ctx.Err(), err)
	case sqldb.IsFull(err):
		// the checkpoint found the full disk before the file did
		err = blob.ErrNoSpace.Because(err)
	}
	// At once, before the task is ended: on a full disk that needs this very room.
	if failed := h.files.Remove(ctx, p.File); failed != nil {
		h.log.Error("unfinished file stays behind", "task_id", p.ID, "file", p.File, "error", failed)
	}
	return err
}

// isAway reports that something does not answer, which says nothing about the file.
func isAway(err error) bool { return errors.Is(err, blob.ErrUnavailable) || sqldb.IsAway(err) }

func (h *Handler) write(ctx context.Context, p *task.Progress) error {
	job, err := jobOf(&p.Task)
	if err != nil {
		return err
	}
	if whole, err := h.isWhole(ctx, p.File); err != nil || whole {
		return err
	}
	b, err := h.svc.Batch(ctx, job.BatchID)
	if err != nil {
		return err
	}
	var product batch.Product
	if job.Spec.Link == "gs1" || job.Spec.Format == batch.FormatLabels {
		if product, err = h.svc.Product(ctx, b.ProductID); err != nil {
			return err
		}
	}
	var gtin gs1.GTIN
	if job.Spec.Link == "gs1" {
		gtin = product.GTIN
	}
	if job.Spec.Format == batch.FormatLabels {
		return h.writeLabels(ctx, p, job, &b, &product, gtin)
	}
	return h.writeRows(ctx, p, job, &b, gtin)
}

// isWhole reports whether the process died between the file's end and the task's.
func (h *Handler) isWhole(ctx context.Context, name string) (bool, error) {
	f, err := h.files.Open(ctx, name)
	if errors.Is(err, blob.ErrUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, f.Close()
}

func jobOf(t *task.Task) (batch.FileJob, error) {
	var job batch.FileJob
	if err := json.Unmarshal(t.Payload, &job); err != nil {
		return job, fmt.Errorf("read payload of task %s: %w", t.ID, err)
	}
	if len(job.Runs) == 0 {
		return job, fmt.Errorf("task %s names no numbers", t.ID)
	}
	return job, nil
}

// Finish implements task.Handler.
func (h *Handler) Finish(ctx context.Context, tx *sqldb.Tx, t *task.Task, failure error) error {
	job, err := jobOf(t)
	switch {
	case err != nil && failure == nil:
		return err
	case err != nil:
		// It failed for the same reason. Without a payload there is nobody to tell and
		// nothing to release, and to insist would keep the task open for ever.
		h.log.Error("task ends without a word to anyone", "task_id", t.ID, "error", err)
		return nil
	}
	b, err := h.svc.Batch(ctx, job.BatchID)
	if err != nil {
		return err
	}
	told := batchevent.Generated{
		Kind: "file", BatchID: string(b.ID), BrandID: int32(b.BrandID), ProductID: int32(b.ProductID), BatchNo: b.No,
		Quantity: t.Total, TaskID: string(t.ID), UserID: t.CreatedBy, File: t.File,
	}
	if failure == nil {
		t.Step, t.Done = batch.StepNotify, t.Total
	} else {
		if err := h.compensate(ctx, tx, t, &job); err != nil {
			return err
		}
		told.Kind, told.File, told.Reason = "failed", "", t.ErrorText
	}
	e, err := batch.NewEvent(batchevent.CodeGenerated, b.BrandID, string(b.ID), told)
	if err != nil {
		return err
	}
	// last, because it takes the shard's counter (outbox.Commit)
	return h.ledger.Announce(ctx, tx, b.Shard(), e)
}

// compensate gives back what was claimed for the file and says how to go on.
func (h *Handler) compensate(ctx context.Context, tx *sqldb.Tx, t *task.Task, job *batch.FileJob) error {
	if len(job.Release) == 0 {
		t.ErrorText += fmt.Sprintf("; no file was made, and the claims of batch %s are as before: export it again", job.BatchID)
		return nil
	}
	if err := h.ledger.ReleaseClaims(ctx, tx, job.BatchID, job.Release); err != nil {
		return fmt.Errorf("release claims of task %s: %w", t.ID, err)
	}
	t.ErrorText += fmt.Sprintf("; no file was made, and the numbers claimed for it went back to the pool of batch %s: "+
		"export that batch again with unclaimed: true", job.BatchID)
	return nil
}

// errUnknownFormat cannot come from a task that was accepted by this version.
func errUnknownFormat(f batch.Format) error {
	return fault.New(fault.Internal, "export.unknown_format", "this version does not know the format %q", f)
}
