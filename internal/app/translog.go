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
	"github.com/chopmark/chopmark/internal/trace/traceevent"
)

// The kinds of statements. How many codes a batch has is a brand's own business: only who
// has a key may read that. An event's hash tells nothing to who does not know it.
const (
	logBatch = "batch.issued"
	logEvent = "epcis.event"
)

// logPublic tells of which kinds anybody who knows the subject may read the statement.
func logPublic(kind string) bool { return kind == logEvent }

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
	switch e.Type {
	case batchevent.CodeGenerated:
		var g batchevent.Generated
		if err := json.Unmarshal(e.Data, &g); err != nil {
			return nil, fmt.Errorf("read event %s: %w", e.ID, err)
		}
		if g.Kind != "batch" {
			return nil, nil
		}
		return statements(logBatch, []string{g.BatchID}, struct {
			BrandID   int32  `json:"brand_id"`
			ProductID int32  `json:"product_id"`
			BatchNo   string `json:"batch_no"`
			Quantity  int64  `json:"quantity"`
		}{g.BrandID, g.ProductID, g.BatchNo, g.Quantity}, e)
	case traceevent.TraceCaptured:
		var c traceevent.Captured
		if err := json.Unmarshal(e.Data, &c); err != nil {
			return nil, fmt.Errorf("read event %s: %w", e.ID, err)
		}
		return statements(logEvent, c.EventIDs, struct {
			BrandID ids.BrandID `json:"brand_id"`
		}{e.BrandID}, e)
	}
	return nil, nil
}

// statements are the texts of leaves. Each names itself, so that it means something alone.
func statements(kind string, subjects []string, what any, e *outbox.Event) (all []translog.Statement, _ error) {
	for _, subject := range subjects {
		text, err := json.Marshal(struct {
			Kind    string `json:"kind"`
			Subject string `json:"subject"`
			At      string `json:"at"`
			What    any    `json:"what"`
		}{kind, subject, e.Time.Format("2006-01-02T15:04:05.000000Z"), what})
		if err != nil {
			return nil, err
		}
		all = append(all, translog.Statement{Kind: kind, Subject: subject, Text: text})
	}
	return all, nil
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
