package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
)

const (
	distinctMany = 100_000_000
	distinctFew  = 1_000_000
	distinctAsk  = 2_000_000
	distinctWarm = 20 * time.Second
)

// benchDistinct compares verifying when a hundred million codes have been scanned with
// verifying when a million have. The counts are written directly.
func benchDistinct(ctx context.Context, b *bench) error {
	few, err := b.distinct(ctx, "few", distinctFew)
	if err != nil {
		return err
	}
	many, err := b.distinct(ctx, "many", distinctMany)
	if err != nil {
		return err
	}
	b.rowf(fmt.Sprintf("verify when %d codes were scanned, Zipf(1.1): CPU per request / when %d were", distinctMany, distinctFew), "≤ 1.5",
		"%.2f (%.1f µs / %.1f µs)", many.zipf/few.zipf, many.zipf, few.zipf)
	b.rowf("  the same, uniform", "", "%.2f (%.1f µs / %.1f µs)", many.uniform/few.uniform, many.uniform, few.uniform)
	b.rowf("  resident at the end", "≤ 1 GB", "%.0f MB", many.residentMB)
	b.rowf("  counts on disk", "", "%.0f MB, %.0f bytes each", many.diskMB, many.diskMB*1e6/distinctMany)
	return nil
}

type spread struct{ zipf, uniform, residentMB, diskMB float64 }

func (b *bench) distinct(ctx context.Context, name string, items int64) (out spread, err error) {
	data := b.data(name)
	server, err := harness.Start(ctx, b.bin, data)
	if err != nil {
		return out, err
	}
	s, err := openShop(ctx, server)
	if err == nil {
		_, err = s.batch(ctx, "D", items, "off")
	}
	if err != nil {
		server.Kill()
		return out, err
	}
	if err := server.Stop(); err != nil {
		return out, err
	}
	if err := b.fillCounts(ctx, filepath.Join(data, "sightings"), items); err != nil {
		return out, err
	}
	out.diskMB = dirMB(filepath.Join(data, "sightings", "counts"))
	if server, err = harness.Start(ctx, b.bin, data); err != nil {
		return out, err
	}
	defer server.Kill()
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(items-1))
	for _, c := range []struct {
		us   *float64
		pick func() int64
	}{
		{&out.zipf, func() int64 { return int64(zipf.Uint64()) * 7_919 % items }},
		{&out.uniform, func() int64 { return rand.Int64N(items) }},
	} {
		codes, err := pickedCodes(ctx, data, distinctAsk, c.pick)
		if err != nil {
			return out, err
		}
		// what is asked for most is in memory on any evening but the first
		if _, err := drive(ctx, server.URL, &asking{codes: codes}, load.Steady(distinctWarm, verifyConns, 0)); err != nil {
			return out, err
		}
		var t tally
		for range verifyPairs {
			if err := t.add(ctx, server.URL, &asking{codes: codes}, server.Pid(), server); err != nil {
				return out, err
			}
		}
		*c.us = t.us()
	}
	out.residentMB, err = harness.ResidentMB(server.Pid())
	return out, err
}

// fillCounts writes a count for each item, as the package that keeps them does.
func (b *bench) fillCounts(ctx context.Context, dir string, items int64) error {
	first, err := ids.NewSerial(0, ids.ShardOf(firstBrand), 0)
	if err != nil {
		return err
	}
	return goTest(ctx, "./internal/verify/verifykv", "-run", "^$", "-bench", "^BenchmarkFill$", "-benchtime", "1x",
		"-fill", dir, "-fill-from", strconv.FormatUint(uint64(first), 10), "-fill-items", strconv.FormatInt(items, 10))
}

func goTest(ctx context.Context, args ...string) error {
	_, err := goTestOutput(ctx, args...)
	return err
}

func goTestOutput(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", append([]string{"test", "-timeout", "30m"}, args...)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go test %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
