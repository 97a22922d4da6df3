package trace

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	documentEvents = 200     // that go in one document at most
	documentBytes  = 1 << 20 // from which on a document takes no further event
	eventBytesMax  = 8 << 20 // an event that is longer is only told of
	readOnMax      = 5_000   // that are looked at in one go
)

// Follow is a standing query at its place. It is one goroutine's.
type Follow struct {
	standing *Standing
	query    *Query
	name     string
	id       string // of the subscription; "" = it is a connection's
	format   string
	from     time.Time // of record
	until    time.Time // of record, not within; zero = open
	places   Places
	moved    Places
}

// Batch is what a standing query has to tell.
type Batch struct {
	Document []byte // nil = nothing
	More     bool   // there may be more at once
}

// next reads on, and moves the places. A brand's events come in the order of record, each
// brand's beside the others'.
func (f *Follow) next(ctx context.Context) (b Batch, _ error) { //nolint:gocognit // one loop with its three bounds
	ctx = under(ctx, f.query.Brand)
	brands, err := f.standing.brandsOf(ctx, f.query.Brand)
	if err != nil {
		return b, err
	}
	form, urns, err := f.standing.FormOf(ctx, f.format, brands)
	if err != nil {
		return b, err
	}
	var events []*Entry
	size, looked := 0, 0
	f.moved = Places{}
	var problem []byte // of an event that is only told of
read:
	for _, brand := range brands {
		for {
			found, err := f.standing.Service.store.Scan(ctx, Stretch{Brand: brand, Order: ByRecord, From: f.from, To: f.until, After: f.places[brand]}, stretchRows)
			if err != nil {
				return b, err
			}
			for i := range found {
				if len(events) == documentEvents || size > documentBytes || looked == readOnMax {
					b.More = true
					break read
				}
				looked++
				p, err := f.standing.Unpack(&found[i])
				if err != nil {
					return b, err
				}
				if f.query.takes(p) {
					e, n := p.Entry(f.standing.items), p.sizeWhole()
					switch {
					case n > eventBytesMax:
						problem = tooLongProblem(p.ID)
					case urns != nil:
						if problem, err = f.standing.unnamed(e, form, urns); err != nil {
							return b, err
						}
					default:
					}
					if problem != nil && len(events) > 0 { // what was found before it goes first
						b.More = true
						break read
					}
					if problem == nil {
						events = append(events, e)
						size += n
					}
				}
				at := Ref{found[i].No, found[i].RecordTime}
				f.places[brand], f.moved[brand] = at, at
				if problem != nil {
					b.More = true
					break read
				}
			}
			if len(found) < stretchRows {
				break
			}
		}
	}
	if b.Document = problem; problem == nil && len(events) > 0 {
		slices.SortStableFunc(events, func(a, b *Entry) int { return a.RecordTime.Compare(b.RecordTime) })
		b.Document, err = f.document(events, form)
	}
	return b, err
}

func (f *Follow) document(events []*Entry, form Form) ([]byte, error) {
	var out bytes.Buffer
	write, err := f.standing.QueryDocument(EntriesOf(events), Around{Query: f.name, Subscription: f.id, Created: f.standing.clock.Now(), Form: form})
	if err == nil {
		err = write(&out)
	}
	return out.Bytes(), err
}

// unnamed tells of an event that has no form in URNs; nil = it has.
func (s *Standing) unnamed(e *Entry, form Form, urns *URNs) ([]byte, error) {
	if _, err := s.QueryDocument(EntriesOf([]*Entry{e}), Around{Form: form}); err != nil {
		return nil, err
	}
	err := urns.Err()
	if err == nil {
		return nil, nil
	}
	urns.missing = ""
	f, _ := fault.From(err)
	out := []byte(`{"type":"epcisException:NotAcceptableException","title":"an event cannot be written with URNs","status":406,"detail":`)
	return append(appendText(out, "GET /events/{eventID} answers it otherwise: "+e.ID+"; "+f.Text), '}'), nil
}

