package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/translog"
)

const (
	logLeaves = 200_000
	logGroup  = 1000 // what the follower takes at a time
)

// benchTranslog appends to the transparency log as its follower does, each group durable,
// a signed head after every ten, and proves the first entry under the last head.
func benchTranslog(ctx context.Context, b *bench) (err error) {
	db, err := sqldb.OpenSQLite(ctx, b.data("translog.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := db.Migrate(ctx, "translog", translog.Schema()); err != nil {
		return err
	}
	l, err := translog.Open(ctx, db, clock.System{}, "bench.example/log", "key_1",
		func(string) (seed [ed25519.SeedSize]byte, ok bool) { return seed, true })
	if err != nil {
		return err
	}
	start := time.Now()
	for n := 0; n < logLeaves; n += logGroup {
		group := make([]translog.Statement, logGroup)
		for i := range group {
			subject := fmt.Sprintf("ni:///sha-256;%064d?ver=CBV2.0", n+i)
			group[i] = translog.Statement{Kind: "epcis.event", Subject: subject, Text: []byte(`{"kind":"epcis.event","subject":"` + subject + `"}`)}
		}
		if _, err := l.Append(ctx, group, nil); err != nil {
			return err
		}
		if n/logGroup%10 == 9 {
			if _, err := l.Sign(ctx); err != nil {
				return err
			}
		}
	}
	took := time.Since(start)
	start = time.Now()
	p, err := l.Prove(ctx, "epcis.event", fmt.Sprintf("ni:///sha-256;%064d?ver=CBV2.0", 0))
	if err != nil {
		return err
	}
	proof := time.Since(start)
	if err := p.Check(l.VerifierKey()); err != nil {
		return err
	}
	b.rowf(fmt.Sprintf("transparency log: %d leaves in durable groups of %d", logLeaves, logGroup), "≥ 6,000/s", "%.0f/s", logLeaves/took.Seconds())
	b.rowf("  a proof of the first among them", "", "%.2f ms, %d hashes", float64(proof.Microseconds())/1000, len(p.Inclusion))
	return nil
}
