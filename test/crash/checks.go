package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/chopmark/chopmark/test/harness"
)

// verification is the part of a verify answer that is checked.
type verification struct {
	Verdict   string `json:"verdict"`
	Version   int    `json:"version"`
	ScanCount int64  `json:"scan_count"`
	Counted   bool   `json:"counted"`
	FirstScan struct {
		At string `json:"at"`
	} `json:"first_scan"`
}

// judge holds a verdict to what is known of its item. counted says whether the
// request was a scan, which is in it.scans then.
func (w *world) judge(it *item, answer harness.Answer, counted bool) {
	var v verification
	if err := json.Unmarshal(answer.Data, &v); err != nil {
		w.reportf("verify of %s answered %d %s: %v", it.code, answer.Status, answer.Error, err)
		return
	}
	want := map[bool]string{true: "sold", false: "authentic"}[it.state == "retail_sold"]
	if v.Verdict == "authentic_again" {
		v.Verdict = "authentic"
	}
	if v.Verdict != want || v.Version != it.version || v.Counted != counted {
		w.reportf("%s: verdict %s version %d counted %v, want %s (%s) version %d counted %v",
			it.code, v.Verdict, v.Version, v.Counted, want, it.state, it.version, counted)
	}
	least := it.highest // which is never below it.scans: every acknowledged scan raised it
	if counted {
		least++ // the answers of one item have an order
	}
	if v.ScanCount < least || v.ScanCount > it.scans+it.maybe {
		w.reportf("%s: count %d after %d acknowledged scans, %d unknown, highest answer %d", it.code, v.ScanCount, it.scans, it.maybe, it.highest)
	}
	switch {
	case v.ScanCount > 0 && v.FirstScan.At == "":
		w.reportf("%s: count %d without a first scan", it.code, v.ScanCount)
	case it.first == "":
		it.first = v.FirstScan.At
	case v.FirstScan.At != it.first:
		w.reportf("%s: first scan moved from %s to %s", it.code, it.first, v.FirstScan.At)
	}
	it.highest = v.ScanCount
}

// settle asks again for every answer that never came: one effect, whichever way it
// went before.
func (w *world) settle(ctx context.Context) error {
	for _, a := range w.actors {
		if a.open == nil {
			continue
		}
		r := a.open
		a.open = nil
		w.unknown++
		first, err := w.server.Call(ctx, http.DefaultClient, http.MethodPost, r.path, r.key, r.body)
		if err != nil {
			return err
		}
		again, err := w.server.Call(ctx, http.DefaultClient, http.MethodPost, r.path, r.key, r.body)
		if err != nil {
			return err
		}
		if !again.Replayed || string(again.Data) != string(first.Data) {
			w.reportf("%s %s: the second answer differs (replayed %v):\n%s\n%s", r.path, r.key, again.Replayed, first.Data, again.Data)
		}
		r.done(first)
	}
	return nil
}

// check looks up every acknowledged fact.
func (w *world) check(ctx context.Context) error {
	if err := w.checkBatches(ctx); err != nil {
		return err
	}
	if err := w.checkClaims(ctx); err != nil {
		return err
	}
	return w.checkItems(ctx)
}

func (w *world) checkBatches(ctx context.Context) error {
	for _, a := range w.actors {
		for _, id := range a.batches {
			got, err := w.server.Call(ctx, http.DefaultClient, http.MethodGet, "/api/v1/batches/"+id, "", nil)
			if err != nil {
				return err
			}
			if got.Status != http.StatusOK {
				w.reportf("batch %s is lost: %d %s", id, got.Status, got.Error)
			}
		}
		a.batches = a.batches[max(0, len(a.batches)-5):] // the newest are at risk; the older ones were seen
	}
	return nil
}

func (w *world) checkClaims(ctx context.Context) error {
	owner := map[int64]string{}
	for _, a := range w.actors {
		for _, c := range a.claims {
			for no := c.From; no <= c.To; no++ {
				if other, taken := owner[no]; taken {
					w.reportf("number %d was handed out twice: %s and %s", no, other, c.ID)
				}
				owner[no] = c.ID
			}
		}
	}
	var view struct {
		Claimed int64 `json:"claimed"`
	}
	if err := w.server.Must(ctx, http.MethodGet, "/api/v1/batches/"+w.pool, nil, &view); err != nil {
		return err
	}
	if want := int64(len(owner) + itemsEach*workers); view.Claimed != want {
		w.reportf("the pool says %d numbers are claimed, the answers add up to %d", view.Claimed, want)
	}
	return nil
}

// checkItems looks at each item without counting, then scans it.
func (w *world) checkItems(ctx context.Context) error {
	client, peek := newClient(nil), newClient(harness.LookAhead)
	defer client.CloseIdleConnections()
	defer peek.CloseIdleConnections()
	failed := make([]error, len(w.actors))
	var wg sync.WaitGroup
	for i, a := range w.actors {
		wg.Go(func() {
			for _, it := range a.items {
				if err := errors.Join(w.look(ctx, peek, it), w.scan(ctx, client, it)); err != nil {
					failed[i] = fmt.Errorf("the server ended without a kill: %w", err)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(failed...)
}

// look reads an item's count without adding to it. Nothing is under way, so what was
// unknown is known from here: the scan that follows must be exactly one more, and the
// doubt does not grow from round to round.
func (w *world) look(ctx context.Context, client *http.Client, it *item) error {
	answer, err := w.server.Call(ctx, client, http.MethodGet, verifyPath(it), "", nil)
	if err != nil {
		return err
	}
	w.judge(it, answer, false)
	it.scans, it.maybe = max(it.scans, it.highest), 0
	return nil
}
