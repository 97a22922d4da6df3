package batch

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/gs1"
)

// documented reads the table of docs/states.md: from each state, what it may become.
func documented(t *testing.T) map[gs1.Disposition][]gs1.Disposition {
	t.Helper()
	raw, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	word := regexp.MustCompile("`([a-z_]+)`")
	states := func(cell string) (out []gs1.Disposition) {
		for _, m := range word.FindAllStringSubmatch(cell, -1) {
			d, ok := gs1.ParseDisposition(m[1])
			if !ok {
				t.Errorf("docs/states.md: %q is no state", m[1])
			}
			out = append(out, d)
		}
		return out
	}
	table := map[gs1.Disposition][]gs1.Disposition{}
	for line := range strings.Lines(string(raw)) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 7 || !strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			continue
		}
		from := states(cells[1])
		if len(from) != 1 || table[from[0]] != nil {
			t.Fatalf("docs/states.md: %q names %v, or a state that has its line already", line, from)
		}
		table[from[0]] = append([]gs1.Disposition{}, states(cells[5])...)
	}
	return table
}

// TestTransitionsAreDocumented pins every pair of states to docs/states.md.
func TestTransitionsAreDocumented(t *testing.T) {
	t.Parallel()
	docs, table := documented(t), NewTransitions()
	for _, from := range gs1.Dispositions() {
		if docs[from] == nil {
			t.Errorf("docs/states.md has no line for %s", from)
		}
		for _, to := range gs1.Dispositions() {
			if got, want := table.Allowed(from, to), slices.Contains(docs[from], to); got != want {
				t.Errorf("%s to %s: allowed %v, documented %v", from, to, got, want)
			}
		}
	}
}

func TestTransitionsRules(t *testing.T) {
	t.Parallel()
	table := NewTransitions()
	for _, d := range gs1.Dispositions() {
		if table.Allowed(d, d) {
			t.Errorf("%s to itself counts as a move", d)
		}
		if table.Allowed(d, FirstState) {
			t.Errorf("%s may become %s again without an undo", d, FirstState)
		}
		for _, end := range []gs1.Disposition{gs1.Destroyed, gs1.Disposed, gs1.Void} {
			if table.Allowed(end, d) {
				t.Errorf("%s may become %s", end, d)
			}
		}
		for _, none := range []gs1.Disposition{0, gs1.Void + 1, 31, 32, 33, 255} {
			if table.Allowed(none, d) || table.Allowed(d, none) {
				t.Errorf("what is no state (%d) takes part in a move with %s", none, d)
			}
		}
		if (&Transitions{}).Allowed(gs1.Encoded, d) {
			t.Errorf("the zero table allows %s", d)
		}
	}
}
