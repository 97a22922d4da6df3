package task

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// Handler does the work of one kind of task.
type Handler interface {
	// Run does the work from the checkpoint on. It must return the context's error
	// when the process is stopping: the task then stays open for the next start.
	Run(ctx context.Context, p *Progress) error
	// Finish writes what the end of the task means (announcements, compensation)
	// in the transaction that ends it. failure is nil for a task that is done.
	Finish(ctx context.Context, tx *sqldb.Tx, t *Task, failure error) error
}

// Progress is a running task in its handler's hands.
type Progress struct {
	Task
	runner *Runner
}

// Save makes the checkpoint, the step and the count of what is done durable.
func (p *Progress) Save(ctx context.Context, step string, checkpoint any, done int64) error {
	raw, err := json.Marshal(checkpoint)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	p.State, p.Step, p.Checkpoint, p.Done = Running, step, raw, done
	return p.runner.db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error { return save(ctx, tx, &p.Task) })
}

// Runner runs tasks, a few at a time.
type Runner struct {
	db       *sqldb.DB
	clock    clock.Clock
	log      *slog.Logger
	handlers map[string]Handler
	slots    chan struct{}

	mu      sync.Mutex
	started map[ids.TaskID]bool // guarded by mu
	ctx     context.Context     //nolint:containedctx // the life of all work; ended by Stop
	cancel  context.CancelFunc
	work    sync.WaitGroup
}

// NewRunner makes a runner that works on at most slots tasks at once.
func NewRunner(db *sqldb.DB, c clock.Clock, log *slog.Logger, slots int) *Runner {
	ctx, cancel := context.WithCancel(context.Background())
	return &Runner{
		db: db, clock: c, log: log, handlers: map[string]Handler{}, slots: make(chan struct{}, slots),
		started: map[ids.TaskID]bool{}, ctx: ctx, cancel: cancel,
	}
}

// Handle names the handler of a kind. All are named before Start.
func (r *Runner) Handle(kind string, h Handler) { r.handlers[kind] = h }

// Start takes up what an earlier process left open, and everything that Wake
// brings from now on.
func (r *Runner) Start(ctx context.Context) error {
	open, err := unfinished(ctx, r.db.Reader())
	if err != nil {
		return fmt.Errorf("find open tasks: %w", err)
	}
	for _, t := range open {
		r.launch(t.ID)
	}
	return nil
}

// Wake starts a task that was just inserted. One that runs or has ended is left alone.
func (r *Runner) Wake(ctx context.Context, id ids.TaskID) error {
	t, err := r.Find(ctx, id)
	if err != nil {
		return err
	}
	if t.State == Queued {
		r.launch(id)
	}
	return nil
}

// Find loads a task.
func (r *Runner) Find(ctx context.Context, id ids.TaskID) (Task, error) {
	return Find(ctx, r.db.Reader(), id)
}

// Stop ends all work and waits for it. Open tasks go on at the next Start.
func (r *Runner) Stop() {
	r.mu.Lock()
	r.cancel() // under the lock: no launch slips in behind the wait
	r.mu.Unlock()
	r.work.Wait()
}

func (r *Runner) launch(id ids.TaskID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.started[id] || r.ctx.Err() != nil {
		return
	}
	r.started[id] = true
	r.work.Go(func() {
		select {
		case r.slots <- struct{}{}:
			defer func() { <-r.slots }()
			r.take(id)
		case <-r.ctx.Done():
		}
		r.mu.Lock()
		delete(r.started, id)
		r.mu.Unlock()
	})
}

// take runs the task from where it stands now: since it was launched it may have
// been run to its end already.
func (r *Runner) take(id ids.TaskID) {
	t, err := r.Find(r.ctx, id)
	switch {
	case r.ctx.Err() != nil:
	case err != nil:
		r.log.Error("task cannot be read, stays open", "task_id", id, "error", err)
	case t.State == Queued || t.State == Running:
		r.run(&Progress{Task: t, runner: r})
	}
}

func (r *Runner) run(p *Progress) {
	h, ok := r.handlers[p.Kind]
	if !ok {
		r.log.Error("task of an unknown kind stays open", "task_id", p.ID, "kind", p.Kind)
		return
	}
	err := h.Run(r.ctx, p)
	if r.ctx.Err() != nil && err != nil {
		return // stopping: the next start goes on from the checkpoint
	}
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		end := r.finish(h, &p.Task, err)
		if end == nil {
			break
		}
		r.log.Error("task cannot be ended, will try again", "task_id", p.ID, "error", end)
		select {
		case <-time.After(wait):
		case <-r.ctx.Done():
			return
		}
	}
	if err != nil {
		r.log.Error("task failed", "task_id", p.ID, "kind", p.Kind, "step", p.Step, "error", err)
	}
}

// finish ends the task, with what its end means, in one transaction.
func (r *Runner) finish(h Handler, t *Task, failure error) error {
	return r.db.Write(context.WithoutCancel(r.ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		t.State, t.FinishedAt = Done, r.clock.Now()
		if failure != nil {
			t.State, t.ErrorCode, t.ErrorText = Failed, "internal", "internal error; see the server's log"
			if f, ok := fault.From(failure); ok {
				t.ErrorCode, t.ErrorText = f.Code, f.Text
			}
		}
		if err := h.Finish(ctx, tx, t, failure); err != nil {
			return err
		}
		return save(ctx, tx, t)
	})
}
