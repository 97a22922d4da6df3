package trace

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestNextIsTheFirst holds next to a search second by second.
func TestNextIsTheFirst(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, first, last int) string {
			n := rapid.IntRange(first, last).Draw(t, name)
			switch rapid.IntRange(0, 4).Draw(t, name+" as") {
			case 0:
				return fmt.Sprint(n)
			case 1:
				return fmt.Sprintf("[%d-%d],%d", n, last, first)
			case 2:
				return fmt.Sprintf("%d/7", n)
			case 3:
				return "*/13"
			}
			return ""
		}
		times := Times{Second: draw("second", 0, 59), Minute: draw("minute", 0, 59), Hour: draw("hour", 0, 23), DayOfWeek: draw("weekday", 1, 7)}
		s, err := times.parse()
		if err != nil {
			t.Fatal(err)
		}
		from := time.Date(2024, 2, 28, 20, 0, 0, 0, time.UTC).Add(time.Duration(rapid.IntRange(0, 100_000_000).Draw(t, "ms")) * time.Millisecond)
		got := s.next(from)
		at := from.Truncate(time.Second).Add(time.Second)
		for range 10 * 24 * 3600 {
			weekday := int(at.Weekday())
			if weekday == 0 {
				weekday = 7
			}
			if has(s.second, at.Second()) && has(s.minute, at.Minute()) && has(s.hour, at.Hour()) && has(s.weekday, weekday) {
				break
			}
			at = at.Add(time.Second)
		}
		if !got.Equal(at) {
			t.Fatalf("%+v behind %s: %s, want %s", times, from, got, at)
		}
	})
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	from := time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC) // a Sunday
	for want, times := range map[string]Times{
		"2026-03-02T01:05:00Z": {Hour: "1", Minute: "5"}, // GS1's example: every morning at 1.05
		"2026-03-01T08:00:30Z": {Second: "0/30"},
		"2028-02-29T00:00:00Z": {DayOfMonth: "29", Month: "2"},
		"2026-03-02T00:00:00Z": {DayOfWeek: "1"},
		"2026-03-01T09:00:00Z": {Hour: "[9-17]", DayOfWeek: "7,?"},
	} {
		s, err := times.parse()
		if got := s.next(from).Format(time.RFC3339); err != nil || got != want {
			t.Errorf("%+v: %s, %v; want %s", times, got, err, want)
		}
	}
	for _, times := range []Times{{Second: "60"}, {Minute: "-1"}, {Hour: "x"}, {DayOfMonth: "0"}, {Month: "5-4"}, {DayOfWeek: "8"}, {Second: "1/0"}, {Second: ","}} {
		if _, err := times.parse(); err == nil {
			t.Errorf("%+v was taken", times)
		}
	}
	if s, err := (Times{DayOfMonth: "31", Month: "2"}).parse(); err != nil || !s.next(from).IsZero() {
		t.Error("the 31st of February came")
	}
}
