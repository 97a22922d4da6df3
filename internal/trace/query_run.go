package trace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
)

const (
	stretchRows = 128    // that are read at a time
	examinedMax = 20_000 // of one page: a page may be shorter than was asked for
	streamsMax  = 10_000
	tokenMax    = 256
)

// Page is part of a query's answer. It holds its events while they are small, and knows the
// numbers of the others.
type Page struct {
	Brands []ids.BrandID // whose they are
	Next   string        // asks for what follows; "" = nothing does

	service *Service
	found   []found
	held    int // bytes of the events that are held
}

// found is an event of a page.
type found struct {
	no    int64
	event *Unpacked // nil = it is read when it is told
}

const (
	heldBytesMax = 1 << 20 // of the stored events of one page
	readAgain    = 8       // events that are read at a time
)

// Len is how many events it has.
func (p *Page) Len() int { return len(p.found) }

func (p *Page) take(e *Unpacked) {
	one := found{no: e.Stored.No}
	if size := len(e.Stored.Body) + len(e.Stored.Ours); p.held+size <= heldBytesMax {
		p.held, one.event = p.held+size, e
	}
	p.found = append(p.found, one)
	if !slices.Contains(p.Brands, e.Stored.Brand) {
		p.Brands = append(p.Brands, e.Stored.Brand)
	}
}

// Entries are its events.
func (p *Page) Entries(ctx context.Context) Entries {
	return func(tell func(*Entry) error) error {
		for part := range slices.Chunk(p.found, readAgain) {
			read, err := p.read(ctx, part)
			if err != nil {
				return err
			}
			for _, one := range part {
				e := one.event
				if e == nil {
					e = read[one.no]
				}
				if err := tell(e.Entry(p.service.items)); err != nil {
					return err
				}
			}
		}
		return nil
	}
}

// read reads those of some events that are not held.
func (p *Page) read(ctx context.Context, part []found) (map[int64]*Unpacked, error) {
	var numbers []int64
	for _, one := range part {
		if one.event == nil {
			numbers = append(numbers, one.no)
		}
	}
	if len(numbers) == 0 {
		return nil, nil
	}
	stored, err := p.service.store.Events(ctx, numbers)
	if err != nil {
		return nil, fmt.Errorf("read events of a page: %w", err)
	}
	if len(stored) != len(numbers) {
		return nil, fmt.Errorf("read events of a page: %d of %d are there", len(stored), len(numbers))
	}
	read := make(map[int64]*Unpacked, len(stored))
	for i := range stored {
		if read[stored[i].No], err = p.service.Unpack(&stored[i]); err != nil {
			return nil, err
		}
	}
	return read, nil
}

// token is where a query goes on.
type token struct {
	At   int64  `json:"t"` // microseconds since 1970
	No   int64  `json:"n"`
	Left int    `json:"l,omitempty"` // of eventCountLimit
	Of   string `json:"q"`           // the query, so that no other takes it
}

// Fingerprint tells queries apart.
func (p Parameters) Fingerprint() string {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(p)) {
		h.Write(fmt.Appendf(nil, "%q%q", name, p[name]))
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:9])
}

func (t token) String() string {
	raw, err := json.Marshal(t)
	if err != nil {
		panic(err) // cannot be: four plain fields
	}
	return base64.RawURLEncoding.EncodeToString(raw)
}

func parseToken(s, of string) (t token, _ error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if len(s) > tokenMax || err != nil || json.Unmarshal(raw, &t) != nil || t.Of != of || t.Left < 0 {
		return t, ErrBadToken
	}
	return t, nil
}

// stream gives events in order, a stretch at a time.
type stream struct {
	read func(ctx context.Context, after Ref) ([]Stored, error)
	buf  []Stored
	last Ref
	done bool
}

