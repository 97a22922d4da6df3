package resolvetest

import (
	"cmp"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/resolve"
)

// Journal is where a process without SQL keeps the records that it heard of.
type Journal interface {
	// Append must be durable when it returns without an error.
	Append(records []resolve.Record) error
	// Reset must forget everything.
	Reset() error
}

// RunJournal runs its contract. open gives what opens one empty journal; each further
// call is the next start of the process, and gives the newest record of each name in the
// order of their versions.
func RunJournal(t *testing.T, open func(t *testing.T) func() (Journal, []resolve.Record)) {
	rapid.Check(t, func(rt *rapid.T) {
		start := open(t)
		j, _ := start()
		want, version := map[string]resolve.Record{}, int64(0)
		for range rapid.IntRange(1, 10).Draw(rt, "steps") {
			switch rapid.IntRange(0, 5).Draw(rt, "step") {
			case 0:
				var got []resolve.Record
				j, got = start()
				same(rt, "records after a start", inOrder(want), got)
			case 1:
				must(rt, j.Reset())
				clear(want)
			default:
				var some []resolve.Record
				for range rapid.IntRange(1, 3).Draw(rt, "records") {
					version++
					r := resolve.Record{
						Name: "/01/" + strconv.Itoa(rapid.IntRange(1, 4).Draw(rt, "name")), BrandID: 1,
						Body: []byte(rapid.SampledFrom([]string{"", "[\n]", "x"}).Draw(rt, "body")), Version: version, ChangedAt: at(version),
					}
					some, want[r.Name] = append(some, r), r
				}
				must(rt, j.Append(some))
			}
		}
		_, got := start()
		same(rt, "records at the end", inOrder(want), got)
	})
}

func inOrder(records map[string]resolve.Record) (all []resolve.Record) {
	for _, r := range records {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b resolve.Record) int { return cmp.Compare(a.Version, b.Version) })
	return all
}
