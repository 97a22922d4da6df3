package load

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// drainMax is how long after a stage's end its overdue requests are still sent.
	drainMax = 5 * time.Second
	// redialPause keeps a client whose server is gone from spinning.
	redialPause = 20 * time.Millisecond
	wrongKept   = 8
	pathShown   = 120 // bytes; some that are sent are far longer
)

// Result is what became of a stage.
type Result struct {
	Stage      Stage
	Took       time.Duration
	Unsent     int64            // were due, and no connection was free before the stage was over
	Latency    [kinds]Histogram // of answers, since the request was due
	Sent       [kinds]Histogram // of the same, since it was sent; a connection that had to be opened is in it
	wrong      [kinds]atomic.Int64
	shed       [kinds]atomic.Int64
	unanswered [kinds]atomic.Int64
	perSecond  []atomic.Uint32 // answers by second

	mu    sync.Mutex
	first []string // the first wrong answers and failures; guarded by mu
}

// Answers is how many came, right or wrong; Shed and Unanswered tell the rest.
func (r *Result) Answers() (n int64) { return r.All().Count() }

// AnswersBetween is how many came from one second of the stage up to another.
func (r *Result) AnswersBetween(from, to int) (n int64) {
	for i := max(0, from); i < min(to, len(r.perSecond)); i++ {
		n += int64(r.perSecond[i].Load())
	}
	return n
}

// Wrong is how many answers were judged wrong.
func (r *Result) Wrong() (n int64) { return sum(&r.wrong) }

// Shed is how many requests were turned away as an overloaded server may.
func (r *Result) Shed() (n int64) { return sum(&r.shed) }

// Unanswered is how many requests got no answer.
func (r *Result) Unanswered() (n int64) { return sum(&r.unanswered) }

func sum(of *[kinds]atomic.Int64) (n int64) {
	for k := range of {
		n += of[k].Load()
	}
	return n
}

// All is the latencies of every kind together.
func (r *Result) All() *Histogram { return together(&r.Latency) }

// AllSent is the latencies since sending of every kind together.
func (r *Result) AllSent() *Histogram { return together(&r.Sent) }

func together(of *[kinds]Histogram) *Histogram {
	all := new(Histogram)
	for k := range of {
		all.Add(&of[k])
	}
	return all
}

// Rate is answers a second.
func (r *Result) Rate() float64 { return r.perTime(r.Answers()) }

// Goodput is right answers a second.
func (r *Result) Goodput() float64 { return r.perTime(r.Answers() - r.Wrong()) }

func (r *Result) perTime(n int64) float64 {
	if r.Took <= 0 {
		return 0
	}
	return float64(n) / r.Took.Seconds()
}

// PeakSecond is the most answers that came in one second.
func (r *Result) PeakSecond() (n uint32) {
	for i := range r.perSecond {
		n = max(n, r.perSecond[i].Load())
	}
	return n
}

// First are the first few things that went wrong.
func (r *Result) First() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.first...)
}

func (r *Result) tellf(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.first) < wrongKept {
		r.first = append(r.first, fmt.Sprintf(format, args...))
	}
}

// stageRun is a stage that is running.
type stageRun struct {
	*Result
	transport Transport
	work      Work
	begun     time.Time
	ticket    atomic.Int64 // the next request of a stage with a rate
	over      atomic.Bool  // the Work has no more
}

func run(ctx context.Context, t Transport, w Work, stage *Stage, live func(*Result)) (*Result, error) {
	seconds := int((stage.For + drainMax + requestMax) / time.Second)
	if stage.For == 0 {
		seconds = int(time.Hour / time.Second)
	}
	s := &stageRun{Result: &Result{Stage: *stage, perSecond: make([]atomic.Uint32, seconds+2)}, transport: t, work: w}
	conns := make([]Conn, stage.ConnsTo)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close() // a client that leaves has nothing to lose
			}
		}
	}()
	for i := range stage.ConnsFrom {
		c, err := t.Dial(ctx)
		if err != nil {
			return nil, err
		}
		conns[i] = c
	}
	s.begun = time.Now()
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() { s.ask(ctx, i, &conns[i]) })
	}
	stopLive := s.watch(live)
	wg.Wait()
	stopLive()
	s.Took = time.Since(s.begun)
	if stage.RateTo > 0 && !s.over.Load() {
		s.Unsent = max(0, stage.total()-s.ticket.Load())
	}
	return s.Result, ctx.Err()
}

// watch calls live about once a second until the returned function is called, which
// waits for it.
func (s *stageRun) watch(live func(*Result)) (stop func()) {
	if live == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				live(s.Result)
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// ask is one connection: one request, one answer, over and over.
func (s *stageRun) ask(ctx context.Context, i int, conn *Conn) {
	if !sleep(ctx, time.Until(s.begun.Add(s.Stage.joins(i)))) {
		return
	}
	var q Query
	var a Answer
	for ctx.Err() == nil && !s.over.Load() {
		from, ok := s.turn(ctx)
		if !ok {
			return
		}
		if !s.work.Next(&q) {
			s.over.Store(true)
			return
		}
		sent := time.Now()
		if err := s.exchange(ctx, conn, &q, &a); err != nil {
			if ctx.Err() != nil {
				return // cut off by us
			}
			s.unanswered[q.Kind].Add(1)
			s.tellf("%s %.*s: no answer: %v", q.Kind, pathShown, q.Path, err)
			sleep(ctx, redialPause)
			continue
		}
		s.note(&q, &a, from, sent)
	}
}

// note accounts for an answer.
func (s *stageRun) note(q *Query, a *Answer, due, sent time.Time) {
	now := time.Now()
	if s.Stage.AllowShed && a.shed() {
		s.shed[q.Kind].Add(1)
		return
	}
	s.Latency[q.Kind].Record(now.Sub(due))
	s.Sent[q.Kind].Record(now.Sub(sent))
	if at := int(now.Sub(s.begun) / time.Second); at < len(s.perSecond) {
		s.perSecond[at].Add(1)
	}
	if err := s.work.Judge(q, a); err != nil {
		s.wrong[q.Kind].Add(1)
		s.tellf("%s %.*s: %v", q.Kind, pathShown, q.Path, err)
	}
}

// turn waits until the connection may send, and gives the moment that latency counts
// from. A request that is overdue is still sent, with its wait; one that is due but
// finds no connection until long after the stage's end stays unsent.
func (s *stageRun) turn(ctx context.Context) (from time.Time, ok bool) {
	now := time.Now()
	if s.Stage.RateTo == 0 {
		return now, s.Stage.For == 0 || now.Sub(s.begun) < s.Stage.For
	}
	if now.Sub(s.begun) >= s.Stage.For+drainMax {
		return now, false
	}
	n := s.ticket.Add(1) - 1
	if n >= s.Stage.total() {
		return now, false
	}
	from = s.begun.Add(s.Stage.due(n))
	return from, sleep(ctx, from.Sub(now))
}

func (s *stageRun) exchange(ctx context.Context, conn *Conn, q *Query, a *Answer) (err error) {
	for {
		if *conn == nil {
			c, err := s.transport.Dial(ctx)
			if err != nil {
				return err
			}
			*conn = c
		}
		if err = (*conn).Do(ctx, q.Path, a); err == nil {
			return nil
		}
		_ = (*conn).Close() // it is broken already
		*conn = nil
		if !errors.Is(err, errClosing) {
			return err
		}
	}
}

// sleep waits; false = the context ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
