package source

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/maypok86/otter/v2"
	"golang.org/x/sync/singleflight"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	// Budget is how long a look at an item waits, all in all.
	Budget = 500 * time.Millisecond

	fetchMax    = 10 * time.Second // of a question in the background
	fetchesMax  = 16               // at a time, to one system
	freshFor    = time.Minute      // an answer is given again without asking …
	keptFor     = time.Hour        // … and then while it is asked for again
	failedFor   = 5 * time.Second
	cacheBytes  = 64 << 20
	entryBytes  = 500 // beside its texts
	breakAfter  = 5   // failures in a row …
	breakFor    = 10 * time.Second
	linksMax    = 10_000
	jitterShare = 5 // of a life, at most one part in so many is cut off
)

// The results that Config.Observe is told of.
const (
	Answered = "answered"
	Late     = "late" // beside what becomes of it in the end
	Failed   = "failed"
	Wrong    = "wrong"
	Shut     = "shut" // not asked: the breaker is open
	Busy     = "busy" // not asked: too many questions are open
)

// Results are all of them.
func Results() []string { return []string{Answered, Late, Failed, Wrong, Shut, Busy} }

// live asks systems, and remembers.
type live struct {
	s       *Service
	cache   *otter.Cache[question, entry]
	flights singleflight.Group

	life context.Context //nolint:containedctx // of what is asked in the background; ended by close
	end  context.CancelFunc
	work sync.WaitGroup // what is asked

	mu     sync.Mutex
	closed bool                     // guarded by mu
	links  map[SystemID]*connection // guarded by mu
}

// connection is how it stands with one system.
type connection struct {
	breaker circuitbreaker.CircuitBreaker[any]
	slots   chan struct{}
}

// question is what an answer is remembered by. A system that was changed is another one.
type question struct {
	system  SystemID
	version int64
	ask     Ask
}

func (q question) String() string {
	return fmt.Sprintf("%s %d %s %d %d %s", q.system, q.version, q.ask.Code, q.ask.Brand, q.ask.Product, q.ask.BatchNo)
}

// entry is what came of a question. Its parts are shared and never changed.
type entry struct {
	parts  []Part
	status string    // "" = it was answered
	fresh  time.Time // until then nobody asks again
	keep   time.Duration
}

func (e entry) show(kind string) []Part {
	if e.status != "" {
		return missing(kind, e.status)
	}
	return e.parts
}

func newLive(s *Service) (*live, error) {
	l := &live{s: s, links: map[SystemID]*connection{}}
	l.life, l.end = context.WithCancel(context.Background())
	var err error
	l.cache, err = otter.New(&otter.Options[question, entry]{
		MaximumWeight:    cacheBytes,
		Weigher:          func(q question, e entry) uint32 { return weight(e.parts) + uint32(len(q.ask.BatchNo)) },
		ExpiryCalculator: otter.ExpiryWritingFunc(func(e otter.Entry[question, entry]) time.Duration { return e.Value.keep }),
	})
	if err != nil {
		return nil, fmt.Errorf("make the cache of sources: %w", err)
	}
	return l, nil
}

func weight(parts []Part) uint32 {
	n := entryBytes
	for i := range parts {
		n += entryBytes + len(parts[i].Location)
		for k, v := range parts[i].Details {
			n += entryBytes/5 + len(k)
			if text, ok := v.(string); ok {
				n += len(text)
			}
		}
	}
	return uint32(n)
}

func (l *live) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.end()
	l.work.Wait()
}

// begin notes that something works in the background, unless all of it ends.
func (l *live) begin() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.closed {
		l.work.Add(1)
	}
	return !l.closed
}

func (l *live) link(id SystemID) *connection {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.links[id]
	if c == nil {
		if len(l.links) >= linksMax {
			clear(l.links) // breakers begin anew
		}
		c = &connection{slots: make(chan struct{}, fetchesMax), breaker: circuitbreaker.NewBuilder[any]().
			WithFailureThreshold(breakAfter).WithDelay(breakFor).WithSuccessThreshold(1).Build()}
		l.links[id] = c
	}
	return c
}

