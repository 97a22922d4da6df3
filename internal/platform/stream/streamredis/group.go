package streamredis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// Group is one reader of all streams; see stream.Group. Records come in the order of
// each producer; those of different producers have no order.
type Group struct {
	s    *Streams
	name string

	mu        sync.Mutex
	consumers map[string]bool          // guarded by mu: those of this process
	held      map[stream.Position]bool // guarded by mu: given to them and not acknowledged
	turn      int                      // guarded by mu: which producer is asked first
	horizons  map[string]*horizon      // guarded by mu: how far it has come, by producer
	unsure    map[string]time.Time     // guarded by mu: until when a consumer may hold more than it knows; zero = Redis must answer first
}

const (
	// pendingPage is how many held records are looked at in one go.
	pendingPage = 100
	// unsureFor is how long after a failed call its effect may still come about.
	unsureFor = 2 * callTimeout
)

// Group gives the group of that name, and makes it where it is new: there it begins at
// the earliest record.
func (s *Streams) Group(ctx context.Context, name string) (*Group, error) {
	if err := stream.CheckGroup(name); err != nil {
		return nil, err
	}
	if s.closed() {
		return nil, stream.ErrClosed
	}
	producers, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	g := s.groups[name]
	if g == nil {
		g = &Group{s: s, name: name, consumers: map[string]bool{}, held: map[stream.Position]bool{}, horizons: map[string]*horizon{}, unsure: map[string]time.Time{}}
		s.groups[name] = g
	}
	s.mu.Unlock()
	for _, p := range producers {
		if err := g.make(ctx, p); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// make makes the group in a producer's stream, from its beginning, where it is not there:
// the producer is new, or Redis was emptied.
func (g *Group) make(ctx context.Context, producer string) error {
	err := g.s.do(ctx, g.s.db.B().XgroupCreate().Key(g.s.recordsKey(producer)).Group(g.name).Id("0").Mkstream().Build()).Error()
	if said, ok := rueidis.IsRedisErr(err); ok && strings.HasPrefix(said.Error(), "BUSYGROUP") {
		return nil
	}
	if err != nil {
		return fmt.Errorf("make group %s of %s: %w", g.name, producer, err)
	}
	return nil
}

// Name implements stream.Group.
func (g *Group) Name() string { return g.name }

// Fetch implements stream.Group. It asks again and again: no command of Redis waits for
// streams in several slots.
func (g *Group) Fetch(ctx context.Context, consumer string, most int) ([]stream.Record, error) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := pollMin; ; pause = min(2*pause, pollMax) {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		records, err := g.next(ctx, consumer, max(most, 1))
		if err != nil || len(records) > 0 {
			return records, err
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-g.s.closing:
			return nil, stream.ErrClosed
		case <-timer.C:
		}
	}
}

// next asks the producers in turn, so that none of them waits for another.
func (g *Group) next(ctx context.Context, consumer string, most int) ([]stream.Record, error) {
	if err := g.s.enter(); err != nil {
		return nil, err
	}
	defer g.s.fetching.Done()
	g.enter(consumer)
	producers, err := g.s.recent(ctx)
	if err != nil {
		g.doubt(consumer)
		return nil, err
	}
	unsure := g.isUnsure(consumer)
	g.mu.Lock()
	turn := g.turn
	g.mu.Unlock()
	for i := range producers {
		n := (turn + i) % len(producers)
		p := producers[n]
		if unsure {
			records, err := g.claimFrom(ctx, p, consumer, own, most)
			if err != nil {
				g.doubt(consumer)
			}
			if err != nil || len(records) > 0 {
				return records, err
			}
		}
		res := g.s.exec(ctx, fetchScript, []string{g.s.recordsKey(p)}, g.name, consumer, nobody, strconv.Itoa(most))
		entries, err := res.AsXRange()
		if said, ok := rueidis.IsRedisErr(err); ok && strings.Contains(said.Error(), "NOGROUP") {
			if err := g.make(ctx, p); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			g.doubt(consumer)
			return nil, fmt.Errorf("fetch for %s from %s: %w", g.name, p, err)
		}
		if len(entries) == 0 {
			continue
		}
		g.mu.Lock()
		g.turn = n + 1
		g.mu.Unlock()
		return g.take(p, entries)
	}
	return nil, nil
}

// enter notes a consumer of this process. One that comes first may have held records before
// under its name, in a process that was killed: it does not know of them, and nobody else
// would get them before they have been idle for long.
func (g *Group) enter(consumer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.consumers[consumer] {
		g.consumers[consumer] = true
		g.unsure[consumer] = time.Time{}
	}
}

// doubt notes that no answer came. What it gave may be lost; or another Redis answers next,
// an older copy, which takes for held what was acknowledged since.
func (g *Group) doubt(consumer string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsure[consumer] = time.Time{}
}

// isUnsure is asked before Redis is. The time begins with the question that is answered.
func (g *Group) isUnsure(consumer string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	until, ok := g.unsure[consumer]
	switch {
	case !ok:
	case until.IsZero():
		g.unsure[consumer] = time.Now().Add(unsureFor)
	case time.Now().After(until):
		delete(g.unsure, consumer)
		ok = false
	}
	return ok
}

// take makes records of entries and notes that this process holds them.
func (g *Group) take(producer string, entries []rueidis.XRangeEntry) (records []stream.Record, _ error) {
	for _, e := range entries {
		at, err1 := parsePosition(e.ID)
		prev, err2 := parsePosition(e.FieldValues["p"])
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read entry %s of %s: %w", e.ID, producer, err)
		}
		g.s.own(at.Generation(), producer)
		records = append(records, stream.Record{At: at, Prev: prev, Value: []byte(e.FieldValues["v"])})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, r := range records {
		g.held[r.At] = true
	}
	return records, nil
}

// Claim implements stream.Group. What this process was given and does not know of, since
// the answer was lost, counts as another's. Time is the server's.
func (g *Group) Claim(ctx context.Context, consumer string, idle time.Duration, most int) ([]stream.Record, error) {
	if err := g.s.enter(); err != nil {
		return nil, err
	}
	defer g.s.fetching.Done()
	producers, err := g.s.recent(ctx)
	if err != nil {
		return nil, err
	}
	g.enter(consumer)
	var given []stream.Record
	for _, p := range producers {
		records, err := g.claimFrom(ctx, p, consumer, idle.Milliseconds()+1, most-len(given))
		given = append(given, records...)
		if err != nil {
			g.doubt(consumer)
			return given, fmt.Errorf("claim for %s from %s: %w", g.name, p, err)
		}
		if len(given) >= most {
			break
		}
	}
	return given, nil
}

// own is claimFrom's idle time for what Redis gave to the consumer itself, which does not
// know of it.
const own = 0

func (g *Group) claimFrom(ctx context.Context, producer, consumer string, idle int64, most int) (given []stream.Record, _ error) {
	key := g.s.recordsKey(producer)
	for from := "-"; len(given) < most; {
		pending := g.s.db.B().Xpending().Key(key).Group(g.name).Idle(idle).Start(from).End("+").Count(pendingPage)
		var ask rueidis.Completed
		if idle == own {
			ask = pending.Consumer(consumer).Build()
		} else {
			ask = pending.Build()
		}
		page, err := g.s.do(ctx, ask).ToArray()
		if said, ok := rueidis.IsRedisErr(err); ok && strings.Contains(said.Error(), "NOGROUP") {
			return given, nil // Fetch makes it
		}
		if err != nil {
			return given, err
		}
		var ids []string
		for i := range page {
			id, dead, err := g.dead(&page[i], consumer)
			if err != nil {
				return given, err
			}
			if dead && len(given)+len(ids) < most {
				ids = append(ids, id)
			}
			from = "(" + id
		}
		if len(ids) > 0 {
			entries, err := g.s.do(ctx, g.s.db.B().Xclaim().Key(key).Group(g.name).Consumer(consumer).MinIdleTime(strconv.FormatInt(idle, 10)).Id(ids...).Build()).AsXRange()
			if err != nil {
				return given, err
			}
			records, err := g.take(producer, entries)
			if err != nil {
				return given, err
			}
			given = append(given, records...)
		}
		if len(page) < pendingPage {
			break
		}
	}
	return given, nil
}

// dead tells whether a held record may be taken over.
func (g *Group) dead(m *rueidis.RedisMessage, consumer string) (id string, dead bool, _ error) {
	fields, err := m.ToArray()
	if err != nil || len(fields) < 2 {
		return "", false, errors.Join(err, errors.New("XPENDING answers nonsense"))
	}
	id, err1 := fields[0].ToString()
	holder, err2 := fields[1].ToString()
	at, err3 := parsePosition(id)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", false, err
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	return id, holder != consumer || !g.held[at], nil
}

// Ack implements stream.Group.
func (g *Group) Ack(ctx context.Context, at ...stream.Position) error {
	if g.s.closed() {
		return stream.ErrClosed
	}
	ids := map[string][]string{}
	for _, p := range at {
		owner, err := g.s.owner(ctx, p.Generation())
		if err != nil {
			return err
		}
		if owner != noOwner {
			ids[owner] = append(ids[owner], p.String())
		}
	}
	for producer, list := range ids {
		if err := g.s.do(ctx, g.s.db.B().Xack().Key(g.s.recordsKey(producer)).Group(g.name).Id(list...).Build()).Error(); err != nil {
			return fmt.Errorf("acknowledge for %s to %s: %w", g.name, producer, err)
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, p := range at {
		delete(g.held, p)
	}
	return nil
}

// Lag implements stream.Group. What a producer has not shipped yet is not in it: the
// group "ship" of its log tells that. Lost is what that log's cap took away before.
func (g *Group) Lag(ctx context.Context) (stream.Lag, error) {
	var sum stream.Lag
	if g.s.closed() {
		return sum, stream.ErrClosed
	}
	producers, err := g.s.list(ctx)
	if err != nil {
		return sum, err
	}
	for _, p := range producers {
		m, err := g.s.exec(ctx, lagScript, []string{g.s.recordsKey(p), g.s.stateKey(p)}, g.name, nobody).ToArray()
		if err != nil || len(m) != 4 {
			return sum, fmt.Errorf("lag of %s behind %s: %w", g.name, p, errors.Join(err, errors.New("no answer")))
		}
		records, err1 := m[0].AsInt64()
		held, err2 := m[1].AsInt64()
		oldest, err3 := m[2].ToString()
		lost, err4 := m[3].AsInt64()
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return sum, fmt.Errorf("lag of %s behind %s: %w", g.name, p, err)
		}
		sum.Records, sum.Held, sum.Lost = sum.Records+records, sum.Held+held, sum.Lost+lost
		if micros, err := strconv.ParseInt(oldest, 10, 64); err == nil && records > 0 {
			sum.Age = max(sum.Age, g.s.o.Clock.Now().Sub(time.UnixMicro(micros)))
		}
	}
	return sum, nil
}

// release gives back what consumers of this process hold.
func (g *Group) release() error {
	g.mu.Lock()
	consumers := g.consumers
	g.consumers = map[string]bool{}
	g.mu.Unlock()
	producers, err := g.s.list(context.Background())
	for _, p := range producers {
		for c := range consumers {
			_, failed := g.s.exec(context.Background(), releaseScript, []string{g.s.recordsKey(p)}, g.name, c, nobody).AsInt64()
			if said, ok := rueidis.IsRedisErr(failed); ok && strings.Contains(said.Error(), "NOGROUP") {
				continue
			}
			if failed != nil {
				err = errors.Join(err, fmt.Errorf("give back what %s holds of %s: %w", c, p, failed))
			}
		}
	}
	return err
}
