package batch_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchevent"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/platform/outbox"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

// TestAlertsAreToldOnce: each item of which an event says what cannot be, once for each event.
func TestAlertsAreToldOnce(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	b := o.batch(o.product(batch.Pool{}), "A", 100)
	told, cursor := outbox.New(sqldb.One(o.db)), outbox.Cursor{}
	alerts := func() (all []string) {
		events, next, err := told.Read(t.Context(), cursor, 1000)
		o.must(err)
		cursor = next
		for _, e := range events {
			if e.Type != batchevent.AlertTriggered {
				continue
			}
			var a batchevent.Alert
			o.must(json.Unmarshal(e.Data, &a))
			all = append(all, fmt.Sprintf("%s of %d by %s to %s", a.Kind, len(a.Codes), a.Cause, a.State))
		}
		return all
	}
	tell := func(event string, second int, to gs1.Disposition, numbers ...int64) {
		t.Helper()
		st := batch.Statement{Event: event, Brand: b.BrandID, At: batchtest.Start().Add(time.Duration(second) * time.Second), To: to, Reason: "r", Actor: "epcis"}
		for _, no := range numbers {
			st.Items = append(st.Items, batch.SerialRun{From: b.Serial(no), To: b.Serial(no)})
		}
		_, err := o.State(t.Context(), st)
		o.must(err)
	}
	o.setClock(batchtest.Start().Add(time.Hour))
	for _, step := range []struct {
		event   string
		second  int
		to      gs1.Disposition
		numbers []int64
		want    []string
	}{
		{"made", 1, gs1.Active, []int64{1, 2, 3, 4}, nil},
		{"sold", 50, gs1.RetailSold, []int64{1, 9, 10}, []string{"illegal_step of 2 by sold to retail_sold"}},
		{"sold", 50, gs1.RetailSold, []int64{1, 9, 10}, nil},
		{"sold", 50, gs1.RetailSold, []int64{1, 9, 10, 11}, []string{"illegal_step of 1 by sold to retail_sold"}},
		{"sent", 40, gs1.InTransit, []int64{1, 2}, nil},
		{"void", 30, gs1.Void, []int64{2, 3}, []string{"later_step of 1 by void to void"}},
		{"void", 30, gs1.Void, []int64{2, 3}, nil},
		{"void", 30, 0, nil, nil},
	} {
		tell(step.event, step.second, step.to, step.numbers...)
		if diff := cmp.Diff(step.want, alerts()); diff != "" {
			t.Errorf("%s of %v (-want +got):\n%s", step.event, step.numbers, diff)
		}
	}
}