// Events answers a query: up to limit events behind the token.
func (s *Service) Events(ctx context.Context, q *Query, of, after string, limit int) (Page, error) {
	start := token{Of: of, Left: q.Limit}
	if after != "" {
		var err error
		if start, err = parseToken(after, of); err != nil {
			return Page{}, err
		}
	}
	if q.Most > 0 && after == "" {
		if err := s.notMore(ctx, q); err != nil {
			return Page{}, err
		}
	}
	if q.Limit > 0 {
		limit = min(limit, start.Left)
	}
	at := Ref{}
	if after != "" {
		at = Ref{start.No, time.UnixMicro(start.At).UTC()}
	}
	p := Page{service: s}
	next, err := s.find(ctx, q, at, limit, p.take)
	if err != nil {
		return Page{}, err
	}
	left := start.Left - p.Len()
	if next != (Ref{}) && (q.Limit == 0 || left > 0) {
		p.Next = token{At: next.Time.UnixMicro(), No: next.No, Left: max(left, 0), Of: of}.String()
	}
	return p, nil
}

// notMore refuses a query with more results than it allows.
func (s *Service) notMore(ctx context.Context, q *Query) error {
	count, after := 0, Ref{}
	for {
		next, err := s.find(ctx, q, after, q.Most+1-count, func(*Unpacked) { count++ })
		if err != nil {
			return err
		}
		if count > q.Most {
			return ErrQueryLarge.Textf("more than maxEventCount, %d, events match", q.Most)
		}
		if next == (Ref{}) {
			return nil
		}
		after = next
	}
}

// find takes up to limit matches behind after, and tells where to go on; the zero Ref = nowhere.
func (s *Service) find(ctx context.Context, q *Query, after Ref, limit int, take func(*Unpacked)) (next Ref, _ error) {
	if q.field != "" {
		return s.findOrdered(ctx, q, after, limit, take)
	}
	return s.findPlain(ctx, q, after, limit, take)
}

func (s *Service) findPlain(ctx context.Context, q *Query, after Ref, limit int, take func(*Unpacked)) (next Ref, _ error) {
	streams, err := s.streams(ctx, q, after)
	if err != nil {
		return Ref{}, err
	}
	var last Ref
	taken := 0
	for range examinedMax {
		one, ok, err := nextOf(ctx, streams, q)
		if err != nil || !ok {
			return Ref{}, err
		}
		ref := q.refOf(&one)
		if ref == last {
			continue // it came by another stream
		}
		if taken == limit {
			return last, nil
		}
		last = ref
		p, err := s.Unpack(&one)
		if err != nil {
			return Ref{}, err
		}
		if q.takes(p) {
			take(p)
			taken++
		}
	}
	return last, nil
}

func (q *Query) refOf(s *Stored) Ref {
	if q.Order == ByRecord {
		return Ref{s.No, s.RecordTime}
	}
	return Ref{s.No, s.Time}
}

// takes applies every condition.
func (q *Query) takes(p *Unpacked) bool {
	if !within(p.Stored.Time, q.times) || !within(p.Stored.RecordTime, q.records) {
		return false
	}
	for _, t := range q.tests {
		if !t(p) {
			return false
		}
	}
	return true
}

func within(t time.Time, s span) bool {
	return (s.from.IsZero() || !t.Before(s.from)) && (s.to.IsZero() || t.Before(s.to))
}

// nextOf takes the first of all streams' next.
func nextOf(ctx context.Context, streams []*stream, q *Query) (first Stored, ok bool, _ error) {
	var from *stream
	for _, s := range streams {
		if len(s.buf) == 0 && !s.done {
			var err error
			if s.buf, err = s.read(ctx, s.last); err != nil {
				return first, false, fmt.Errorf("read events: %w", err)
			}
			s.done = len(s.buf) < stretchRows
		}
		if len(s.buf) > 0 && (from == nil || q.before(&s.buf[0], &from.buf[0])) {
			from = s
		}
	}
	if from == nil {
		return first, false, nil
	}
	first = from.buf[0]
	from.buf, from.last = from.buf[1:], q.refOf(&first)
	return first, true, nil
}

