package tracetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/trace"
)

// Moving is a clock that the test sets.
type Moving struct{ after atomic.Int64 }

// Now implements clock.Clock.
func (c *Moving) Now() time.Time { return Start().Add(time.Duration(c.after.Load())) }

// Add lets time pass.
func (c *Moving) Add(d time.Duration) { c.after.Add(int64(d)) }

// Mail is a post in memory: what was sent waits until it is taken.
type Mail struct {
	mu     sync.Mutex
	open   map[string]string            // guarded by mu: token by subscription
	box    map[string]map[string][]byte // guarded by mu: documents by subscription
	dead   map[string]bool              // guarded by mu: documents
	buried map[string]int               // guarded by mu: dead documents by subscription
}

// NewMail makes an empty post.
func NewMail() *Mail {
	return &Mail{open: map[string]string{}, box: map[string]map[string][]byte{}, dead: map[string]bool{}, buried: map[string]int{}}
}

var _ trace.Post = (*Mail)(nil)

// Open implements trace.Post.
func (m *Mail) Open(_ context.Context, s *trace.Subscription, token string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open[s.ID] = token
	return nil
}

// Close implements trace.Post.
func (m *Mail) Close(_ context.Context, subscription string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.open, subscription)
	delete(m.box, subscription)
	return nil
}

// Send implements trace.Post.
func (m *Mail) Send(_ context.Context, subscription, document string, body []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.box[subscription] == nil {
		m.box[subscription] = map[string][]byte{}
	}
	m.box[subscription][document] = body
	return nil
}

// OnTheWay implements trace.Post.
func (m *Mail) OnTheWay(_ context.Context, subscription, document string) (waiting, dead bool, _ error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.box[subscription]) > 0, m.dead[document], nil
}

// GivenUp implements trace.Post.
func (m *Mail) GivenUp(_ context.Context, subscriptions []string) (map[string]trace.GivenUp, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make(map[string]trace.GivenUp)
	for _, s := range subscriptions {
		if n := m.buried[s]; n > 0 {
			out[s] = trace.GivenUp{Count: n, Reason: "it answers 404"}
		}
	}
	return out, nil
}

// Bury gives up what waits for a subscriber.
func (m *Mail) Bury(subscription string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for document := range m.box[subscription] {
		m.dead[document] = true
		m.buried[subscription]++
	}
	delete(m.box, subscription)
}

// Take gives what waits for a subscriber, by the names of the documents.
func (m *Mail) Take(subscription string) (documents [][]byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, body := range m.box[subscription] {
		documents = append(documents, body)
	}
	delete(m.box, subscription)
	return documents
}

// standing is the use cases of one process, with a clock and a post.
type standing struct {
	*testing.T
	*trace.Standing
	store Store
	clock *Moving
	mail  *Mail
	d     *trace.Dispatcher
}

func newStanding(t *testing.T, w World, clock *Moving, mail *Mail) *standing {
	store := w.At(clock)
	service := trace.NewService(trace.UsualLimits(), store, store, store, Items{}, clock)
	s := &standing{T: t, store: store, clock: clock, mail: mail, Standing: trace.NewStanding(service, store, mail)}
	s.d = trace.NewDispatcher(s.Standing, slog.New(slog.DiscardHandler), func() {})
	return s
}

func (s *standing) named(brand ids.BrandID, name string, params trace.Parameters) {
	s.Helper()
	if _, err := s.AddQuery(s.Context(), brand, name, params); err != nil {
		s.Fatal(err)
	}
}

func (s *standing) subscribe(sub trace.Subscription) trace.Subscription {
	s.Helper()
	made, _, err := s.Subscribe(s.Context(), ids.Request{}, &sub, "secret")
	if err != nil {
		s.Fatal(err)
	}
	return made
}

// look lets the dispatcher work until it has nothing more to do at once.
func (s *standing) look() {
	s.Helper()
	for more := true; more; {
		var err error
		if more, err = s.d.Look(s.Context()); err != nil {
			s.Fatal(err)
		}
	}
}

// eventIDs are those of documents.
func eventIDs(t *testing.T, documents [][]byte) (all []string) {
	t.Helper()
	for _, raw := range documents {
		var d struct {
			EPCISBody struct {
				QueryResults struct {
					SubscriptionID string
					ResultsBody    struct {
						EventList []struct{ EventID string }
					}
				}
			}
		}
		if err := json.Unmarshal(raw, &d); err != nil || d.EPCISBody.QueryResults.SubscriptionID == "" { //nolint:musttag // names fit without regard to case
			t.Fatalf("%v: %s", err, raw)
		}
		for _, e := range d.EPCISBody.QueryResults.ResultsBody.EventList {
			all = append(all, e.EventID)
		}
	}
	return all
}

