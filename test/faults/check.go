package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/test/harness"
)

const (
	shards     = 16
	edgeTime   = 15 * time.Second // in which an edge says what was acknowledged
	drainTime  = 2 * time.Minute  // in which every scan is consumed
	taskTime   = 2 * time.Minute
	kafkaTime  = 2 * time.Minute
	eventsPage = 1000
	noRoom     = "no space left on the device" // in the reason of a file that a full disk has ended
	claimsPage = 1000
)

// check looks at every fact that may have changed since the last one. Nothing is under way.
func (w *world) check(ctx context.Context) error {
	for _, one := range []func(context.Context) error{w.checkPools, w.checkEvents, w.checkItems, w.checkDense} {
		if err := one(ctx); err != nil {
			return err
		}
	}
	return nil
}

// checkAll looks at everything.
func (w *world) checkAll(ctx context.Context) error {
	for _, one := range []func(context.Context) error{w.checkTasks, w.check, w.checkScans, w.checkClaims, w.checkHistories, w.checkStatistics, w.checkKafka} {
		if err := one(ctx); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	return nil
}

func (w *world) get(ctx context.Context, path string, data any) error {
	return w.issue.now().Must(ctx, http.MethodGet, path, nil, data)
}

func (w *world) checkPools(ctx context.Context) error {
	for _, a := range w.actors {
		var view struct {
			Claimed int64 `json:"claimed"`
		}
		if err := w.get(ctx, "/api/v1/batches/"+a.pool, &view); err != nil {
			return err
		}
		w.ledger.checkClaimed(a.pool, view.Claimed)
	}
	return nil
}

// checkTasks waits for every file that was asked for.
func (w *world) checkTasks(ctx context.Context) error {
	for _, a := range w.actors {
		for _, id := range a.tasks {
			err := within(ctx, "task "+id+" does not end", taskTime, func() error {
				var t struct {
					State string `json:"state"`
					Error struct {
						Code string `json:"code"`
						Text string `json:"message"`
					} `json:"error"`
				}
				err := w.get(ctx, "/api/v1/tasks/"+id, &t)
				switch {
				case err != nil:
				case t.State == "failed" && t.Error.Code != "blob.no_space":
					w.ledger.findf(lost, "task %s has failed: %s %s", id, t.Error.Code, t.Error.Text)
				case t.State != "done" && t.State != "failed":
					err = errors.New(t.State)
				default:
					w.ledger.done("file " + id)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		a.tasks = nil
	}
	return nil
}

// wireEvent is an event as the list and Kafka have it.
type wireEvent struct {
	ID      string `json:"id"`
	Type    string `json:"type"`
	Subject string `json:"subject"`
	Brand   int32  `json:"brandid"`
	Data    struct {
		Kind    string   `json:"kind"`
		BatchNo string   `json:"batch_no"`
		Task    string   `json:"task_id"`
		Change  string   `json:"change_id"`
		Codes   []string `json:"codes"`
		Version int      `json:"version"`
		Reason  string   `json:"reason"`
	} `json:"data"`
}

// fact is the name that the ledger has for what an event tells of.
func (e *wireEvent) fact() string {
	switch d := &e.Data; {
	case e.Type == "code.state_changed" && d.Kind == "reissued" && len(d.Codes) == 1:
		return reissueName(d.Codes[0], d.Version)
	case e.Type == "code.state_changed":
		return d.Change
	case d.Kind == "batch":
		return "batch " + d.BatchNo
	case d.Kind == "failed" && strings.Contains(d.Reason, noRoom):
		return "file " + d.Task // on a full disk its task ends so, as is documented
	default:
		return d.Kind + " " + d.Task
	}
}

// checkEvents reads what the outbox has more, and holds it to the facts.
func (w *world) checkEvents(ctx context.Context) error {
	for {
		var page struct {
			Events []wireEvent `json:"events"`
			Cursor string      `json:"cursor"`
		}
		if err := w.get(ctx, fmt.Sprintf("/api/v1/events?limit=%d&cursor=%s", eventsPage, url.QueryEscape(w.told)), &page); err != nil {
			return err
		}
		var events []event
		for i := range page.Events {
			e := &page.Events[i]
			if e.Type != batchevent.CodeGenerated && e.Type != batchevent.CodeStateChanged { // of what is not asked for here
				continue
			}
			events = append(events, event{e.ID, e.Type, e.Brand, e.fact()})
		}
		w.ledger.tell(events)
		w.told = page.Cursor
		if len(page.Events) == 0 {
			w.ledger.checkTold()
			return nil
		}
	}
}

// checkItems asks the API and both edges about every item. An edge may take a moment.
func (w *world) checkItems(ctx context.Context) error {
	for code := range w.ledger.items {
		var view struct {
			State   string `json:"state"`
			Version int    `json:"version"`
		}
		if err := w.get(ctx, "/api/v1/codes/"+code, &view); err != nil {
			return err
		}
		w.ledger.checkItem("the API", code, view.State, view.Version)
	}
	client := newClient(harness.LookAhead(http.DefaultTransport))
	for _, edge := range w.edges {
		for code, it := range w.ledger.items {
			var v verification
			err := within(ctx, "", edgeTime, func() error {
				answer, err := edge.now().Call(ctx, client, http.MethodGet, verifyPath(code), "", nil)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(answer.Data, &v); err != nil {
					return err
				}
				if v.Verdict == "authentic_again" {
					v.Verdict = "authentic"
				}
				if v.Verdict != verdictOf(it.state) || v.Version != it.version {
					return fmt.Errorf("%d %s %+v", answer.Status, answer.Error, v)
				}
				return nil
			})
			if err != nil {
				w.ledger.findf(lost, "%s says of %s%v; acknowledged: %s, version %d", edge.name, code, err, it.state, it.version)
			}
		}
	}
	return nil
}

// checkDense holds the order of commit of each shard to having no gap.
func (w *world) checkDense(ctx context.Context) error {
	const query = `SELECT f.shard, f.seq, COUNT(c.seq), COALESCE(MAX(c.seq), ?) FROM feed f
		LEFT JOIN (SELECT shard, seq FROM changes UNION SELECT shard, seq FROM outbox) c ON c.shard = f.shard AND c.seq > ?
		WHERE f.shard = ? GROUP BY f.shard, f.seq`
	for shard := range shards {
		from := w.dense[shard]
		var head, kept, last int64
		if err := w.admin.QueryRowContext(ctx, query, from, from, shard).Scan(&shard, &head, &kept, &last); err != nil {
			return err
		}
		w.ledger.checkDense(shard, head, from+kept, last)
		w.dense[shard] = head
	}
	return nil
}

// checkScans waits until every scan has been consumed, and holds records, summary and what
// edges say to what was acknowledged.
func (w *world) checkScans(ctx context.Context) error {
	for _, edge := range w.edges {
		err := within(ctx, edge.name+"'s log is not consumed", drainTime, func() error {
			n, err := edge.now().Metric(ctx, `chopmark_stream_lag_records{group="ship"}`)
			if err == nil && n != 0 {
				err = fmt.Errorf("%v records wait", n)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("%w\n%s\n%s", err, tail(edge.now().Log()), tail(w.worker.now().Log()))
		}
	}
	records, summary, err := w.counted(ctx)
	if err != nil {
		return err
	}
	client := newClient(harness.LookAhead(http.DefaultTransport))
	for code := range w.ledger.items {
		w.ledger.checkScans("scan_records", code, records[code])
		w.ledger.checkScans("the summary", code, summary[code])
	}
	w.ledger.settle(records)
	for _, edge := range w.edges {
		for code := range w.ledger.items {
			v, err := wholly(ctx, edge, client, code)
			if err != nil {
				return err
			}
			w.ledger.checkCount(edge.name, code, v.Count)
		}
	}
	return nil
}

// wholly asks an edge about a code until its answer is not partial: one that is tells what
// the edge knows by itself.
func wholly(ctx context.Context, edge *process, client *http.Client, code string) (v verification, _ error) {
	err := within(ctx, edge.name+" does not know the counts of "+code, drainTime, func() error {
		answer, err := edge.now().Call(ctx, client, http.MethodGet, verifyPath(code), "", nil)
		if err != nil {
			return err
		}
		v = verification{}
		if err := json.Unmarshal(answer.Data, &v); err != nil {
			return fmt.Errorf("%s says of %s: %d %s: %w", edge.name, code, answer.Status, answer.Error, err)
		}
		if v.Partial {
			return errors.New("the answer is partial")
		}
		return nil
	})
	return v, err
}

// counted is how many scans of each code have a record, and are in the summary.
func (w *world) counted(ctx context.Context) (records, summary map[string]int64, _ error) {
	records, summary = map[string]int64{}, map[string]int64{}
	rows, err := w.admin.QueryContext(ctx, `SELECT r.code, r.n, COALESCE(s.scans, 0)
		FROM (SELECT code, serial, COUNT(*) AS n FROM scan_records GROUP BY code, serial) r LEFT JOIN scan_summaries s ON s.serial = r.serial`)
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var code string
		var n, sum int64
		if err := rows.Scan(&code, &n, &sum); err != nil {
			return nil, nil, err
		}
		records[code], summary[code] = n, sum
	}
	return records, summary, rows.Err()
}

// checkClaims reads the list of claims whole.
func (w *world) checkClaims(ctx context.Context) error {
	for _, a := range w.actors {
		var kept []claim
		for cursor := ""; ; {
			var page struct {
				Claims []claim `json:"claims"`
				Cursor *string `json:"cursor"`
			}
			if err := w.get(ctx, fmt.Sprintf("/api/v1/batches/%s/claims?limit=%d&cursor=%s", a.pool, claimsPage, url.QueryEscape(cursor)), &page); err != nil {
				return err
			}
			kept = append(kept, page.Claims...)
			if page.Cursor == nil {
				break
			}
			cursor = *page.Cursor
		}
		w.ledger.checkClaims(a.pool, kept)
	}
	return nil
}

// checkHistories reads the list of scans of every code whole.
func (w *world) checkHistories(ctx context.Context) error {
	for code := range w.ledger.items {
		n := int64(0)
		for cursor := ""; ; {
			var page struct {
				Scans  []struct{} `json:"scans"`
				Cursor *string    `json:"cursor"`
			}
			if err := w.get(ctx, "/api/v1/codes/"+code+"/scans?limit=200&cursor="+url.QueryEscape(cursor), &page); err != nil {
				return err
			}
			n += int64(len(page.Scans))
			if page.Cursor == nil {
				break
			}
			cursor = *page.Cursor
		}
		w.ledger.checkScans("its history", code, n)
	}
	return nil
}

// checkStatistics holds the sums of each pool to its items' scans.
func (w *world) checkStatistics(ctx context.Context) error {
	records, _, err := w.counted(ctx)
	if err != nil {
		return err
	}
	sum, told := int64(0), int64(0)
	for code := range w.ledger.items {
		sum += records[code]
	}
	from := time.Now().Add(-48 * time.Hour).UTC().Format(time.RFC3339)
	for _, a := range w.actors {
		var stats struct {
			Totals struct {
				Scans int64 `json:"scans"`
			} `json:"totals"`
		}
		if err := w.get(ctx, "/api/v1/scan-stats?by=day&batch_id="+a.pool+"&from="+from, &stats); err != nil {
			return err
		}
		told += stats.Totals.Scans
	}
	switch {
	case told < sum:
		w.ledger.findf(lost, "the statistics have %d scans, the records %d", told, sum)
	case told > sum:
		w.ledger.findf(doubled, "the statistics have %d scans, the records %d", told, sum)
	}
	return nil
}

// checkKafka reads every topic with kcat: each event at least once, those of a brand in the
// outbox's order, each scan at least once and by one name.
func (w *world) checkKafka(ctx context.Context) error {
	for _, topic := range []string{"code.generated", "code.state_changed"} {
		err := within(ctx, "Kafka has not everything of "+topic, kafkaTime, func() error {
			seen, err := w.topic(ctx, topic)
			if err == nil && w.ledger.checkKafka(topic, seen, false) > 0 {
				err = errors.New("events are missing")
			}
			return err
		})
		if err != nil && ctx.Err() != nil {
			return err
		}
		seen, err := w.topic(ctx, topic)
		if err != nil {
			return err
		}
		w.ledger.checkKafka(topic, seen, true)
	}
	seen, err := w.topic(ctx, "code.verified")
	if err != nil {
		return err
	}
	names, scans := map[string]bool{}, map[string]int64{}
	for _, e := range seen {
		if !names[e.id] {
			names[e.id] = true
			scans[e.fact]++
		}
	}
	for code := range w.ledger.items {
		w.ledger.checkScans("Kafka", code, scans[code])
	}
	return nil
}

// topic reads a topic whole. The fact of a scan is its code.
func (w *world) topic(ctx context.Context, name string) (seen []event, _ error) {
	err := w.kafka.Kcat(ctx, "%s", name, func(line string) error {
		var e wireEvent
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return fmt.Errorf("read topic %s: %w", name, err)
		}
		fact := e.Subject
		if name != "code.verified" {
			fact = e.fact()
		}
		seen = append(seen, event{e.ID, e.Type, e.Brand, fact})
		return nil
	})
	return seen, err
}
