package streamtest

import (
	"fmt"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/stream"
)

func letter(group string, gen uint32, seq uint64, n int) stream.Letter {
	at := stream.At(gen, seq)
	return stream.Letter{
		ID: stream.LetterID(group, at, n), Group: group, At: at, N: n, Key: 7<<60 + 3,
		Since: stream.Place{At: at, N: max(n-1, 0)}, Until: stream.EndOf(at),
		Value: fmt.Append(nil, "value of ", at, n), Reason: "unknown item 茶", Tries: 5,
		BuriedAt: time.Date(2026, 3, 1, 8, 0, 0, 123000, time.UTC),
	}
}

func (e *env) bury(letters ...stream.Letter) {
	e.Helper()
	e.must(e.log.Letters().Bury(e.Context(), letters...))
}

func (e *env) dead(group, after string, most int) []stream.Letter {
	e.Helper()
	dead, err := e.log.Letters().Dead(e.Context(), group, after, most)
	e.must(err)
	return dead
}

func lettersStay(_ *testing.T, e *env) {
	want := []stream.Letter{letter("a", 1, 1, stream.Unreadable), letter("a", 1, 1, stream.WholeRecord), letter("a", 1, 1, 0)}
	e.bury(want...)
	e.same("at once", want, e.dead("a", "", 10))
	again := want[1]
	again.Reason, again.Value = "another reason", nil
	e.bury(again)
	e.same("one that is there stays as it is", want, e.dead("a", "", 10))
	for range 2 {
		e.must(e.log.Reopen())
		e.same("after opening again", want, e.dead("a", "", 10))
	}
}

func lettersInOrderOfTheLog(_ *testing.T, e *env) {
	var want []stream.Letter
	for _, at := range [][2]uint64{{1, 1}, {1, 2}, {1, 255}, {1, 256}, {2, 1}, {9, 3}, {10, 1}, {256, 1}} {
		for _, n := range []int{-2, -1, 0, 1, 9, 10, 255, 256, stream.MessagesMax} {
			want = append(want, letter("b", uint32(at[0]), at[1], n))
		}
	}
	for i := range want { // backwards, with neighbours in name around
		m := want[len(want)-1-i]
		for _, group := range []string{"b", "a", "b-", "ba", "c"} {
			m.Group, m.ID = group, stream.LetterID(group, m.At, m.N)
			e.bury(m)
		}
	}
	e.same("all", want, e.dead("b", "", 1000))
	for most := 1; most < 12; most += 5 {
		var paged []stream.Letter
		for after := ""; ; after = paged[len(paged)-1].ID {
			page := e.dead("b", after, most)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page...)
		}
		e.same(fmt.Sprintf("in pages of %d", most), want, paged)
	}
	e.must(e.log.Letters().Discard(e.Context(), want[3].ID, want[5].ID))
	e.same("after one that is gone", want[4].ID, e.dead("b", want[3].ID, 1)[0].ID)
	e.same("the others are there", len(want)-2, len(e.dead("b", "", 1000)))
	e.same("other groups too", len(want), len(e.dead("ba", "", 1000)))
}

func triedMoreOftenReplaces(_ *testing.T, e *env) {
	m := letter("a", 1, 1, 4)
	e.bury(m)
	m.Tries, m.Reason = m.Tries+1, "a new reason"
	e.bury(m)
	e.same("the new one", []stream.Letter{m}, e.dead("a", "", 10))
	older := m
	older.Tries, older.Reason = m.Tries-1, "an old reason"
	e.bury(older)
	e.same("the newer one stays", []stream.Letter{m}, e.dead("a", "", 10))
}

func discardMayBeRepeated(_ *testing.T, e *env) {
	a, b := letter("a", 1, 1, 0), letter("a", 1, 2, 0)
	e.bury(a, b)
	for range 2 {
		e.must(e.log.Letters().Discard(e.Context(), a.ID))
		e.same("the other one", []stream.Letter{b}, e.dead("a", "", 10))
		e.must(e.log.Reopen())
	}
	if err := e.log.Letters().Discard(e.Context(), "nonsense"); err == nil {
		e.Error("an id that is none is discarded without an error")
	}
	e.bury(a)
	e.same("buried again", []stream.Letter{a, b}, e.dead("a", "", 10))
}
