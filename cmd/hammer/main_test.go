package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/harness"
)

const anyExit = -1

const ours = "123456789012345678"

func codesFile(t *testing.T, codes ...string) string {
	t.Helper()
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	_ = w.Write([]string{"no", "code", "url"})
	for i, code := range codes {
		_ = w.Write([]string{fmt.Sprint(i + 1), code, "http://localhost:8080/" + code})
	}
	w.Flush()
	name := filepath.Join(t.TempDir(), "codes.csv")
	if err := os.WriteFile(name, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestUsage(t *testing.T) {
	t.Parallel()
	file := codesFile(t, ours)
	good := []string{"scan", "--url", "http://127.0.0.1:1", "--codes", file}
	for _, more := range [][]string{
		{"--mix", "fresh=70,repeat=20,stale=5,forged=5"}, // stale without a key
		{"--mix", "old=1"}, {"--conns", "0"}, {"--rate", "-1"}, {"--for", "0s"}, {"--profile", "wild"}, {"--profile", "seed", "--scale", "0"},
		{"--pick", "best"}, {"--expect", "recalled"}, {"--url", "127.0.0.1:1"}, {"--never"},
	} {
		var out, errs strings.Builder
		if code := run(t.Context(), append(append([]string(nil), good...), more...), &out, &errs); code != exitUsage || errs.Len() == 0 {
			t.Errorf("%q: exit %d, %s", more, code, errs.String())
		}
	}
	var out, errs strings.Builder
	if code := run(t.Context(), []string{"scan", "--url", "http://127.0.0.1:1", "--codes", file + ".none"}, &out, &errs); code != exitUsage {
		t.Errorf("no such file: exit %d, %s", code, errs.String())
	}
	if code := run(t.Context(), good, &out, &errs); code != exitFailed {
		t.Errorf("nobody listens: exit %d, %s", code, errs.String())
	}
	if code := run(t.Context(), []string{"--help"}, &out, &errs); code != 0 {
		t.Errorf("--help: exit %d", code)
	}
}

// TestWrongAnswers: what is wrong is printed, and the exit code says so.
func TestWrongAnswers(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
	defer s.Close()
	var out, errs strings.Builder
	code := run(t.Context(), []string{"scan", "--url", s.URL, "--codes", codesFile(t, ours), "--for", "200ms", "--conns", "2", "--rate", "100"}, &out, &errs)
	if code != exitFailed || !strings.Contains(out.String(), "wrong answers") || !strings.Contains(out.String(), "it answered 500") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}

// TestAgainstServer runs the real programs: every kind, both transports, a rate, no
// rate and the seed's profile; nothing is wrong. Then goals that cannot be met, and
// verdicts that were not expected, are.
func TestAgainstServer(t *testing.T) {
	t.Parallel()
	ctx, dir := t.Context(), t.TempDir()
	server := must(harness.Build(ctx, dir, "github.com/chopmark/chopmark/cmd/chopmark"))
	hammer := must(harness.Build(ctx, dir, "github.com/chopmark/chopmark/cmd/hammer"))
	// who claims to be forwarded is not exempt, and asks more than an address may
	s := must(harness.Start(ctx, server, filepath.Join(dir, "data"), "--limit-address", "off", "--limit-misses", "off"))
	t.Cleanup(s.Kill)
	file := codesFile(t, must(issue(ctx, s, "H1", 10_000, "active"))...)
	asleep := codesFile(t, must(issue(ctx, s, "H2", 100, ""))...)
	const all = "fresh=40,repeat=40,stale=10,forged=10"
	for _, tt := range []struct {
		name string
		exit int
		says string
		args []string
	}{
		{"http1 at a rate", 0, "stale", []string{"--codes", file, "--for", "2s", "--rate", "1500", "--mix", all}},
		{"http2 at a rate", 0, "stale", []string{"--codes", file, "--for", "2s", "--rate", "1000", "--mix", all, "--http2"}},
		{"malformed", 0, "malformed", []string{"--codes", file, "--for", "2s", "--rate", "500", "--mix", "malformed=8,forged=1,repeat=1", "--forwarded"}},
		{"malformed over http2", 0, "malformed", []string{"--codes", file, "--for", "2s", "--rate", "500", "--mix", "malformed=8,forged=1,repeat=1", "--forwarded", "--http2"}},
		{"zipf, shedding allowed", 0, "SHED", []string{"--codes", file, "--for", "1s", "--rate", "500", "--mix", "repeat=1", "--pick", "zipf", "--allow-shed"}},
		{"http1 at full speed", 0, "every answer was right", []string{"--codes", file, "--for", "2s", "--mix", all}},
		// A machine that is busy with other tests may miss the burst's rate; no answer may be wrong.
		{"seed", anyExit, "burst", []string{"--codes", file, "--profile", "seed", "--scale", "0.02", "--mix", all}},
		{"not active, expected", 0, "counts as repeat", []string{"--codes", asleep, "--for", "1s", "--rate", "400", "--expect", "inactive"}},
		{"not active", 1, `unexpected verdict "inactive"`, []string{"--codes", asleep, "--for", "200ms", "--rate", "200"}},
		{"another goal out of reach", 1, "p99 since sending", []string{"--codes", file, "--for", "200ms", "--rate", "200", "--goal-sent-p99", "1ns"}},
		{"a goal out of reach", 1, "the goal is 1ns", []string{"--codes", file, "--for", "200ms", "--rate", "200", "--goal-p99", "1ns"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.CommandContext(ctx, hammer, append([]string{"scan", "--url", s.URL, "--conns", "16", "--key", harness.AdminKey}, tt.args...)...)
			var out, errs strings.Builder
			cmd.Stdout, cmd.Stderr = &out, &errs
			err := cmd.Run()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if got := cmd.ProcessState.ExitCode(); got != tt.exit && tt.exit != anyExit || !strings.Contains(out.String(), tt.says) || tt.exit == 0 && errs.Len() > 0 || tt.exit != 1 && strings.Contains(out.String(), "wrong answers") {
				t.Errorf("exit %d, want %d and %q:\n%s%s", got, tt.exit, tt.says, out.String(), errs.String())
			}
			t.Log(out.String())
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