func (q *Query) before(a, b *Stored) bool {
	x, y := q.refOf(a), q.refOf(b)
	c := cmp.Or(x.Time.Compare(y.Time), cmp.Compare(x.No, y.No))
	return c < 0 != q.Desc && c != 0
}

// streams chooses what is read: what was named most narrowly, in the query's order.
func (s *Service) streams(ctx context.Context, q *Query, after Ref) ([]*stream, error) {
	brands, err := s.brandsOf(ctx, q.Brand)
	if err != nil {
		return nil, err
	}
	switch {
	case q.has&byID != 0:
		return s.gathered(ctx, q, after, brands, nil, q.ids)
	case q.has&byEPC != 0:
		return s.gathered(ctx, q, after, brands, q.epcs, nil)
	}
	var out []*stream
	add := func(st Stretch) {
		st.Desc, st.From, st.To = q.Desc, q.times.from, q.times.to
		if st.Order == ByRecord {
			st.From, st.To = q.records.from, q.records.to
		}
		out = append(out, &stream{last: after, read: func(ctx context.Context, after Ref) ([]Stored, error) {
			st.After = after
			return s.store.Scan(ctx, st, stretchRows)
		}})
	}
	for _, brand := range brands {
		if q.Order == ByTime && q.has&byTerm != 0 {
			for _, t := range q.terms {
				add(Stretch{Brand: brand, Order: ByTerm, Terms: []int64{t.Key(brand)}})
			}
			continue
		}
		add(Stretch{Brand: brand, Order: q.Order})
	}
	if len(out) > streamsMax {
		return nil, ErrQueryLarge.Textf("the query names too much at once")
	}
	return out, nil
}

// gathered are the events of some EPCs or eventIDs, which are few enough to be put in order
// here.
func (s *Service) gathered(ctx context.Context, q *Query, after Ref, brands []ids.BrandID, epcs, eventIDs []string) ([]*stream, error) {
	var all []Stored
	for _, brand := range brands {
		var hashes []Hash
		for _, id := range eventIDs {
			if h, ok := ParseHash(id); ok {
				hashes = append(hashes, h)
			}
		}
		found, err := s.store.OfHashes(ctx, brand, hashes)
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
	}
	var terms []Term
	for _, id := range eventIDs {
		terms = append(terms, Term{IDTerm, id})
	}
	for _, epc := range epcs {
		terms = append(terms, Term{EPCTerm, epc}, Term{ChildTerm, epc})
	}
	for _, epc := range q.parents {
		terms = append(terms, Term{ParentTerm, epc})
	}
	if err := s.ofTerms(ctx, &all, brands, terms...); err != nil {
		return nil, err
	}
	if err := s.ofItems(ctx, &all, q.Brand, epcs); err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b Stored) int {
		if q.before(&a, &b) {
			return -1
		}
		return 1
	})
	all = slices.CompactFunc(all, func(a, b Stored) bool { return a.No == b.No })
	if after != (Ref{}) {
		mark := Stored{No: after.No, Time: after.Time, RecordTime: after.Time}
		all = slices.DeleteFunc(all, func(e Stored) bool { return !q.before(&mark, &e) })
	}
	return []*stream{{buf: all, done: true}}, nil
}

// gatheredMax bounds how many events are put in order here.
const gatheredMax = 100_000

