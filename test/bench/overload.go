package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/test/load"
)

const (
	overloadQuota = 0.25 // of a core, so that the load can exceed the server here
	overloadTimes = 3
	overloadConns = 2000
	overloadFor   = 10 * time.Second
)

// benchOverload gives the server a quarter of a core and asks three times as much as
// it can answer.
func benchOverload(ctx context.Context, b *bench) error {
	server, codes, err := b.verifyServer(ctx, "overload")
	if err != nil {
		return err
	}
	defer server.Kill()
	free, err := limitCPU(server.Pid(), overloadQuota)
	if err != nil {
		b.rowf("verify at 3 times what a quarter of a core can answer", "goodput ≥ 90 % of its peak", "not measured here: %v", err)
		return nil
	}
	defer free()
	work := &asking{codes: codes}
	peak, err := drive(ctx, server.URL, work, load.Steady(overloadFor, verifyConns, 0))
	if err != nil {
		return err
	}
	rate := float64(peak.Answers()) / peak.Took.Seconds()
	calm, err := drive(ctx, server.URL, work, load.Steady(overloadFor, verifyConns, 0.6*rate))
	if err != nil {
		return err
	}
	stage := load.Steady(overloadFor, overloadConns, overloadTimes*rate)
	stage.AllowShed = true
	storm, err := drive(ctx, server.URL, work, stage)
	if err != nil {
		return err
	}
	// the first second opens the connections; the end waits for those that are held
	from, to := 2, int(overloadFor/time.Second)-1
	goodput := float64(storm.AnswersBetween(from, to)) / float64(to-from)
	calm99, storm99 := calm.AllSent().Quantile(0.99), storm.AllSent().Quantile(0.99)
	b.rowf(fmt.Sprintf("verify with 1/4 core at 3 times its peak of %.0f/s, %d connections: goodput", rate, overloadConns), "≥ 90 % of peak",
		"%.0f %% (%.0f/s), %d turned away with 503", 100*goodput/rate, goodput, storm.Shed())
	b.rowf("  p99 of those let in, from sending / at 60 % of the peak", "≤ 2", "%.1f (%v / %v)",
		storm99.Seconds()/calm99.Seconds(), micros(storm99), micros(calm99))
	return nil
}

// limitCPU puts a process into a control group with a share of a core; free takes
// the group away when the process has ended.
func limitCPU(pid int, cores float64) (free func(), _ error) {
	const (
		period  = 100_000 // microseconds
		cgroups = "/sys/fs/cgroup"
	)
	name := "chopmark-bench-" + strconv.Itoa(pid)
	quota := strconv.Itoa(int(cores * period))
	dir, files := filepath.Join(cgroups, "cpu", name), map[string]string{"cpu.cfs_period_us": strconv.Itoa(period), "cpu.cfs_quota_us": quota}
	if _, err := os.Stat(filepath.Join(cgroups, "cgroup.controllers")); err == nil {
		dir, files = filepath.Join(cgroups, name), map[string]string{"cpu.max": quota + " " + strconv.Itoa(period)}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	free = func() { _ = os.Remove(dir) } // it stays while the process lives; then it is empty
	files["cgroup.procs"] = strconv.Itoa(pid)
	for file, value := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0o644); err != nil {
			free()
			return nil, err
		}
	}
	return free, nil
}
