package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/lease"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/translog"
)

// logBatch is the kind of statement that tells how many codes of a batch there are. Only
// who has a key may read it: quantities are a brand's own business.
const logBatch = "batch.issued"

// logPublic tells of which kinds anybody who knows the subject may read the statement.
func logPublic(string) bool { return false }

// openLog opens the transparency log.
func (a *App) openLog(ctx context.Context) error {
	keys := a.keys.present()
	var err error
	a.translog, err = translog.Open(ctx, a.db, a.clock, logOrigin(a.URL), keys.Current(keyset.Signature).ID, func(id string) ([32]byte, bool) {
		k, ok := a.keys.present().ByID(id)
		if !ok {
			return [32]byte{}, false
		}
		return keyset.Derive(k, "log/1"), true
	})
	return err
}

// logOrigin names the log by where it is read: a host and a path.
func logOrigin(public string) string {
	host := "chopmark.invalid"
	if u, err := url.Parse(public); err == nil && u.Host != "" {
		host = u.Host
	}
	return strings.ReplaceAll(host, "+", "-") + "/log"
}

// logFacts brings what must not be rewritten unseen into the transparency log.
func (a *App) logFacts() {
	f := &translog.Follower{
		Log: a.translog, Outbox: a.outbox, Leases: lease.New(a.db, ids.New("proc"), a.clock), Statements: logged,
		Logger: a.log,
	}
	a.metrics.Registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "chopmark_log_broken", Help: "1 when the transparency log contradicts what it had signed.",
	}, func() float64 {
		if f.Broken() {
			return 1
		}
		return 0
	}))
	a.work.Go(func() { f.Run(a.background) })
}

// logged is what an event says in the transparency log.
func logged(e *outbox.Event) ([]translog.Statement, error) {
	if e.Type != batchevent.CodeGenerated {
		return nil, nil
	}
	var g batchevent.Generated
	if err := json.Unmarshal(e.Data, &g); err != nil {
		return nil, fmt.Errorf("read event %s: %w", e.ID, err)
	}
	if g.Kind != "batch" {
		return nil, nil
	}
	s, err := statement(logBatch, g.BatchID, struct {
		BrandID   int32  `json:"brand_id"`
		ProductID int32  `json:"product_id"`
		BatchNo   string `json:"batch_no"`
		Quantity  int64  `json:"quantity"`
	}{g.BrandID, g.ProductID, g.BatchNo, g.Quantity}, e)
	if err != nil {
		return nil, err
	}
	return []translog.Statement{s}, nil
}

// statement is the text of a leaf. It names itself, so that it means something alone.
func statement(kind, subject string, what any, e *outbox.Event) (translog.Statement, error) {
	text, err := json.Marshal(struct {
		Kind    string `json:"kind"`
		Subject string `json:"subject"`
		At      string `json:"at"`
		What    any    `json:"what"`
	}{kind, subject, e.Time.Format("2006-01-02T15:04:05.000000Z"), what})
	return translog.Statement{Kind: kind, Subject: subject, Text: text}, err
}

var errLogBroken = errors.New("the transparency log is not whole")

// examineLog computes the transparency log anew, and looks whether every batch is in it.
func (a *App) examineLog(ctx context.Context, say func(string, ...any)) error {
	logged := map[string]bool{}
	r, err := a.translog.Check(ctx, func(kind, subject string, _ []byte) {
		if kind == logBatch {
			logged[subject] = true
		}
	})
	if err != nil {
		return err
	}
	for _, fault := range r.Faults {
		say("BAD   log: %s", fault)
	}
	backlog, err := a.outbox.Backlog(ctx, translog.RelayName)
	if err != nil {
		return err
	}
	absent := 0
	for after, at := ids.BatchID("~"), a.clock.Now().Add(time.Hour); backlog.Events == 0; {
		page, err := a.Batches.ListBatches(ctx, 0, at, after, doctorBatches)
		if err != nil {
			return err
		}
		for i := range page {
			if !logged[string(page[i].ID)] {
				absent++
				say("BAD   log: batch %s was issued and is not in it", page[i].ID)
			}
		}
		if len(page) < doctorBatches {
			break
		}
		last := page[len(page)-1]
		after, at = last.ID, last.CreatedAt
	}
	if len(r.Faults) > 0 || absent > 0 {
		return errLogBroken
	}
	say("ok    log: %d entries, %d signed heads, all consistent; %d events not in it yet", r.Leaves, r.Heads, backlog.Events)
	say("ok    log: public key %s", a.translog.VerifierKey())
	return nil
}
