package trace_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/trace"
)

// TestStepsAreDocumented holds what steps and dispositions say of states to docs/states.md.
func TestStepsAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(raw), "\n## What events say\n")
	section, _, more := strings.Cut(section, "\n## ")
	if !ok || !more {
		t.Fatal("docs/states.md has no section on what events say")
	}
	word := regexp.MustCompile("`([a-z_]+)`")
	documented := map[string]gs1.Disposition{}
	for line := range strings.Lines(section) {
		cells := strings.Split(line, "|")
		if len(cells) != 4 || !strings.HasPrefix(cells[1], " `") {
			continue
		}
		to, ok := gs1.ParseDisposition(strings.Trim(cells[2], " `"))
		if !ok {
			t.Errorf("%q is no state", cells[2])
		}
		for _, m := range word.FindAllStringSubmatch(cells[1], -1) {
			documented[m[1]] = to
		}
	}
	if len(documented) < 10 {
		t.Fatalf("the table has %d steps", len(documented))
	}
	for _, step := range trace.Steps() {
		if got := trace.StateOf(step, ""); got != documented[step] {
			t.Errorf("%s says %s, documented is %s", step, got, documented[step])
		}
		delete(documented, step)
	}
	for step := range documented {
		t.Errorf("%s is no step of the CBV", step)
	}
}

func TestDispositionComesFirst(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		step, disposition string
		want              gs1.Disposition
	}{
		{"shipping", "recalled", gs1.Recalled}, {"receiving", "in_progress", gs1.InProgress}, {"", "stolen", gs1.Stolen},
		{"decommissioning", "inactive", gs1.Inactive}, {"decommissioning", "", gs1.Void}, {"shipping", "container_closed", 0},
		{"inspecting", "", 0}, {"", "", 0}, {"https://example.com/step", "https://example.com/disp", 0}, {"shipping", "void", 0},
	} {
		if got := trace.StateOf(c.step, c.disposition); got != c.want {
			t.Errorf("%q with %q says %s, want %s", c.step, c.disposition, got, c.want)
		}
	}
}