func (s *standing) send(n ...int) {
	s.Helper()
	var events []map[string]any
	for _, i := range n {
		step := "shipping"
		if i%3 == 0 {
			step = "packing"
		}
		events = append(events, Event(map[string]any{"eventID": fmt.Sprint("urn:n:", i), "bizStep": step, "epcList": []string{EPC(ids.BrandID(1+i%2), i)}}))
	}
	s.clock.Add(time.Millisecond)
	capture(s.T, s.Service, trace.CaptureSpec{}, Document(events...))
}

// subscriptions holds a store of subscriptions to its contract.
func subscriptions(t *testing.T, w World) {
	s := newStanding(t, w, &Moving{}, NewMail())
	for brand := range ids.BrandID(3) {
		s.named(brand, "q", trace.Parameters{"EQ_bizStep": {"shipping"}})
	}
	s.named(0, "bounded", trace.Parameters{"maxEventCount": {"3"}})
	spec := trace.Subscription{
		Query: "q", Brand: 1, Dest: "https://erp.example/in", Schedule: trace.Times{Hour: "1", Minute: "5"}, ReportIfEmpty: true,
		From: Start().Add(-time.Hour), Format: "Never_Translates", CreatedBy: "管理员",
	}
	request := ids.Request{Key: [32]byte{1}, Body: [32]byte{2}}
	first := spec
	made, replayed, err := s.Subscribe(t.Context(), request, &first, "")
	if err != nil || replayed || !made.NextAt.Equal(time.Date(2026, 3, 2, 1, 5, 0, 0, time.UTC)) {
		t.Fatal(made, replayed, err)
	}
	second := spec
	again, replayed, err := s.Subscribe(t.Context(), request, &second, "")
	if diff := cmp.Diff(made, again); err != nil || !replayed || diff != "" {
		t.Errorf("the request again: %v, %v\n%s", replayed, err, diff)
	}
	request.Body[0]++
	if _, _, err := s.Subscribe(t.Context(), request, &spec, ""); err == nil {
		t.Error("another body under the same key was taken")
	}
	for name, bad := range map[string]trace.Subscription{
		"no query": {Query: "none"}, "a query with an end": {Query: "bounded"}, "a day that never comes": {Query: "q", Schedule: trace.Times{DayOfMonth: "30", Month: "2"}},
	} {
		if _, _, err := s.Subscribe(t.Context(), ids.Request{}, &bad, ""); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for n := 1; n < trace.SubscriptionsMax; n++ {
		s.subscribe(trace.Subscription{Query: "q", Brand: 1})
	}
	if _, _, err := s.Subscribe(t.Context(), ids.Request{}, &trace.Subscription{Query: "q", Brand: 1}, ""); !errors.Is(err, trace.ErrManySubscriptions) {
		t.Errorf("one too many: %v", err)
	}
	other := s.subscribe(trace.Subscription{Query: "q", Brand: 2})
	var got []string
	for after := ""; ; {
		page, err := s.Subscriptions(t.Context(), 1, "q", after, 7)
		if err != nil {
			t.Fatal(err)
		}
		for i := range page {
			after = page[i].ID
			got = append(got, after)
		}
		if len(page) < 7 {
			break
		}
	}
	if len(got) != trace.SubscriptionsMax || !slices.IsSorted(got) || slices.Contains(got, other.ID) {
		t.Errorf("listed: %d", len(got))
	}
	if _, err := s.Subscription(t.Context(), 2, "q", made.ID); !errors.Is(err, trace.ErrNoSubscription) {
		t.Errorf("another brand's: %v", err)
	}
	if err := s.Unsubscribe(t.Context(), 0, "q", other.ID); !errors.Is(err, trace.ErrNoSubscription) {
		t.Errorf("another brand's, to end it: %v", err)
	}
	ok, err := s.store.Advance(t.Context(), made.ID, made.Progress, trace.Places{1: {No: 5, Time: Start()}})
	if stale, err2 := s.store.Advance(t.Context(), made.ID, made.Progress, trace.Places{1: {No: 1, Time: Start()}}); !ok || err != nil || stale || err2 != nil {
		t.Errorf("advanced %v, %v; then by an old version %v, %v", ok, err, stale, err2)
	}
	if p, err := s.store.Places(t.Context(), made.ID); err != nil || p[1].No != 5 {
		t.Errorf("places %v, %v", p, err)
	}
	if err := s.RemoveQuery(t.Context(), 1, "q"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.store.AllSubscriptions(t.Context(), "", 100); err != nil || len(all) != 1 || all[0].ID != other.ID {
		t.Errorf("without the query of brand 1 there are %d, %v", len(all), err)
	}
	if err := s.RemoveQuery(t.Context(), 2, "q"); err != nil {
		t.Fatal(err)
	}
	if all, err := s.store.AllSubscriptions(t.Context(), "", 100); err != nil || len(all) != 0 || len(s.mail.open) != 0 {
		t.Errorf("without their query there are %d subscriptions, %v, and %d addresses", len(all), err, len(s.mail.open))
	}
}

// streams tells everything that matches, once, in the order of record, over restarts,
// whoever else does not take his.
func streams(t *testing.T, w World) {
	clock, mail := &Moving{}, NewMail()
	s := newStanding(t, w, clock, mail)
	s.named(0, "q", trace.Parameters{"EQ_bizStep": {"shipping"}})
	s.named(1, "q", trace.Parameters{"EQ_bizStep": {"shipping"}})
	s.send(1, 2) // before anybody asked
	clock.Add(time.Second)
	a, away := s.subscribe(trace.Subscription{Query: "q"}), s.subscribe(trace.Subscription{Query: "q", Brand: 1})
	old := s.subscribe(trace.Subscription{Query: "q", From: Start()})
	var want, got []string
	n := 10
	for round := range 6 {
		var some []int
		for range 1 + round*120 {
			n++
			if n%3 != 0 {
				want = append(want, fmt.Sprint("urn:n:", n))
			}
			some = append(some, n)
		}
		s.send(some...)
		if round%2 == 1 { // another process
			s = newStanding(t, w, clock, mail)
		}
		for range 5 {
			s.look()
			if documents := mail.Take(a.ID); documents != nil {
				got = append(got, eventIDs(t, documents)...)
			}
		}
	}
	byBrand := func(all []string, odd int) (out []string) {
		for _, id := range all {
			var i int
			if _, err := fmt.Sscanf(id, "urn:n:%d", &i); err != nil {
				t.Fatal(err)
			}
			if i%2 == odd {
				out = append(out, id)
			}
		}
		return out
	}
	for odd := range 2 { // a brand's events are in order
		if diff := cmp.Diff(byBrand(want, odd), byBrand(got, odd)); diff != "" {
			t.Errorf("brand %d (-want +got):\n%.3000s", 1+odd, diff)
		}
	}
	first := eventIDs(t, mail.Take(away.ID))
	if len(first) == 0 || first[0] != "urn:n:14" {
		t.Errorf("who was away has %v waiting", first)
	}
	if early := eventIDs(t, mail.Take(old.ID)); len(early) < 2 || !slices.Contains(early, "urn:n:2") {
		t.Errorf("from the beginning: %v", early)
	}
	s.look()
	if sub, err := s.Subscription(t.Context(), 0, "q", a.ID); err != nil || sub.NotifiedAt.IsZero() || sub.RanAt.IsZero() {
		t.Errorf("%+v, %v", sub, err)
	}
	mail.Bury(away.ID)
	s.look()
	if more := eventIDs(t, mail.Take(away.ID)); len(more) == 0 || more[0] == first[0] {
		t.Errorf("after a dead letter comes %v", more)
	}
	if err := s.Unsubscribe(t.Context(), 0, "q", a.ID); err != nil {
		t.Fatal(err)
	}
	s.send(100_000 + 1)
	s.look()
	if documents := mail.Take(a.ID); documents != nil {
		t.Errorf("after its end: %s", documents)
	}
}

// scheduled queries are asked when it is time.
func scheduled(t *testing.T, w World) {
	clock, mail := &Moving{}, NewMail()
	s := newStanding(t, w, clock, mail)
	s.named(0, "q", nil)
	hourly := trace.Times{Minute: "30"}
	quiet, loud := s.subscribe(trace.Subscription{Query: "q", Schedule: hourly}), s.subscribe(trace.Subscription{Query: "q", Schedule: hourly, ReportIfEmpty: true})
	count := func(id string) (documents, events int) {
		t.Helper()
		s.look()
		all := mail.Take(id)
		return len(all), len(eventIDs(t, all))
	}
	expect := func(when string, id string, documents, events int) {
		t.Helper()
		if d, e := count(id); d != documents || e != events {
			t.Errorf("%s: %d documents, %d events; want %d and %d", when, d, e, documents, events)
		}
	}
	s.send(1, 2)
	expect("before it is time", quiet.ID, 0, 0)
	clock.Add(31 * time.Minute)
	expect("first", quiet.ID, 1, 2)
	expect("first", loud.ID, 1, 2)
	expect("it was told", loud.ID, 0, 0)
	clock.Add(time.Hour)
	expect("nothing new", quiet.ID, 0, 0)
	expect("nothing new, but it is reported", loud.ID, 1, 0)
	s = newStanding(t, w, clock, mail)
	s.send(4)
	clock.Add(5 * time.Hour) // times that were missed are one
	expect("later", quiet.ID, 1, 1)
	expect("later", loud.ID, 1, 1)
	expect("once", loud.ID, 0, 0)
}

// lost holds a subscription to at least once while processes end at any step: between
// sending and keeping how far it is too.
func lost(t *testing.T, w World) {
	clock, mail := &Moving{}, NewMail()
	s := newStanding(t, w, clock, mail)
	s.named(0, "q", nil)
	n := 0
	rapid.Check(t, func(rt *rapid.T) {
		sub := s.subscribe(trace.Subscription{Query: "q"})
		clock.Add(time.Millisecond)
		var want []string
		got := map[string]bool{}
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			switch rapid.IntRange(0, 4).Draw(rt, "what") {
			case 0:
				n++
				s.send(n)
				want = append(want, fmt.Sprint("urn:n:", n))
			case 1:
				s.look()
			case 2:
				for _, id := range eventIDs(t, mail.Take(sub.ID)) {
					got[id] = true
				}
			case 3: // one that sends and ends before it keeps that
				f := newStanding(t, World{At: func(c *Moving) Store { return forgetful{w.At(c)} }}, clock, mail)
				f.look()
			case 4:
				s = newStanding(t, w, clock, mail)
			}
		}
		for range 2*len(want) + 3 {
			s.look()
			for _, id := range eventIDs(t, mail.Take(sub.ID)) {
				got[id] = true
			}
		}
		for _, id := range want {
			if !got[id] {
				rt.Fatalf("%s did not arrive", id)
			}
		}
		if err := s.Unsubscribe(t.Context(), 0, "q", sub.ID); err != nil {
			rt.Fatal(err)
		}
	})
}

// forgetful keeps no progress.
type forgetful struct{ Store }

var errEnded = errors.New("the process has ended")

// Advance implements trace.Subscriptions.
func (forgetful) Advance(context.Context, string, trace.Progress, trace.Places) (bool, error) {
	return false, errEnded
}

// numbered: captures are read again in the order of their numbers, a shard each, and none is
// outside of what the heads said before and after it.
func numbered(t *testing.T, w World) {
	s := newStanding(t, w, &Moving{}, NewMail())
	heads := func() trace.Heads {
		t.Helper()
		h, err := s.CaptureHeads(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	read := func(from, to trace.Heads) (all []string) {
		t.Helper()
		for shard := range ids.Shard(ids.Shards) {
			after := from[shard]
			for after < to[shard] {
				upTo := min(to[shard], after+2)
				briefs, err := s.Briefs(t.Context(), shard, after+1, upTo, 1)
				if err != nil {
					t.Fatal(err)
				}
				for _, b := range briefs {
					if b.No <= after || b.No > upTo || ids.ShardOf(b.Brand) != shard {
						t.Errorf("%+v is none of shard %d from %d to %d", b, shard, after, upTo)
					}
					after = b.No
					all = append(all, b.Step+" "+b.Words[len(b.Words)-1])
				}
				after = upTo
			}
		}
		return all
	}
	s.send(1, 2, 3)
	middle := heads()
	s.send(4, 5, 2) // 2 is known already
	s.send(7)
	var want []string
	for _, n := range []int{2, 4, 1, 3, 5, 7} { // brand 1, then brand 2
		step := "shipping"
		if n%3 == 0 {
			step = "packing"
		}
		want = append(want, step+" "+EPC(ids.BrandID(1+n%2), n))
	}
	all := read(trace.Heads{}, heads())
	later := read(middle, heads())
	slices.Sort(all)
	slices.Sort(want)
	if diff := cmp.Diff(want, all); diff != "" {
		t.Errorf("all (-want +got):\n%s", diff)
	}
	if len(later) != 3 {
		t.Errorf("captured later: %v", later)
	}
}