// Parts gives what is known of an item, within Budget. A nil Service knows nothing. The
// parts are shared and must not be changed.
func (s *Service) Parts(ctx context.Context, brand ids.BrandID, batchNo, code string) []Part {
	if s == nil {
		return nil
	}
	on, ok := s.Catalog.Find(code)
	if !ok || on.Brand != brand {
		return nil
	}
	q := Ask{Code: code, Brand: brand, BatchNo: batchNo, Product: on.Product}
	ctx, cancel := context.WithTimeout(ctx, Budget)
	defer cancel()
	kept, systems := make(chan []Part, 1), make(chan []Part, 1)
	go func() { kept <- s.pushed(ctx, q) }() // both end with ctx
	go func() { systems <- s.asked(ctx, q) }()
	var out []Part
	for _, from := range []struct {
		parts  <-chan []Part
		status string
	}{{kept, Unavailable}, {systems, Loading}} {
		select {
		case some := <-from.parts:
			out = append(out, some...)
		case <-ctx.Done():
			select { // it may have come at the same moment
			case some := <-from.parts:
				out = append(out, some...)
			case <-time.After(grace):
				out = append(out, allMissing(from.status)...)
			}
		}
	}
	inOrder(out)
	return out
}

// Known is Parts for a caller who may see the brand's goods; a foreign code is as one of
// nobody's.
func (s *Service) Known(ctx context.Context, code string) ([]Part, error) {
	on, ok := s.Catalog.Find(code)
	if !ok || !ids.ScopeOf(ctx).Has(on.Brand) {
		return nil, ErrUnknownCode
	}
	return s.Parts(ctx, on.Brand, on.BatchNo, code), nil
}

// grace is how long who ends with the budget may take to say so.
const grace = 20 * time.Millisecond

// allMissing is the answer when it is not even known who is to be asked.
func allMissing(status string) (out []Part) {
	for _, kind := range Kinds() {
		out = append(out, missing(kind, status)...)
	}
	return out
}

// pushed gives what was pushed of an item.
func (s *Service) pushed(ctx context.Context, q Ask) (out []Part) {
	rows, err := s.Store.Rows(ctx, q, shownMax)
	if err != nil {
		s.tell(ctx, "what was pushed of an item cannot be read", err)
		return allMissing(Unavailable)
	}
	for i := range rows {
		out = append(out, rows[i].part())
	}
	return out
}

// tell logs a failure that nobody is shown, unless the caller has gone.
func (s *Service) tell(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		s.Log.Warn(what, "error", err)
	}
}

// asked gives what the systems say, asked at once.
func (s *Service) asked(ctx context.Context, q Ask) (out []Part) {
	systems, err := s.Store.Asked(ctx, q.Brand)
	if err != nil {
		s.tell(ctx, "it cannot be read which sources there are", err)
		return allMissing(Unavailable)
	}
	answers := make([][]Part, len(systems))
	var all sync.WaitGroup
	for i := range systems {
		all.Go(func() { answers[i] = s.live.ask(ctx, &systems[i], q) })
	}
	all.Wait()
	for _, some := range answers {
		out = append(out, some...)
	}
	return out
}

// ask gives what a system says of an item by the end of ctx. What comes later is remembered.
func (l *live) ask(ctx context.Context, sys *System, q Ask) []Part {
	k := question{sys.ID, sys.Version, q}
	known, ok := l.cache.GetIfPresent(k)
	if ok && l.s.Clock.Now().Before(known.fresh) {
		return known.show(sys.Kind)
	}
	came := l.flights.DoChan(k.String(), func() (any, error) { return l.fetch(k, *sys), nil })
	if ok && known.status == "" {
		return known.parts // and is made new meanwhile
	}
	select {
	case r := <-came:
		if e, ok := r.Val.(entry); ok {
			return e.show(sys.Kind)
		}
		return missing(sys.Kind, Unavailable)
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) { // else who asked has gone
			l.s.observe(sys.Kind, Late)
		}
		return missing(sys.Kind, Loading)
	}
}

func (s *Service) observe(kind, result string) {
	if s.Observe != nil {
		s.Observe(kind, result)
	}
}

