// Command faults runs the whole program past one machine, an API, a worker and two edges
// over MariaDB, Redis with Sentinels and Kafka, and brings about one fault after another
// under load: every process and every server is killed, connections are reset, replies lost,
// servers stalled, disks filled. It holds the program to its promise: what was acknowledged
// is there, once.
//
//	go run ./test/faults -rounds 200
//
// Everybody who works on it keeps a ledger of the answers. A fact whose answer does not come
// is asked for again under its key until it is known. After each round nothing is under way
// for a moment, and claims, states, events, the order of commit, records, summary and the
// counts that edges tell are held to the ledger; at the end everything is, lists of claims
// and scans, statistics and what kcat reads from Kafka included. TestLedger plants what the
// checks must see, TestFaults losses in the database.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

func main() {
	if err := start(); err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

var errHarm = errors.New("not everything that was acknowledged is there, once")

func start() (err error) {
	rounds := flag.Int("rounds", 200, "how many faults")
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "of the random choices")
	only := flag.String("only", "", "names of faults, by commas; as the table has them")
	scans := flag.Int("scans-every", 1, "after how many rounds scans are looked at, for which all must be consumed")
	flag.Parse()
	for _, need := range needs() {
		if err := servers.Missing(need[0], need[1]); err != nil {
			return err
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	enough := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with the program
		<-signals
		fmt.Fprintln(os.Stderr, "faults: this round is the last; once more to end at once")
		close(enough)
		<-signals
		stop()
	}()
	dir, err := os.MkdirTemp("", "chopmark-faults-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	o := Options{Dir: dir, Rounds: *rounds, Seed: *seed, Scans: *scans, Enough: enough}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	if o.Server, err = harness.Build(ctx, dir, "github.com/chopmark/chopmark/cmd/chopmark"); err != nil {
		return err
	}
	begun := time.Now()
	o.Progress = func(r *Report) {
		_, _ = fmt.Fprintf(os.Stderr, "%s  round %d of %d  %s\n", time.Since(begun).Round(time.Second), r.Rounds, o.Rounds, r.last())
	}
	report, err := Run(ctx, o)
	printed := report.Print(os.Stdout)
	if report.Harmed() {
		err = errors.Join(errHarm, err)
	}
	if err != nil {
		_, _ = fmt.Fprintf(os.Stdout, "again with the same choices: go run ./test/faults -rounds %d -seed %d\n", max(report.Rounds, 1), o.Seed)
	}
	return errors.Join(err, printed)
}

// needs are the packages with their programs.
func needs() [][2]string {
	return [][2]string{{"mariadb-server", "mariadbd"}, {"redis-server", "redis-server"}, {"kcat", "kcat"}}
}
