package trace

import (
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ErrBadSchedule answers a schedule that names no time.
var ErrBadSchedule = fault.New(fault.Invalid, "trace.bad_schedule", "the schedule is not valid")

// Times is when a scheduled query is asked, field by field as it was given: numbers, ranges
// [a-b] or a-b, steps a/b, separated by commas; * and ? are all. "" = it was left out.
type Times struct {
	Second     string `json:"second,omitempty"`
	Minute     string `json:"minute,omitempty"`
	Hour       string `json:"hour,omitempty"`
	DayOfMonth string `json:"dayOfMonth,omitempty"`
	Month      string `json:"month,omitempty"`
	DayOfWeek  string `json:"dayOfWeek,omitempty"` // 1 is Monday
}

// IsZero reports that no field was given.
func (t Times) IsZero() bool { return t == Times{} }

// schedule is the set of each field's values, a bit each. All are in UTC.
type schedule struct{ second, minute, hour, day, month, weekday uint64 }

const scheduleBytesMax = 256 // of a field

// parse reads the fields. Fields finer than the finest that was given are their first value
// ({"hour": 1} is once a day, not each second of an hour), coarser ones are all.
func (t Times) parse() (s schedule, _ error) {
	finer := true
	for _, f := range [...]struct {
		name, text  string
		first, last int
		into        *uint64
		time        bool // it is left at its first value when only coarser fields are given
	}{
		{"second", t.Second, 0, 59, &s.second, true}, {"minute", t.Minute, 0, 59, &s.minute, true}, {"hour", t.Hour, 0, 23, &s.hour, true},
		{"dayOfMonth", t.DayOfMonth, 1, 31, &s.day, false}, {"month", t.Month, 1, 12, &s.month, false}, {"dayOfWeek", t.DayOfWeek, 1, 7, &s.weekday, false},
	} {
		text := f.text
		switch {
		case text == "" && finer && f.time:
			text = strconv.Itoa(f.first)
		case text == "":
			text = "*"
		default:
			finer = false
		}
		set, ok := fieldSet(text, f.first, f.last)
		if !ok {
			return s, ErrBadSchedule.Textf("schedule.%s: %q is not a list of numbers and ranges from %d to %d", f.name, clip(text), f.first, f.last)
		}
		*f.into = set
	}
	return s, nil
}

func fieldSet(text string, first, last int) (set uint64, ok bool) {
	if len(text) > scheduleBytesMax {
		return 0, false
	}
	for part := range strings.SplitSeq(text, ",") {
		part, step, stepped := strings.Cut(strings.TrimSpace(part), "/")
		every := 1
		if stepped {
			var err error
			if every, err = strconv.Atoi(step); err != nil || every < 1 {
				return 0, false
			}
		}
		from, to := first, last
		if part != "*" && part != "?" {
			part = strings.TrimSuffix(strings.TrimPrefix(part, "["), "]")
			low, high, ranged := strings.Cut(part, "-")
			var err, err2 error
			from, err = strconv.Atoi(low)
			switch {
			case ranged:
				to, err2 = strconv.Atoi(high)
			case !stepped:
				to = from
			}
			if err != nil || err2 != nil || from < first || to > last || from > to {
				return 0, false
			}
		}
		for n := from; n <= to; n += every {
			set |= 1 << n
		}
	}
	return set, true
}

// daysAhead is how far the next time may lie: the 29th of February comes within 8 years.
const daysAhead = 8*366 + 1

// next is the first time behind t; the zero time when there never is one.
func (s *schedule) next(t time.Time) time.Time {
	t = t.UTC().Truncate(time.Second).Add(time.Second)
	for day := range daysAhead {
		at := t
		if day > 0 {
			at = time.Date(t.Year(), t.Month(), t.Day()+day, 0, 0, 0, 0, time.UTC)
		}
		weekday := (int(at.Weekday())+6)%7 + 1
		if !has(s.month, int(at.Month())) || !has(s.day, at.Day()) || !has(s.weekday, weekday) {
			continue
		}
		if at, ok := s.within(at); ok {
			return at
		}
	}
	return time.Time{}
}

// within is the first time from t on of t's day.
func (s *schedule) within(t time.Time) (time.Time, bool) {
	h, m, sec := t.Clock()
	for hour := h; hour < 24; hour++ {
		if !has(s.hour, hour) {
			continue
		}
		fromMinute := 0
		if hour == h {
			fromMinute = m
		}
		for minute := fromMinute; minute < 60; minute++ {
			if !has(s.minute, minute) {
				continue
			}
			from := 0
			if hour == h && minute == m {
				from = sec
			}
			for second := from; second < 60; second++ {
				if has(s.second, second) {
					return time.Date(t.Year(), t.Month(), t.Day(), hour, minute, second, 0, time.UTC), true
				}
			}
		}
	}
	return time.Time{}, false
}

func has(set uint64, n int) bool { return set&(1<<n) != 0 }
