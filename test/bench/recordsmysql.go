package main

import (
	"context"
	"errors"
	"regexp"
)

// benchRecordsMySQL measures what one process's consumers write into a MariaDB on the
// same machine, each group alone.
func benchRecordsMySQL(ctx context.Context, b *bench) error {
	out, err := goTestOutput(ctx, "./internal/scan/scansql", "-run", "^$", "-bench", "^BenchmarkShared$", "-benchtime", "200000x")
	if err != nil {
		return err
	}
	lines := regexp.MustCompile(`BenchmarkShared/([a-z-]+)/([a-z]+)\S*\s+\d+\s+(\d+) sightings/s\s+(\S+) µs-cpu/sighting`).FindAllStringSubmatch(out, -1)
	if len(lines) == 0 {
		return errors.New("the benchmark printed no figure; is MariaDB missing?")
	}
	for _, m := range lines {
		b.rowf(m[1]+" into MariaDB, batches as "+m[2], "", "%s scans/s, %s µs CPU of ours each", m[3], m[4])
	}
	return nil
}
