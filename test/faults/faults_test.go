package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

// TestFaults plays a round of each fault that is quick, and then plants losses in the
// database, which the checks must see. make faults plays all of them.
func TestFaults(t *testing.T) {
	for _, need := range needs() {
		if err := servers.Missing(need[0], need[1]); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(err)
			}
			t.Skipf("skipped, because %v", err)
		}
	}
	ctx := t.Context()
	bin, err := harness.Build(ctx, t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	quick := slices.DeleteFunc(kinds(), func(k kind) bool { return !k.quick })
	w, err := newWorld(ctx, Options{Server: bin, Dir: t.TempDir(), Rounds: len(quick), Seed: uint64(time.Now().UnixNano()), Scans: len(quick) + 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.close)
	report := newReport(w.Seed)
	err = w.play(ctx, quick, report)
	var table bytes.Buffer
	if printed := report.Print(&table); err != nil || printed != nil || report.Harmed() {
		t.Fatalf("seed %d: %v, %v\n%s", w.Seed, err, printed, table.String())
	}
	t.Log("\n" + table.String())
	if sums := report.total.totals; report.Rounds != len(quick) || sums.facts == 0 || sums.scans == 0 {
		t.Errorf("%d rounds, %+v", report.Rounds, sums)
	}
	w.plant(t)
	for _, check := range []func(context.Context) error{w.check, w.checkScans, w.checkClaims} {
		if err := check(ctx); err != nil {
			t.Fatal(err)
		}
	}
	planted := newReport(w.Seed)
	planted.end(w.ledger.taken(), totals{})
	texts := strings.Join(planted.Texts, "\n")
	for _, says := range []string{"scan_records has", "the summary has", "is not in the records", "batch " + w.actors[2].pool + " says"} {
		if !strings.Contains(texts, says) {
			t.Errorf("the checks did not see %q:\n%s", says, texts)
		}
	}
}

// plant does what must never happen.
func (w *world) plant(t *testing.T) {
	t.Helper()
	for _, statement := range []string{
		`DELETE FROM scan_records WHERE code = '` + w.probes[0] + `' LIMIT 1`,
		`UPDATE scan_summaries SET scans = scans + 1 ORDER BY serial LIMIT 1`,
		`DELETE FROM claims WHERE batch_id = '` + w.actors[1].pool + `' ORDER BY from_no DESC LIMIT 1`,
		`UPDATE pool_free SET from_no = from_no + 5 WHERE batch_id = '` + w.actors[2].pool + `'`,
	} {
		if _, err := w.admin.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
}