// fetch asks a system, whoever waits for it, and remembers what came of it.
func (l *live) fetch(k question, sys System) entry {
	if !l.begin() {
		return entry{status: Unavailable}
	}
	defer l.work.Done()
	before, known := l.cache.GetIfPresent(k)
	if known && l.s.Clock.Now().Before(before.fresh) {
		return before // another one was first
	}
	link := l.link(sys.ID)
	select {
	case link.slots <- struct{}{}:
		defer func() { <-link.slots }()
	default:
		l.s.observe(sys.Kind, Busy)
		return entry{status: Loading}
	}
	e := entry{keep: keptFor}
	parts, result := l.through(link, &sys, k.ask)
	l.s.observe(sys.Kind, result)
	if result == Answered {
		e.parts, e.fresh = parts, l.s.Clock.Now().Add(jittered(freshFor, l.s.Clock.Now()))
		l.cache.Set(k, e)
		return e
	}
	if known && before.status == "" { // an old answer is better than none
		e.parts, e.fresh, e.keep = before.parts, l.s.Clock.Now().Add(failedFor), keptFor
	} else {
		e.status, e.fresh, e.keep = Unavailable, l.s.Clock.Now().Add(jittered(failedFor, l.s.Clock.Now())), failedFor
	}
	l.cache.Set(k, e)
	return e
}

// jittered cuts a little off a life, so that not all ends at once.
func jittered(life time.Duration, now time.Time) time.Duration {
	const golden = 0x9E3779B97F4A7C15 // 2^64/φ: nothing here needs to be unguessable
	return life - time.Duration(uint64(now.UnixNano())*golden%uint64(life/jitterShare))
}

// through asks a system if its breaker lets it.
func (l *live) through(link *connection, sys *System, q Ask) ([]Part, string) {
	if !link.breaker.TryAcquirePermit() {
		return nil, Shut
	}
	ctx, cancel := context.WithTimeout(l.life, fetchMax)
	defer cancel()
	parts, err := l.s.request(ctx, sys, q)
	if err == nil {
		link.breaker.RecordSuccess()
		return parts, Answered
	}
	link.breaker.RecordFailure()
	if l.life.Err() == nil {
		l.s.Log.Debug("a source does not answer as it should", "source_id", sys.ID, "error", err)
	}
	if f, ok := fault.From(err); ok && f.Code == ErrWrong.Code {
		return nil, Wrong
	}
	return nil, Failed
}

// request asks a system once and holds what it says to the rules.
func (s *Service) request(ctx context.Context, sys *System, q Ask) ([]Part, error) {
	token, err := s.Secrets.open(sys)
	if err != nil {
		return nil, err
	}
	by := s.HTTP
	if sys.speaksRPC() {
		by = s.RPC
	}
	a, err := by.Ask(ctx, sys.URL, token, q)
	if err != nil {
		return nil, err
	}
	return s.judge(sys.Kind, q, a)
}

// judge refuses an answer that is not about the item, or not as answers are.
func (s *Service) judge(kind string, q Ask, a Answer) ([]Part, error) {
	if a.Code != q.Code {
		return nil, ErrWrong.Textf("its answer is about another code")
	}
	if len(a.Parts) > PartsMax {
		return nil, ErrWrong.Textf("its answer has more than %d parts", PartsMax)
	}
	for i := range a.Parts {
		p := &a.Parts[i]
		if bad := checkFacts(p.Stage, p.Time, p.Location, p.Details, s.Clock.Now()); len(bad) > 0 {
			return nil, ErrWrong.Textf("its answer is wrong: parts[%d].%s %s", i, strings.ReplaceAll(bad[0].Field, "trace_type", "stage"), bad[0].Reason)
		}
		p.Source, p.Status = kind, ""
	}
	return a.Parts, nil
}

// Trial is what came of asking a system for once.
type Trial struct {
	Parts   []Part
	Took    time.Duration
	Problem string // "" = it answers as it should
}

// Try asks a system about one of the caller's codes, whatever is remembered.
func (s *Service) Try(ctx context.Context, id SystemID, code string) (t Trial, _ error) {
	sys, err := s.system(ctx, id)
	if err == nil && sys.Removed {
		err = ErrUnknown
	}
	if err != nil {
		return t, err
	}
	q, ok := s.Catalog.Find(code)
	if !ok || !ids.ScopeOf(ctx).Has(q.Brand) || sys.Brand != 0 && sys.Brand != q.Brand {
		return t, fault.Field("source.bad_code", "code", "is no code of this source's brand")
	}
	ctx, cancel := context.WithTimeout(ctx, fetchMax)
	defer cancel()
	begun := s.Clock.Now()
	t.Parts, err = s.request(ctx, &sys, q)
	t.Took = s.Clock.Now().Sub(begun)
	if f, ok := fault.From(err); ok {
		t.Problem = f.Text
	} else if err != nil {
		return t, err
	}
	return t, nil
}