// tooLongProblem tells of an event that is too long to be sent: it can be asked for.
func tooLongProblem(id string) []byte {
	out := []byte(`{"type":"epcisException:QueryTooLargeException","title":"an event is too long to be sent","status":413,"detail":`)
	return append(appendText(out, "GET /events/{eventID} answers it: "+id), '}')
}

// sizeWhole is about how many bytes an event is, written out.
func (p *Unpacked) sizeWhole() int {
	n := len(p.Stored.Body)
	for _, groups := range p.Groups {
		for _, g := range groups {
			for _, r := range g.Runs {
				n += int(r.To-r.From+1) * (len(g.Prefix) + codeDigits + len(g.Suffix) + len(`"",`))
			}
		}
	}
	return n
}

// Connection is a standing query that lives as long as who asked for it listens.
type Connection struct {
	follow   *Follow
	spec     Subscription
	schedule *schedule
	next     time.Time // when it is asked; of a stream zero
	told     bool
}

// Connect makes a standing query for a connection: Query, Brand, Schedule, ReportIfEmpty,
// From and Format of spec say which.
func (s *Standing) Connect(ctx context.Context, spec *Subscription) (*Connection, error) {
	f, err := s.follow(ctx, spec, Places{})
	if err != nil {
		return nil, err
	}
	c := &Connection{follow: f, spec: *spec}
	now := s.clock.Now()
	if f.from.IsZero() {
		f.from, c.spec.From = now, now
	}
	if !spec.Schedule.IsZero() {
		times, err := spec.Schedule.parse()
		if err != nil {
			return nil, err
		}
		c.schedule, c.next = &times, times.next(now)
	}
	return c, nil
}

// From is from when on events are told.
func (c *Connection) From() time.Time { return c.spec.From }

// Read gives what there is to tell now. It is ErrNoQuery when the query was removed.
func (c *Connection) Read(ctx context.Context) (Batch, error) {
	f := c.follow
	now := f.standing.clock.Now()
	if c.schedule != nil && f.until.IsZero() {
		if c.next.IsZero() || now.Before(c.next) {
			return Batch{}, nil
		}
		f.until, c.told = now, false
	}
	q, err := f.standing.standing(ctx, f.query.Brand, f.name)
	if err != nil {
		return Batch{}, err
	}
	f.query = q
	b, err := f.next(ctx)
	if err != nil {
		return b, err
	}
	if c.schedule != nil && !b.More {
		if b.Document == nil && c.spec.ReportIfEmpty && !c.told {
			if b.Document, err = f.document(nil, Form{}); err != nil {
				return b, err
			}
		}
		f.until, c.next = time.Time{}, c.schedule.next(now)
	}
	c.told = c.told || b.Document != nil
	return b, nil
}

func (s *Standing) follow(ctx context.Context, sub *Subscription, places Places) (*Follow, error) {
	q, err := s.standing(ctx, sub.Brand, sub.Query)
	if err != nil {
		return nil, err
	}
	return &Follow{standing: s, query: q, name: sub.Query, id: sub.ID, format: sub.Format, from: sub.From, until: sub.Until, places: places}, nil
}

// Dispatcher asks the queries of subscriptions and puts what they find into the post. A
// subscription's next document goes when its last has arrived or was given up, so that they
// come in order, and whoever does not take his holds up nobody else. Two at once do no harm
// but send twice.
type Dispatcher struct {
	standing *Standing
	log      *slog.Logger
	sent     func()           // told when something was put into the post
	seen     map[string]Heads // where captures stood when a stream had nothing more to tell
}

// NewDispatcher makes a dispatcher; Run lets it work.
func NewDispatcher(s *Standing, log *slog.Logger, sent func()) *Dispatcher {
	return &Dispatcher{standing: s, log: log, sent: sent, seen: map[string]Heads{}}
}

const (
	dispatchPoll = time.Second // the floor when nobody wakes it
	dispatchPage = 500
	seenMax      = 100_000
)

