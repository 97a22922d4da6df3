package task

import (
	"context"
	"encoding/json"
	"errors"
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
	fence  int64
}

// Save makes the checkpoint, the step and the count of what is done durable. After
// ErrTakenOver the handler must stop.
func (p *Progress) Save(ctx context.Context, step string, checkpoint any, done int64) error {
	raw, err := json.Marshal(checkpoint)
	if err != nil {
		return fmt.Errorf("encode checkpoint: %w", err)
	}
	p.State, p.Step, p.Checkpoint, p.Done = Running, step, raw, done
	for {
		err := p.runner.in(p.ID).Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error { return save(ctx, tx, &p.Task, p.fence) })
		if fault.KindOf(err) != fault.Unavailable {
			return err
		}
		// The database is away, or its answer was: saving the same again is the same. When
		// it stays away the lease runs out, and ctx ends.
		select {
		case <-time.After(saveAgain):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

// saveAgain is the pause before a checkpoint that found no database is saved again.
const saveAgain = 500 * time.Millisecond

// Runner runs tasks, a few at a time.
type Runner struct {
	dbs      *sqldb.Shards
	clock    clock.Clock
	log      *slog.Logger
	handlers map[string]Handler
	slots    chan struct{}
	owner    string

	mu      sync.Mutex
	started map[ids.TaskID]bool // guarded by mu
	ctx     context.Context     //nolint:containedctx // the life of all work; ended by Stop
	cancel  context.CancelFunc
	work    sync.WaitGroup
	looks   sync.WaitGroup // for tasks of other processes
}

const (
	// leaseFor is how long a task waits for its owner's next sign of life. It is given
	// three times as often.
	leaseFor = 30 * time.Second
	// lookEvery is how soon another process's task is found.
	lookEvery = 5 * time.Second
)

// NewRunner makes a runner that works on at most slots tasks at once. A task is in the
// database that its identifier names, with what it belongs to.
func NewRunner(dbs *sqldb.Shards, c clock.Clock, log *slog.Logger, slots int) *Runner {
	ctx, cancel := context.WithCancel(context.Background())
	return &Runner{
		dbs: dbs, clock: c, log: log, handlers: map[string]Handler{}, slots: make(chan struct{}, slots), owner: ids.New("run"),
		started: map[ids.TaskID]bool{}, ctx: ctx, cancel: cancel,
	}
}

// Own gives the runner a name that its process has again when it is started anew, and that
// no other process has while it runs: Start takes up at once what one of that name left
// behind. Were there two of a name, the fence would hold all the same.
func (r *Runner) Own(name string) { r.owner = name }

// Handle names the handler of a kind. All are named before Start.
func (r *Runner) Handle(kind string, h Handler) { r.handlers[kind] = h }

// Start takes up what an earlier process left open, and everything that Wake brings
// from now on. Where several processes share the tasks it goes on looking for those
// that others made, or left behind.
func (r *Runner) Start(ctx context.Context) error {
	home := r.dbs.Home()
	shared := home.Dialect() != sqldb.SQLite
	for _, db := range r.dbs.All() {
		err := db.Write(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
			if !shared {
				return abandon(ctx, tx)
			}
			return abandonOf(ctx, tx, r.owner)
		})
		if err != nil {
			return fmt.Errorf("end the leases of an earlier process: %w", err)
		}
	}
	if err := r.look(ctx); err != nil {
		return err
	}
	if shared {
		r.looks.Go(r.keepLooking)
	}
	return nil
}

func (r *Runner) keepLooking() {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-r.ctx.Done():
			return
		}
		if err := r.look(r.ctx); err != nil && r.ctx.Err() == nil {
			r.log.Warn("cannot look for open tasks, will try again", "error", err)
		}
	}
}

// look launches what nobody works on.
func (r *Runner) look(ctx context.Context) error {
	var errs []error
	for _, db := range r.dbs.All() {
		open, err := waiting(ctx, db.Reader(), r.clock.Now())
		if err != nil {
			errs = append(errs, fmt.Errorf("find open tasks: %w", err))
		}
		for _, t := range open {
			r.launch(t.ID)
		}
	}
	return errors.Join(errs...)
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
	return Find(ctx, r.in(id).Reader(), id)
}

// in is the database of a task.
func (r *Runner) in(id ids.TaskID) *sqldb.DB { return r.dbs.Named(string(id)) }

// Stop ends all work and waits for it. Open tasks go on at the next Start.
func (r *Runner) Stop() {
	r.mu.Lock()
	r.cancel() // under the lock: no launch slips in behind the wait
	r.mu.Unlock()
	r.work.Wait()
	r.looks.Wait()
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
			known := r.take(id)
			<-r.slots
			if !known {
				return // and is not looked at again: handlers are named before Start
			}
		case <-r.ctx.Done():
		}
		r.mu.Lock()
		delete(r.started, id)
		r.mu.Unlock()
	})
}

