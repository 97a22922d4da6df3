package batchfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/mark"
	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/task"
)

// chunkRows is how many rows lie between two checkpoints: a second of work or less,
// so that fsync and commit cost a few percent of it. The biggest file of
// codes/generate is one chunk.
const chunkRows = 1 << 20

// signedChunkRows is chunkRows where each row takes an Ed25519 signature.
const signedChunkRows = 1 << 15

func (h *Handler) chunkOf(b *batch.Batch) int64 {
	if b.SignatureKeyID != "" {
		return min(h.chunk, signedChunkRows)
	}
	return h.chunk
}

// checkpoint is what a file task remembers.
type checkpoint struct {
	position
	At   time.Time `json:"at"`   // the moment whose token links the file gives
	Like string    `json:"like"` // the likeness of its first row
}

// upload is the part of blob.Upload that a file is written to.
type upload interface {
	io.Writer
	Sync() error
}

// saver stores checkpoints; task.Progress is one.
type saver interface {
	Save(ctx context.Context, step string, checkpoint any, done int64) error
}

var (
	_ upload = (*blob.Upload)(nil)
	_ saver  = (*task.Progress)(nil)
)

// writeRows writes a file of rows, from the task's checkpoint on.
func (h *Handler) writeRows(ctx context.Context, p *task.Progress, job batch.FileJob, b *batch.Batch, gtin gs1.GTIN) error {
	s, cp, err := h.restore(p, job, b, gtin)
	if err != nil {
		return err
	}
	up, err := h.files.Resume(ctx, p.File, cp.Offset)
	if err != nil && cp.Offset > 0 && !errors.Is(err, blob.ErrNoSpace) {
		// restored from a backup, or a directory entry that a power loss took away
		h.log.Warn("unfinished file is not as its checkpoint says, begin it anew", "task_id", p.ID, "file", p.File, "error", err)
		if s, cp, err = h.begin(job, b, gtin); err == nil {
			up, err = h.files.Resume(ctx, p.File, 0)
		}
	}
	if err != nil {
		return err
	}
	// Always: it says that the work has begun, and of which moment the links are.
	if err = p.Save(ctx, batch.StepGenerate, cp, cp.Rows); err == nil {
		err = s.fill(ctx, up, p, cp, h.chunkOf(b))
	}
	return end(ctx, up, err)
}

// end commits the upload, or leaves it as it is for the next start.
func end(ctx context.Context, up *blob.Upload, err error) error {
	if err != nil {
		return errors.Join(err, up.Close())
	}
	return up.Commit(ctx)
}

// restore makes the stream of the task's checkpoint.
func (h *Handler) restore(p *task.Progress, job batch.FileJob, b *batch.Batch, gtin gs1.GTIN) (*stream, checkpoint, error) {
	var cp checkpoint
	if err := json.Unmarshal(p.Checkpoint, &cp); err != nil {
		return nil, cp, fmt.Errorf("read checkpoint of task %s: %w", p.ID, err)
	}
	if cp.Rows == 0 {
		return h.begin(job, b, gtin)
	}
	s, err := newStream(h.svc.LinkerAt(b, gtin, cp.At), job.Runs, job.Spec.Format, h.workers)
	if err != nil {
		return nil, cp, err
	}
	like, err := s.rows.likeness(job.Runs[0].From)
	if err != nil {
		return nil, cp, err
	}
	if like != cp.Like {
		h.log.Warn("public URL or key has changed since the file was begun, begin it anew", "task_id", p.ID, "file", p.File)
		return h.begin(job, b, gtin)
	}
	s.position = cp.position
	return s, cp, nil
}

// begin makes the stream of a new file.
func (h *Handler) begin(job batch.FileJob, b *batch.Batch, gtin gs1.GTIN) (*stream, checkpoint, error) {
	cp := checkpoint{At: h.clock.Now()}
	s, err := newStream(h.svc.LinkerAt(b, gtin, cp.At), job.Runs, job.Spec.Format, h.workers)
	if err != nil {
		return nil, cp, err
	}
	cp.Like, err = s.rows.likeness(job.Runs[0].From)
	return s, cp, err
}

// fill writes the stream with a checkpoint after each chunk. What a checkpoint
// counts is durable before the checkpoint is.
func (s *stream) fill(ctx context.Context, up upload, to saver, cp checkpoint, chunk int64) error {
	return s.write(ctx, up, func() error {
		if s.Rows-cp.Rows < chunk {
			return nil
		}
		if err := up.Sync(); err != nil {
			return err
		}
		cp.position = s.position
		return to.Save(ctx, batch.StepGenerate, cp, cp.Rows)
	})
}

// writeLabels writes a sheet of labels in one go: it is small, and a PDF can only be
// written whole.
func (h *Handler) writeLabels(ctx context.Context, p *task.Progress, job batch.FileJob, b *batch.Batch, product *batch.Product, gtin gs1.GTIN) error {
	cp := checkpoint{At: h.clock.Now()}
	if err := p.Save(ctx, batch.StepGenerate, cp, 0); err != nil {
		return err
	}
	sheet, err := drawLabels(ctx, h.svc.LinkerAt(b, gtin, cp.At), job, b, product)
	if err != nil {
		return err
	}
	up, err := h.files.Resume(ctx, p.File, 0)
	if err != nil {
		return err
	}
	_, err = sheet.WriteTo(up)
	return end(ctx, up, err)
}

func drawLabels(ctx context.Context, linker *batch.Linker, job batch.FileJob, b *batch.Batch, product *batch.Product) (*mark.Sheet, error) {
	layout := mark.A4
	if job.Spec.Layout == batch.LayoutRoll {
		layout = mark.Roll50x30
	}
	sheet, err := mark.NewSheet(layout, linker.At())
	if err != nil {
		return nil, err
	}
	for _, run := range job.Runs {
		for no := run.From; no <= run.To; no++ {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			label, err := labelOf(linker, no)
			if err != nil {
				return nil, err
			}
			label.Product, label.BatchNo = product.Name, b.No
			if err := sheet.Add(label); err != nil {
				return nil, err
			}
		}
	}
	return sheet, nil
}

func labelOf(linker *batch.Linker, no int64) (mark.Label, error) {
	code := linker.AppendCode(nil, no)
	url, err := linker.AppendURL(nil, no, code)
	if err != nil {
		return mark.Label{}, err
	}
	inner, err := linker.InnerCode(no)
	return mark.Label{Code: string(code), URL: string(url), No: no, Inner: inner}, err
}
