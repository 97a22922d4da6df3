package crash

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

var (
	rounds = flag.Int("rounds", 20, "how often the server is killed")
	seed   = flag.Uint64("seed", 0, "of the random choices; 0 = by the clock")
)

func options(t *testing.T) Options {
	t.Helper()
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	return Options{Server: bin, Data: filepath.Join(t.TempDir(), "data"), Rounds: *rounds, Seed: *seed}
}

func TestKill(t *testing.T) {
	report, err := Run(t.Context(), options(t))
	if err != nil || len(report.Lost) > 0 {
		t.Fatalf("-rounds %d -seed %d: %v\n%s\n%s", report.Rounds, report.Seed, err, report, strings.Join(report.Lost, "\n"))
	}
	if report.Rounds != *rounds || len(report.Recovery) != *rounds || *rounds > 0 && report.Scans < int64(*rounds*workers*itemsEach) {
		t.Errorf("%d rounds were asked for: %s", *rounds, report)
	}
	t.Log(report)
}

// TestCheckerSeesLoss plants what must never happen: after a kill the data of an
// earlier moment comes back. If the checks let that pass, TestKill proves nothing.
func TestCheckerSeesLoss(t *testing.T) {
	for _, lost := range []struct{ what, says string }{
		{"chopmark.db", "the pool says"}, {"sightings", "acknowledged scans"}, {"scans", "the statistics have"},
	} {
		t.Run(lost.what, func(t *testing.T) {
			ctx := t.Context()
			w, err := newWorld(ctx, options(t))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { w.server.Kill() })
			w.load(ctx, 300*time.Millisecond)
			before := t.TempDir()
			if err := os.CopyFS(before, os.DirFS(w.Data)); err != nil {
				t.Fatal(err)
			}
			if err := w.recover(ctx); err != nil || w.findings() != "" {
				t.Fatalf("before anything was lost: %v\n%s", err, w.findings())
			}
			w.load(ctx, 300*time.Millisecond)
			if err := loseSince(w.Data, before, lost.what); err != nil {
				t.Fatal(err)
			}
			if err := w.recover(ctx); err != nil {
				t.Fatal(err)
			}
			if lost.what == "scans" {
				if err := w.checkEffects(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if all := w.findings(); !strings.Contains(all, lost.says) {
				t.Errorf("the checks did not see that %s went back in time:\n%s", lost.what, all)
			}
		})
	}
}

// loseSince brings one part of the data directory back to what it was, with all that
// is below it and beside it under its name.
func loseSince(data, before, part string) error {
	parts, err := filepath.Glob(filepath.Join(data, part+"*"))
	if err != nil {
		return err
	}
	for _, p := range parts {
		if err := os.RemoveAll(p); err != nil {
			return err
		}
		old := filepath.Join(before, filepath.Base(p))
		st, err := os.Stat(old)
		switch {
		case err != nil: // it was not there then
			continue
		case st.IsDir():
			err = os.CopyFS(p, os.DirFS(old))
		default:
			var raw []byte
			if raw, err = os.ReadFile(old); err == nil {
				err = os.WriteFile(p, raw, 0o600)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// TestJudge gives verdicts of an item with 5 scans acknowledged and 2 unknown, of
// which the highest answer was 6: right ones, and one wrong in each way.
func TestJudge(t *testing.T) {
	t.Parallel()
	const first = "2026-01-02T03:04:05Z"
	for name, tt := range map[string]struct {
		verdict string
		version int
		count   int64
		counted bool
		first   string
		says    string // "" = right
	}{
		"all scans were counted":      {"authentic_again", 3, 7, false, first, ""},
		"what was answered":           {"authentic_again", 3, 6, false, first, ""},
		"another scan":                {"authentic_again", 3, 7, true, first, ""},
		"below the acknowledged":      {"authentic_again", 3, 4, false, first, "acknowledged scans"},
		"below the highest answer":    {"authentic_again", 3, 5, false, first, "highest answer"},
		"no more than before":         {"authentic_again", 3, 6, true, first, "highest answer"},
		"more than were ever sent":    {"authentic_again", 3, 8, false, first, "acknowledged scans"},
		"the first scan moved":        {"authentic_again", 3, 7, false, "2026-01-02T03:04:06Z", "first scan moved"},
		"the first scan is forgotten": {"authentic_again", 3, 7, false, "", "without a first scan"},
		"another state":               {"sold", 3, 7, false, first, "verdict sold"},
		"an older version":            {"authentic_again", 2, 7, false, first, "version 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &world{}
			it := &item{code: "1", state: "active", version: 3, scans: 5, maybe: 2, highest: 6, first: first}
			w.judge(it, verdict(t, tt.verdict, tt.version, tt.count, tt.counted, tt.first), tt.counted)
			if got := w.findings(); (got == "") != (tt.says == "") || !strings.Contains(got, tt.says) {
				t.Errorf("want %q, found %q", tt.says, got)
			}
		})
	}
	w := &world{}
	it := &item{code: "1", state: "active", version: 1}
	if w.judge(it, verdict(t, "authentic", 1, 0, true, ""), false); !strings.Contains(w.findings(), "counted true") {
		t.Errorf("a look that was counted passed: %q", w.findings())
	}
	w = &world{}
	if w.judge(it, harness.Answer{Status: 500}, false); !strings.Contains(w.findings(), "answered 500") {
		t.Errorf("an answer without a verdict passed: %q", w.findings())
	}
}

func verdict(t *testing.T, verdict string, version int, count int64, counted bool, first string) harness.Answer {
	t.Helper()
	at, err := json.Marshal(map[bool]any{true: first, false: nil}[first != ""])
	if err != nil {
		t.Fatal(err)
	}
	return harness.Answer{Status: 200, Data: fmt.Appendf(nil, `{"verdict":%q,"version":%d,"scan_count":%d,"counted":%v,"first_scan":{"at":%s}}`,
		verdict, version, count, counted, at)}
}

// TestRunTells: a server that cannot come back is an error, and the report is there.
func TestRunTells(t *testing.T) {
	t.Parallel()
	o := Options{Server: filepath.Join(t.TempDir(), "none"), Data: t.TempDir(), Rounds: 1, Seed: 7}
	if report, err := Run(context.Background(), o); err == nil || report == nil || report.Seed != 7 || report.RecoveryMax() != 0 {
		t.Errorf("%v, %v", report, err)
	}
}
