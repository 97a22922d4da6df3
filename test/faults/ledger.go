package main

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// harm is what a check found. Everything that it finds counts as lost or doubled.
type harm uint8

const (
	lost harm = iota
	doubled
)

func (h harm) String() string { return [...]string{"LOST", "DOUBLED"}[h] }

// finding is one thing that is not as it was acknowledged.
type finding struct {
	harm harm
	text string
}

// ledger is what the program has acknowledged, and what it must therefore show. Its checks
// are for moments when nothing is under way.
type ledger struct {
	mu       sync.Mutex
	findings []finding          // guarded by mu, as all below
	claims   map[string][]claim // by batch
	items    map[string]*item   // by code
	facts    map[string]telling // by their names among events
	events   []event            // the outbox, brand by brand in its order
	totals   totals
}

// telling is whether an event has told of a fact.
type telling uint8

const (
	due   telling = iota // it must have
	later                // it will, when a task has ended
	told
)

// totals only grow.
type totals struct{ facts, scans, unknown int64 }

type claim struct {
	ID   string `json:"claim_id"`
	From int64  `json:"from_no"`
	To   int64  `json:"to_no"`
}

// item is a code whose facts have an order, since one actor alone changes it.
type item struct {
	code    string
	state   string
	version int
	scans   tally
}

// tally bounds how many scans there are of an item.
type tally struct {
	known int64 // acknowledged, or found since
	maybe int64 // whose answer never came
	most  int64 // that were ever sent
}

// event is one of the outbox.
type event struct {
	id, topic string
	brand     int32
	fact      string
}

func newLedger() *ledger {
	return &ledger{claims: map[string][]claim{}, items: map[string]*item{}, facts: map[string]telling{}}
}

func (l *ledger) locked(fn func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	fn()
}

func (l *ledger) findLockedf(h harm, format string, args ...any) {
	l.findings = append(l.findings, finding{h, fmt.Sprintf(format, args...)})
}

// findf notes what a check found.
func (l *ledger) findf(h harm, format string, args ...any) {
	l.locked(func() { l.findLockedf(h, format, args...) })
}

// taken gives what was found since it was last asked.
func (l *ledger) taken() (all []finding) {
	l.locked(func() { all, l.findings = l.findings, nil })
	return all
}

func (l *ledger) sums() (t totals) {
	l.locked(func() { t = l.totals })
	return t
}

// unknown notes a request whose answer did not come or was no answer.
func (l *ledger) unknown() { l.locked(func() { l.totals.unknown++ }) }

// fact notes an acknowledged fact that an event must tell of, under the event's name for it.
func (l *ledger) fact(name string) {
	l.locked(func() {
		l.totals.facts++
		l.facts[name] = due
	})
}

// promised notes a fact that will be, and done that it must be by now.
func (l *ledger) promised(name string) { l.locked(func() { l.facts[name] = later }) }

func (l *ledger) done(name string) {
	l.locked(func() {
		if l.facts[name] == later {
			l.facts[name] = due
		}
	})
}

// claimed notes an acknowledged claim.
func (l *ledger) claimed(batch string, c claim) {
	l.locked(func() {
		l.totals.facts++
		l.claims[batch] = append(l.claims[batch], c)
	})
}

// scanned notes a scan of an item, whose answer came or not.
func (l *ledger) scanned(code string, answered bool) {
	l.locked(func() {
		t := &l.items[code].scans
		t.most++
		if answered {
			t.known++
			l.totals.scans++
		} else {
			t.maybe++
			l.totals.unknown++
		}
	})
}

// tell takes the next events of the outbox. Every fact is told once.
func (l *ledger) tell(events []event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range events {
		l.events = append(l.events, e)
		was, known := l.facts[e.fact]
		switch {
		case !known:
			l.findLockedf(doubled, "event %s tells of %s, which nobody was answered", e.id, e.fact)
		case was == told:
			l.findLockedf(doubled, "event %s tells of %s again", e.id, e.fact)
		default:
			l.facts[e.fact] = told
		}
	}
}

// checkTold finds facts that no event told of. Those that were told are kept, for
// being told again.
func (l *ledger) checkTold() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, was := range l.facts {
		if was == due {
			l.findLockedf(lost, "no event tells of %s", name)
			l.facts[name] = told // once is enough
		}
	}
}