// Run works until ctx ends, while lead says that it is this process's turn.
func (d *Dispatcher) Run(ctx context.Context, lead func(context.Context) (bool, error)) {
	tick := time.NewTicker(dispatchPoll)
	defer tick.Stop()
	for {
		woken := d.standing.Woken()
		more, err := lead(ctx)
		for more && err == nil && ctx.Err() == nil {
			if more, err = d.Look(ctx); err == nil && more {
				more, err = lead(ctx)
			}
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("subscriptions cannot be served, will try again", "error", err)
		}
		select {
		case <-tick.C:
		case <-woken:
		case <-ctx.Done():
			return
		}
	}
}

// Look serves each subscription once; more tells that one has more to tell at once.
func (d *Dispatcher) Look(ctx context.Context) (more bool, _ error) {
	heads, err := d.standing.store.Heads(ctx)
	if err != nil {
		return false, err
	}
	if len(d.seen) > seenMax {
		clear(d.seen)
	}
	for after := ""; ; {
		page, err := d.standing.store.AllSubscriptions(ctx, after, dispatchPage)
		if err != nil {
			return false, err
		}
		for i := range page {
			sub := &page[i]
			after = sub.ID
			again, err := d.serve(ctx, sub, heads)
			if err != nil && ctx.Err() == nil { // it holds up no other one
				d.log.Warn("a subscription cannot be served, will try again", "subscription", sub.ID, "error", err)
			}
			more = more || again && err == nil
		}
		if len(page) < dispatchPage {
			return more, ctx.Err()
		}
	}
}

func (d *Dispatcher) serve(ctx context.Context, sub *Subscription, heads Heads) (more bool, _ error) {
	s, now := d.standing, d.standing.clock.Now()
	stream := sub.Schedule.IsZero()
	if at, ok := d.seen[sub.ID]; sub.Sent == "" && (stream && ok && at == heads || !stream && sub.Until.IsZero() && now.Before(sub.NextAt)) {
		return false, nil
	}
	waiting, dead, err := s.post.OnTheWay(ctx, sub.ID, sub.Sent)
	if err != nil || waiting {
		return false, err
	}
	if sub.Sent != "" && !dead {
		sub.NotifiedAt = now
	}
	sub.Sent = ""
	if !stream && sub.Until.IsZero() {
		if now.Before(sub.NextAt) {
			_, err := s.store.Advance(ctx, sub.ID, sub.Progress, nil)
			return false, err
		}
		sub.Until, sub.Told = now, false
	}
	places, err := s.store.Places(ctx, sub.ID)
	if err != nil {
		return false, err
	}
	f, err := s.follow(ctx, sub, places)
	if errors.Is(err, ErrNoQuery) { // its removal was cut off
		return false, s.end(ctx, sub.ID)
	}
	if err != nil {
		return false, err
	}
	b, err := f.next(ctx)
	if err != nil {
		return false, err
	}
	if !stream && !b.More && b.Document == nil && sub.ReportIfEmpty && !sub.Told {
		if b.Document, err = f.document(nil, Form{}); err != nil {
			return false, err
		}
	}
	return b.More && b.Document == nil, d.tell(ctx, sub, f, &b, heads, now)
}

// tell sends what was found, and then keeps how far the subscription is: what ends between
// sends it again.
func (d *Dispatcher) tell(ctx context.Context, sub *Subscription, f *Follow, b *Batch, heads Heads, now time.Time) error {
	s, stream := d.standing, sub.Schedule.IsZero()
	sub.RanAt = now
	if !stream && !b.More {
		times, err := sub.Schedule.parse()
		if err != nil {
			return err
		}
		sub.Until, sub.NextAt = time.Time{}, times.next(now)
	}
	if b.Document != nil {
		sub.Sent, sub.Told = ids.New("doc"), true
		if err := s.post.Send(ctx, sub.ID, sub.Sent, b.Document); err != nil {
			return err
		}
	}
	ok, err := s.store.Advance(ctx, sub.ID, sub.Progress, f.moved)
	switch {
	case err != nil:
		return err
	case ok && b.Document == nil && !b.More && stream:
		d.seen[sub.ID] = heads
	}
	if b.Document != nil {
		d.sent()
	}
	return nil
}