func (s *Service) ofTerms(ctx context.Context, all *[]Stored, brands []ids.BrandID, terms ...Term) error {
	for _, brand := range brands {
		for _, t := range terms {
			if err := s.ofTerm(ctx, all, brand, t); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Service) ofTerm(ctx context.Context, all *[]Stored, brand ids.BrandID, t Term) error {
	st := Stretch{Brand: brand, Order: ByTerm, Terms: []int64{t.Key(brand)}}
	for {
		found, err := s.store.Scan(ctx, st, stretchRows)
		if err != nil {
			return err
		}
		if *all = append(*all, found...); len(*all) > gatheredMax {
			return ErrQueryLarge.Textf("more than %d events are of what was named: narrow the time and name less", gatheredMax)
		}
		if len(found) < stretchRows {
			return nil
		}
		last := found[len(found)-1]
		st.After = Ref{last.No, last.Time}
	}
}

// ofItems gathers the events of those EPCs that are our items.
func (s *Service) ofItems(ctx context.Context, all *[]Stored, brand ids.BrandID, epcs []string) error {
	for _, epc := range epcs {
		it, _, ok, err := ours(s.itemsOf(ctx).Finder(), epc, epc)
		if err != nil {
			return err
		}
		if !ok || brand != 0 && it.Brand != brand {
			continue
		}
		refs, err := s.store.OfItem(ctx, it.Serial)
		if err != nil {
			return err
		}
		numbers := make([]int64, len(refs))
		for i, r := range refs {
			numbers[i] = r.No
		}
		found, err := s.store.Events(ctx, numbers)
		if err != nil {
			return err
		}
		*all = append(*all, found...)
	}
	return nil
}

// Event gives the events with an eventID: the event, and its error declaration.
func (s *Service) Event(ctx context.Context, brand ids.BrandID, id string) (Page, error) {
	q, err := s.NewQuery(ctx, brand, Parameters{"EQ_eventID": {id}, "orderDirection": {"ASC"}})
	if err != nil {
		return Page{}, err
	}
	p, err := s.Events(ctx, q, "", "", stretchRows)
	if err == nil && p.Len() == 0 {
		err = ErrNoEvent
	}
	return p, err
}

// Words lists what a brand's events name: 0 = all brands'. The cursor goes on where the last
// answer ended.
func (s *Service) Words(ctx context.Context, brand ids.BrandID, kinds []TermKind, cursor string, limit int) (all []string, next string, _ error) {
	var at wordCursor
	if cursor != "" {
		raw, err := base64.RawURLEncoding.DecodeString(cursor)
		if len(cursor) > tokenMax || err != nil || json.Unmarshal(raw, &at) != nil {
			return nil, "", ErrBadToken
		}
	}
	brands, err := s.brandsOf(ctx, brand)
	if err != nil {
		return nil, "", err
	}
	for _, b := range brands {
		if b < at.Brand {
			continue
		}
		after := Word{}
		if b == at.Brand && cursor != "" {
			after = Word{Kind: at.Kind, Key: at.Key}
		}
		found, err := s.store.Words(ctx, b, kinds, after, limit-len(all)+1)
		if err != nil {
			return nil, "", err
		}
		for _, w := range found {
			if len(all) == limit {
				raw, err := json.Marshal(at)
				return all, base64.RawURLEncoding.EncodeToString(raw), err
			}
			all, at = append(all, w.Text), wordCursor{b, w.Kind, w.Key}
		}
	}
	return all, "", nil
}

type wordCursor struct {
	Brand ids.BrandID `json:"b"`
	Kind  TermKind    `json:"k"`
	Key   int64       `json:"w"`
}

// Known reports whether some event names a term.
func (s *Service) Known(ctx context.Context, brand ids.BrandID, kinds []TermKind, text string) (bool, error) {
	brands, err := s.brandsOf(ctx, brand)
	if err != nil {
		return false, err
	}
	text = s.words.step.bare(s.words.disposition.bare(Canonical(text)))
	for _, b := range brands {
		for _, k := range kinds {
			found, err := s.store.Scan(ctx, Stretch{Brand: b, Order: ByTerm, Terms: []int64{Term{k, text}.Key(b)}}, 1)
			if err != nil || len(found) > 0 {
				return len(found) > 0, err
			}
		}
	}
	it, _, ok, err := ours(s.itemsOf(ctx).Finder(), text, text)
	if err != nil {
		return false, err
	}
	if ok && slices.Contains(kinds, EPCTerm) {
		refs, err := s.store.OfItem(ctx, it.Serial)
		return len(refs) > 0, err
	}
	return false, nil
}