// checkClaimed holds a batch's counter to the claims, and those to each other.
func (l *ledger) checkClaimed(batch string, counter int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.claims[batch]
	slices.SortFunc(all, func(a, b claim) int { return cmp.Compare(a.From, b.From) })
	sum, end := int64(0), int64(0)
	for _, c := range all {
		sum += c.To - c.From + 1
		if c.From <= end {
			l.findLockedf(doubled, "%s of %s got numbers from %d on, which were handed out up to %d", c.ID, batch, c.From, end)
		}
		end = max(end, c.To)
	}
	switch {
	case counter < sum:
		l.findLockedf(lost, "batch %s says %d numbers are claimed, the answers add up to %d", batch, counter, sum)
	case counter > sum:
		l.findLockedf(doubled, "batch %s says %d numbers are claimed, the answers add up to %d", batch, counter, sum)
	}
}

// checkClaims holds what the records have to the claims that were answered.
func (l *ledger) checkClaims(batch string, kept []claim) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := map[claim]bool{}
	for _, c := range kept {
		there[c] = true
	}
	for _, c := range l.claims[batch] {
		if !there[c] {
			l.findLockedf(lost, "claim %v of %s is not in the records", c, batch)
		}
		delete(there, c)
	}
	for c := range there {
		l.findLockedf(doubled, "claim %v of %s is in the records, and nobody was answered it", c, batch)
	}
}

// checkItem holds what is told of an item to what was acknowledged.
func (l *ledger) checkItem(where, code, state string, version int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if it := l.items[code]; it.state != state || it.version != version {
		l.findLockedf(lost, "%s says %s is %s, version %d; acknowledged: %s, version %d", where, code, state, version, it.state, it.version)
	}
}

// checkScans holds a count of an item's scans to what was acknowledged, once everything was
// consumed.
func (l *ledger) checkScans(where, code string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boundLocked(where, code, n, l.items[code].scans.known+l.items[code].scans.maybe)
}

// checkCount is checkScans for a count that may be ahead of the truth: by scans that were
// counted and whose process died before they were durable, so that nobody was answered.
func (l *ledger) checkCount(where, code string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.boundLocked(where, code, n, l.items[code].scans.most)
}

func (l *ledger) boundLocked(where, code string, n, most int64) {
	switch known := l.items[code].scans.known; {
	case n < known:
		l.findLockedf(lost, "%s has %d scans of %s, %d were acknowledged", where, n, code, known)
	case n > most:
		l.findLockedf(doubled, "%s has %d scans of %s, at most %d came", where, n, code, most)
	}
}

// settle takes the records' counts for the truth, when nothing is on its way any more: the
// doubt does not grow from round to round.
func (l *ledger) settle(records map[string]int64) {
	l.locked(func() {
		for code, it := range l.items {
			it.scans.known, it.scans.maybe = max(it.scans.known, records[code]), 0
		}
	})
}

// checkKafka holds a topic to the outbox: each event is there, and those of a brand come
// for the first time in the outbox's order. It gives how many are missing; unless all must
// be there by now it finds nothing.
func (l *ledger) checkKafka(topic string, seen []event, final bool) (missing int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	there, order := map[string]bool{}, map[int32][]string{}
	for _, e := range seen {
		if !there[e.id] {
			there[e.id] = true
			order[e.brand] = append(order[e.brand], e.id)
		}
	}
	want := map[int32][]string{}
	for _, e := range l.events {
		switch {
		case e.topic != topic:
		case there[e.id]:
			want[e.brand] = append(want[e.brand], e.id)
		default:
			if missing++; final {
				l.findLockedf(lost, "Kafka has no event %s of brand %d, which tells of %s", e.id, e.brand, e.fact)
			}
		}
	}
	if !final {
		return missing
	}
	for brand, got := range order {
		if n := len(want[brand]); len(got) != n {
			l.findLockedf(doubled, "Kafka has %d events of brand %d, and the outbox %d of those", len(got), brand, n)
			continue
		}
		for i, id := range got {
			if want[brand][i] != id {
				l.findLockedf(lost, "Kafka has event %s of brand %d where the outbox has %s", id, brand, want[brand][i])
				break
			}
		}
	}
	return missing
}

// checkDense holds a shard's order of commit to having no gap.
func (l *ledger) checkDense(shard int, head, kept, last int64) {
	if head != last || kept != last {
		l.findf(lost, "shard %d has %d commits, the last is number %d, its counter is at %d", shard, kept, last, head)
	}
}
