// Command bench measures what the design promises, on the real binary where that
// is what counts, and prints goal and measured side by side. Nothing here is a
// test: absolute times depend on the machine, ratios are of one run.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/chopmark/chopmark/test/harness"
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func start() error {
	if len(os.Args) > 1 && os.Args[1] == "bare" { // the peer of the verify bench, as a process of its own
		return serveBare()
	}
	if len(os.Args) > 1 && os.Args[1] == "bare-redirect" { // of the resolver bench
		return serveBareRedirect()
	}
	if len(os.Args) == 4 && os.Args[1] == "resets" { // the attackers of the strangers bench
		return attackWithResets(os.Args[2], os.Args[3])
	}
	only := flag.String("only", "", "comma-separated benches: codebook, issue, billions, state, verify, tail, singles, strangers, overload, distinct, redis, claims, visible, records-mysql, backup, translog, trace, timeline, guessing, refusal, resolver, regions, sign-ins, batches-list, search")
	codes := flag.Int64("codes", 10_000_000, "how many codes the issue bench writes")
	claims := flag.Int64("claims", 1_000_000, "how many claims the claims bench makes together")
	events := flag.Int("events", 1_000_000, "how many events the timeline bench stores, each with a container of its own")
	latencies := flag.String("latencies", "", "a file of province,site,milliseconds that the regions bench takes instead of distances")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	return run(ctx, *only, &bench{codes: *codes, claims: *claims, events: *events, latencies: *latencies})
}

// bench is what the measurements share.
type bench struct {
	dir    string
	bin    string // chopmark
	self   string // this program
	codes  int64
	claims int64
	events int
	// latencies is a file of round trips that were measured; "" = none
	latencies string
	rows      []row
}

// row is one line of the table.
type row struct{ what, goal, measured string }

func (b *bench) rowf(what, goal, format string, args ...any) {
	b.rows = append(b.rows, row{what, goal, fmt.Sprintf(format, args...)})
}

// data is a fresh data directory.
func (b *bench) data(name string) string { return filepath.Join(b.dir, name) }

func run(ctx context.Context, only string, b *bench) (err error) {
	dir, err := os.MkdirTemp("", "chopmark-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b.dir = dir
	if b.bin, err = harness.Build(ctx, dir, "github.com/chopmark/chopmark/cmd/chopmark"); err != nil {
		return err
	}
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	benches := []struct {
		name string
		fn   func(context.Context, *bench) error
	}{
		{"codebook", benchCodebook}, {"issue", benchIssue}, {"billions", benchBillions}, {"state", benchState},
		{"verify", benchVerify}, {"tail", benchTail}, {"singles", benchSingles}, {"strangers", benchStrangers},
		{"overload", benchOverload}, {"distinct", benchDistinct}, {"redis", benchRedis}, {"claims", benchClaims}, {"visible", benchVisible},
		{"records-mysql", benchRecordsMySQL}, {"backup", benchBackup}, {"translog", benchTranslog}, {"trace", benchTrace}, {"timeline", benchTimeline},
		{"guessing", benchGuessing}, {"refusal", benchRefusal}, {"resolver", benchResolver}, {"regions", benchRegions},
		{"sign-ins", benchSignIns}, {"batches-list", benchBatchesList}, {"search", benchSearch},
	}
	for _, one := range benches {
		if only != "" && !strings.Contains(","+only+",", ","+one.name+",") {
			continue
		}
		fmt.Fprintln(os.Stderr, "bench:", one.name, "…")
		if err := one.fn(ctx, b); err != nil {
			return fmt.Errorf("%s: %w", one.name, err)
		}
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "WHAT\tGOAL\tMEASURED")
	for _, r := range b.rows {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", r.what, r.goal, r.measured)
	}
	return w.Flush()
}
