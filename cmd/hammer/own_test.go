package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/harness"
)

// TestCrash kills the real server, as it is and behind a program that plants a loss.
func TestCrash(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	server := must(harness.Build(t.Context(), dir, "github.com/chopmark/chopmark/cmd/chopmark"))
	loser := filepath.Join(dir, "loser")
	// serve --data DIR: from the second start on there is something to lose.
	script := fmt.Sprintf("#!/bin/sh\nrm -rf \"$3/sightings\"\nexec %s \"$@\"\n", server)
	if err := os.WriteFile(loser, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, server string
		exit         int
		says         []string
	}{
		{"nothing is lost", server, 0, []string{"2 rounds with seed 7\n", "acknowledged: ", "answers that never came: ", "recovery: max ", "is there\n"}},
		{"scans are lost", loser, 1, []string{"LOST ", "acknowledged scans", "the data directory is kept: ", "again with the same choices: hammer crash --rounds 1 --seed 7 --server " + loser + "\n"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			data := filepath.Join(t.TempDir(), "data")
			var out, errs strings.Builder
			exit := run(t.Context(), []string{"crash", "--rounds", "2", "--seed", "7", "--server", tt.server, "--data", data}, &out, &errs)
			if exit != tt.exit || (errs.Len() > 0) != (tt.exit > 0) {
				t.Errorf("exit %d, want %d\n%s%s", exit, tt.exit, out.String(), errs.String())
			}
			for _, say := range tt.says {
				if !strings.Contains(out.String(), say) {
					t.Errorf("%q is not in\n%s", say, out.String())
				}
			}
			if strings.Contains(out.String(), "LOST") != (tt.exit > 0) {
				t.Errorf("exit %d:\n%s", exit, out.String())
			}
			if _, err := os.Stat(data); err != nil {
				t.Errorf("what was named by --data is not ours to remove: %v", err)
			}
		})
	}
}

// TestLeave: what has failed leaves its data to look at, and nothing else.
func TestLeave(t *testing.T) {
	for _, named := range []bool{false, true} {
		tmp := t.TempDir()
		t.Setenv("TMPDIR", tmp)
		var o ownServer
		if named {
			o.Data = filepath.Join(tmp, "named")
		}
		var out strings.Builder
		server, data, leave, err := o.place(t.Context(), &out)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(data, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := leave(errLost); err != nil || !strings.Contains(out.String(), data) {
			t.Errorf("%v: %s", err, out.String())
		}
		_, noServer := os.Stat(server)
		_, noData := os.Stat(data)
		left, err := os.ReadDir(tmp)
		if noServer == nil || noData != nil || err != nil || len(left) != 1 {
			t.Errorf("named %v: server %v, data %v, left %v", named, noServer, noData, left)
		}
	}
}

// TestDefaultServer builds the server and leaves nothing behind.
func TestDefaultServer(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	var out, errs strings.Builder
	if exit := run(t.Context(), []string{"crash", "--rounds", "1"}, &out, &errs); exit != 0 {
		t.Errorf("exit %d\n%s%s", exit, out.String(), errs.String())
	}
	if left, err := filepath.Glob(filepath.Join(tmp, "hammer-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q, %v", left, err)
	}
}

// TestSoak: a soak that is far too short to judge memory, but it asks, looks and says.
func TestSoak(t *testing.T) {
	t.Parallel()
	server := must(harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark"))
	var out, errs strings.Builder
	exit := run(t.Context(), []string{"soak", "--server", server, "--data", filepath.Join(t.TempDir(), "data"), "--for", "3s", "--every", "200ms", "--rate", "200"}, &out, &errs)
	all := out.String()
	for _, say := range []string{"RESIDENT MB", "malformed", " goroutines: median", "every answer was right"} {
		if !strings.Contains(all, say) {
			t.Errorf("%q is not in\n%s%s", say, all, errs.String())
		}
	}
	if grows := strings.Contains(all, "GROWS"); grows != (exit == exitFailed) || !grows && exit != 0 {
		t.Errorf("exit %d\n%s%s", exit, all, errs.String())
	}
}

func TestOwnServerUsage(t *testing.T) {
	t.Parallel()
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"crash", "--rounds", "0"}, {"crash", "--seed", "-1"}, {"crash", "--rounds", "1", "--data", full}, {"crash", "--data", filepath.Join(full, "x")},
		{"crash", "--server", filepath.Join(full, "none")}, {"crash", "--server", full}, {"crash", "--url", "http://x"},
		{"soak", "--rate", "0"}, {"soak", "--for", "10s", "--every", "5s"}, {"soak", "--every", "1ms"}, {"soak", "--conns", "0"}, {"soak", "--for", "25h"},
		{"soak", "--for", "1s", "--every", "100ms", "--data", full}, {"soak", "--for", "24h", "--rate", "100000"},
		{"estimate"}, {"estimate", "--mean", "0"}, {"estimate", "--mean", "NaN"}, {"estimate", "--mean", "1", "--confidence", "1"},
		{"estimate", "--mean", "1", "--for", "1ms"}, {"estimate", "--mean", "1", "--cdn-hits", "95"}, {"estimate", "--mean", "1", "--people", "-1"},
	} {
		var out, errs strings.Builder
		if exit := run(context.Background(), args, &out, &errs); exit != exitUsage || errs.Len() == 0 {
			t.Errorf("%q: exit %d, %s%s", args, exit, out.String(), errs.String())
		}
	}
}

// TestEstimate: the seed's vector, and each bound of its model, met and broken.
func TestEstimate(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args []string
		exit int
		says string
	}{
		{[]string{"--mean", "5000"}, 0, "a peak second of 5212"},
		{[]string{"--mean", "5000", "--for", "1h"}, 0, "no second of 1h0m0s is above 5358"},
		{[]string{"--mean", "5000", "--confidence", "0.5"}, 0, "is above 5000,"},
		{[]string{"--mean", "5000"}, 0, "at least 2606 people"},
		{[]string{"--mean", "5000", "--people", "2606"}, 0, "ok     page refresh"},
		{[]string{"--mean", "5000", "--people", "2605"}, 1, "BROKEN page refresh"},
		{[]string{"--mean", "5000", "--cdn-hits", "0.94"}, 1, "BROKEN CDN hits"},
		{[]string{"--mean", "5000", "--operations", "306"}, 0, "ok     one Redis"},
		{[]string{"--mean", "5000", "--operations", "308"}, 1, "BROKEN one Redis"},
	} {
		var out, errs strings.Builder
		exit := run(t.Context(), append([]string{"estimate"}, tt.args...), &out, &errs)
		if exit != tt.exit || !strings.Contains(out.String(), tt.says) || strings.Contains(out.String(), "BROKEN") != (tt.exit > 0) {
			t.Errorf("%q: exit %d\n%s%s", tt.args, exit, out.String(), errs.String())
		}
	}
}
