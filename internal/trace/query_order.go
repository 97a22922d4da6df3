package trace

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// orderedMax bounds how many events are put in the order of an extension's field: there is no
// index of these.
const orderedMax = 10_000

// sortKey is a field's value: numbers come first, then times, then texts, and what lacks the
// field last, whatever the direction.
type sortKey struct {
	ref  Ref
	rank int
	text string // of a number, plain
	at   time.Time
}

const (
	asNumeral = iota
	asInstant
	asWord
	lacking
)

func sortKeyOf(p *Unpacked, full string) sortKey {
	k := sortKey{ref: Ref{p.Stored.No, p.Stored.Time}, rank: lacking}
	hasField(p.Extensions, full, false, func(s string) bool {
		k.text, k.rank = s, asWord
		if n := plainNumber(s); isNumeral(n) {
			k.text, k.rank = n, asNumeral
		} else if t, ok := parseTime(s); ok {
			k.at, k.rank = t, asInstant
		}
		return true
	})
	return k
}

func (k *sortKey) compare(o *sortKey, desc bool) int {
	if k.rank != o.rank {
		return k.rank - o.rank
	}
	c := 0
	switch k.rank {
	case asNumeral:
		c = compareNumbers(k.text, o.text)
	case asInstant:
		c = k.at.Compare(o.at)
	case asWord:
		c = strings.Compare(k.text, o.text)
	default:
	}
	if desc {
		c = -c
	}
	return cmp.Or(c, k.ref.Time.Compare(o.ref.Time), cmp.Compare(k.ref.No, o.ref.No))
}

// findOrdered is find in the order of an extension's field.
func (s *Service) findOrdered(ctx context.Context, q *Query, after Ref, limit int, take func(*Unpacked)) (next Ref, _ error) {
	var keys []sortKey
	for at := (Ref{}); ; {
		more, err := s.findPlain(ctx, q, at, stretchRows, func(p *Unpacked) { keys = append(keys, sortKeyOf(p, q.field)) })
		if err != nil {
			return Ref{}, err
		}
		if len(keys) > orderedMax {
			return Ref{}, ErrQueryLarge.Textf("more than %d events are to be ordered by %s: narrow the time or name more", orderedMax, clip(q.field))
		}
		if at = more; at == (Ref{}) {
			break
		}
	}
	slices.SortFunc(keys, func(a, b sortKey) int { return a.compare(&b, q.Desc) })
	if after != (Ref{}) {
		at := slices.IndexFunc(keys, func(k sortKey) bool { return k.ref.No == after.No })
		if at < 0 {
			return Ref{}, ErrBadToken
		}
		keys = keys[at+1:]
	}
	if len(keys) > limit {
		keys, next = keys[:limit], keys[limit-1].ref
	}
	for part := range slices.Chunk(keys, readAgain) {
		if err := s.takeKeyed(ctx, part, take); err != nil {
			return Ref{}, err
		}
	}
	return next, nil
}

// takeKeyed reads events in the order of their keys.
func (s *Service) takeKeyed(ctx context.Context, keys []sortKey, take func(*Unpacked)) error {
	numbers := make([]int64, len(keys))
	for i := range keys {
		numbers[i] = keys[i].ref.No
	}
	stored, err := s.store.Events(ctx, numbers)
	if err != nil {
		return err
	}
	for _, no := range numbers {
		at := slices.IndexFunc(stored, func(e Stored) bool { return e.No == no })
		if at < 0 {
			return ErrBadToken // it is there no more
		}
		p, err := s.Unpack(&stored[at])
		if err != nil {
			return err
		}
		take(p)
	}
	return nil
}
