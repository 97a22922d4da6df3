package streamredis

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

// A letter lies in the slot of its record's producer: that node has written it before the
// record's acknowledgement, so it cannot lose the one and keep the other.

func (s *Streams) letterKeys(producer, group string) []string {
	return []string{s.key(producer, "letters:"+group), s.key(producer, "letter:"+group)}
}

const memberBytes = 24

// member sorts as letters do.
func member(at stream.Position, n int) string {
	return fmt.Sprintf("%016x%08x", uint64(at), n-stream.Unreadable)
}

// Bury implements stream.Letters.
func (s *Streams) Bury(ctx context.Context, letters ...stream.Letter) error {
	for _, m := range letters {
		if err := stream.CheckGroup(m.Group); err != nil {
			return err
		}
		if m.N < stream.Unreadable || m.N > stream.MessagesMax {
			return fmt.Errorf("bury a letter of %s: there is no message %d", m.Group, m.N)
		}
		if m.BuriedAt.IsZero() {
			m.BuriedAt = s.o.Clock.Now()
		}
		m.ID = stream.LetterID(m.Group, m.At, m.N)
		text, err := json.Marshal(stored{m.Key, place(m.Since), place(m.Until), m.Value, m.Reason, m.Tries, m.BuriedAt.UnixMicro()})
		if err != nil {
			return fmt.Errorf("bury letter %s: %w", m.ID, err)
		}
		owner, err := s.owner(ctx, m.At.Generation())
		if err != nil {
			return err
		}
		if err := s.exec(ctx, buryScript, s.letterKeys(owner, m.Group), member(m.At, m.N), strconv.Itoa(m.Tries), string(text)).Error(); err != nil {
			return fmt.Errorf("bury letter %s: %w", m.ID, err)
		}
	}
	return nil
}

// Dead implements stream.Letters.
func (s *Streams) Dead(ctx context.Context, group, after string, most int) ([]stream.Letter, error) {
	if err := stream.CheckGroup(group); err != nil {
		return nil, err
	}
	from := "-"
	if after != "" {
		named, at, n, err := stream.ParseLetterID(after)
		if err != nil {
			return nil, err
		}
		if named != group {
			return nil, fmt.Errorf("letters of %s after %s: %w", group, after, stream.ErrBadLetterID)
		}
		from = "(" + member(at, n)
	}
	producers, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	var dead []stream.Letter
	for _, p := range append([]string{noOwner}, producers...) {
		letters, err := s.lettersOf(ctx, p, group, from, most)
		if err != nil {
			return nil, fmt.Errorf("read letters of %s: %w", group, err)
		}
		dead = append(dead, letters...)
	}
	slices.SortFunc(dead, func(a, b stream.Letter) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.N, b.N)) })
	return dead[:min(len(dead), most)], nil
}

func (s *Streams) lettersOf(ctx context.Context, producer, group, from string, most int) (all []stream.Letter, _ error) {
	keys := s.letterKeys(producer, group)
	members, err := s.do(ctx, s.db.B().Zrangebylex().Key(keys[0]).Min(from).Max("+").Limit(0, int64(most)).Build()).AsStrSlice()
	if err != nil || len(members) == 0 {
		return nil, err
	}
	texts, err := s.do(ctx, s.db.B().Hmget().Key(keys[1]).Field(members...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	for i := range texts {
		text, err := texts[i].ToString()
		if rueidis.IsRedisNil(err) {
			continue // discarded meanwhile
		}
		_, text, _ = strings.Cut(text, " ")
		m, bad := parseLetter(group, members[i], text)
		if err := errors.Join(err, bad); err != nil {
			return nil, fmt.Errorf("letter %s of %s: %w", members[i], producer, err)
		}
		all = append(all, m)
	}
	return all, nil
}

// stored is what is kept of a letter beside its member, which has the rest.
type stored struct {
	Key    uint64 `json:"key"`
	Since  place  `json:"since"`
	Until  place  `json:"until"`
	Value  []byte `json:"value"`
	Reason string `json:"reason"`
	Tries  int    `json:"tries"`
	Buried int64  `json:"buried_micros"`
}

type place struct {
	At stream.Position `json:"at"`
	N  int             `json:"n"`
}

func parseLetter(group, member, text string) (m stream.Letter, _ error) {
	if len(member) != memberBytes {
		return m, errors.New("its name is damaged")
	}
	at, err1 := strconv.ParseUint(member[:16], 16, 64)
	n, err2 := strconv.ParseUint(member[16:], 16, 32)
	var s stored
	if err := errors.Join(err1, err2, json.Unmarshal([]byte(text), &s)); err != nil {
		return m, err
	}
	m = stream.Letter{
		Group: group, At: stream.Position(at), N: int(n) + stream.Unreadable, Key: s.Key, Since: stream.Place(s.Since), Until: stream.Place(s.Until),
		Value: s.Value, Reason: s.Reason, Tries: s.Tries, BuriedAt: time.UnixMicro(s.Buried).UTC(),
	}
	m.ID = stream.LetterID(m.Group, m.At, m.N)
	return m, nil
}

// Discard implements stream.Letters.
func (s *Streams) Discard(ctx context.Context, ids ...string) error {
	var all error
	for _, id := range ids {
		group, at, n, err := stream.ParseLetterID(id)
		if err != nil {
			all = errors.Join(all, fmt.Errorf("discard %q: %w", id, err))
			continue
		}
		owner, err := s.owner(ctx, at.Generation())
		if err != nil {
			return err
		}
		for _, p := range slices.Compact([]string{noOwner, owner}) { // the owner may have been unknown when it was buried
			keys := s.letterKeys(p, group)
			for _, cmd := range []rueidis.Completed{
				s.db.B().Zrem().Key(keys[0]).Member(member(at, n)).Build(), s.db.B().Hdel().Key(keys[1]).Field(member(at, n)).Build(),
			} {
				if err := s.do(ctx, cmd).Error(); err != nil {
					return fmt.Errorf("discard %q: %w", id, err)
				}
			}
		}
	}
	return all
}