// take runs the task from where it stands now, if it has not ended meanwhile and no
// other process works on it. It reports false for a kind that has no handler here.
func (r *Runner) take(id ids.TaskID) (known bool) {
	found, err := r.Find(r.ctx, id)
	if err != nil {
		if r.ctx.Err() == nil {
			r.log.Error("task cannot be read, stays open", "task_id", id, "error", err)
		}
		return true
	}
	h, ok := r.handlers[found.Kind]
	if !ok {
		r.log.Error("task of an unknown kind stays open", "task_id", id, "kind", found.Kind)
		return false
	}
	p := &Progress{runner: r}
	taken := false
	err = r.in(id).Write(sqldb.Aside(r.ctx), func(ctx context.Context, tx *sqldb.Tx) (err error) {
		now := r.clock.Now()
		p.Task, p.fence, taken, err = take(ctx, tx, id, r.owner, now, now.Add(leaseFor))
		return err
	})
	switch {
	case r.ctx.Err() != nil && err != nil:
	case err != nil:
		r.log.Error("task cannot be taken, stays open", "task_id", id, "error", err)
	case taken:
		r.run(h, p)
	}
	return true
}

func (r *Runner) run(h Handler, p *Progress) {
	ctx, release := r.keep(p)
	defer release()
	err := h.Run(ctx, p)
	if ctx.Err() != nil && err != nil || errors.Is(err, ErrTakenOver) {
		return // stopping, or another's: who has it next goes on from the checkpoint
	}
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		end := r.finish(h, p, err)
		if end == nil {
			break
		}
		r.log.Error("task cannot be ended, will try again", "task_id", p.ID, "error", end)
		if errors.Is(end, ErrTakenOver) {
			return
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return
		}
	}
	if err != nil {
		r.log.Error("task failed", "task_id", p.ID, "kind", p.Kind, "step", p.Step, "error", err)
	}
}

// keep renews the lease until release, which ends it. The context ends when it is
// lost, or could not be renewed in time.
func (r *Runner) keep(p *Progress) (_ context.Context, release func()) {
	ctx, lose := context.WithCancel(r.ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
		tick := time.NewTicker(leaseFor / 3)
		defer tick.Stop()
		for failures := 0; failures < 2; failures++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			err := r.hold(ctx, p, leaseFor)
			switch {
			case err == nil:
				failures = -1
			case errors.Is(err, ErrTakenOver):
				failures = 2
			}
			if err != nil && ctx.Err() == nil {
				r.log.Warn("lease of a task is not renewed", "task_id", p.ID, "error", err)
			}
		}
		lose()
	})
	return ctx, func() {
		lose()
		renewing.Wait()
		// An ended task has no lease; one that stays open need not wait for its end.
		if err := r.hold(context.WithoutCancel(r.ctx), p, 0); err != nil && !errors.Is(err, ErrTakenOver) {
			r.log.Warn("lease of a task is not given back, it will run out", "task_id", p.ID, "error", err)
		}
	}
}

func (r *Runner) hold(ctx context.Context, p *Progress, lease time.Duration) error {
	until := time.Time{}
	if lease > 0 {
		until = r.clock.Now().Add(lease)
	}
	return r.in(p.ID).Write(sqldb.Aside(ctx), func(ctx context.Context, tx *sqldb.Tx) error { return hold(ctx, tx, p.ID, p.fence, until) })
}

// finish ends the task, with what its end means, in one transaction. The task's row
// comes first: what its end means is only for who holds it.
func (r *Runner) finish(h Handler, p *Progress, failure error) error {
	return r.in(p.ID).Write(context.WithoutCancel(r.ctx), func(ctx context.Context, tx *sqldb.Tx) error {
		now := r.clock.Now()
		if err := hold(ctx, tx, p.ID, p.fence, now.Add(leaseFor)); err != nil {
			return fmt.Errorf("end task %s: %w", p.ID, err)
		}
		t := p.Task // as it is: this may run again
		t.State, t.FinishedAt = Done, now
		if failure != nil {
			t.State, t.ErrorCode, t.ErrorText = Failed, "internal", "internal error; see the server's log"
			if f, ok := fault.From(failure); ok {
				t.ErrorCode, t.ErrorText = f.Code, f.Text
			}
		}
		if err := h.Finish(ctx, tx, &t, failure); err != nil {
			return err
		}
		return save(ctx, tx, &t, p.fence)
	})
}
