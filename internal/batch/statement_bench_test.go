package batch_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/batch"
	"github.com/chopmark/chopmark/internal/batch/batchtest"
	"github.com/chopmark/chopmark/internal/gs1"
	"github.com/chopmark/chopmark/internal/ids"
)

// benchEvents tells b.N events over the whole of a batch that five events were told of
// before; each is at(n) days from the start.
func benchEvents(b *testing.B, quantity int64, at func(n int) time.Duration) {
	o := newOffice(b)
	product := o.product(batch.Pool{})
	lot := o.batch(product, "0", quantity)
	tell := func(name string, at time.Time, to gs1.Disposition) batch.Told {
		told, err := o.State(b.Context(), batch.Statement{
			Event: name, Brand: lot.BrandID, At: at, To: to, Reason: name, Actor: "epcis",
			Items: []batch.SerialRun{{From: lot.First, To: lot.First + ids.Serial(quantity) - 1}},
		})
		if err != nil {
			b.Fatal(err)
		}
		return told
	}
	states := []gs1.Disposition{gs1.Active, gs1.InTransit, gs1.InProgress, gs1.InTransit, gs1.SellableAccessible}
	for i, to := range states {
		tell(fmt.Sprint("early ", i), batchtest.Start().Add(time.Duration(i)*time.Minute), to)
	}
	o.setClock(batchtest.Start().AddDate(10, 0, 0))
	n := 0
	for b.Loop() {
		tell(fmt.Sprint("event ", n), batchtest.Start().Add(at(n)), []gs1.Disposition{gs1.InProgress, gs1.InTransit}[n%2])
		if n++; n%50 == 0 { // so that the history stays what it was
			b.StopTimer()
			lot = o.batch(product, fmt.Sprint(n), quantity)
			for i, to := range states {
				tell(fmt.Sprint("early ", i, " ", n), batchtest.Start().Add(time.Duration(i)*time.Minute), to)
			}
			b.StartTimer()
		}
	}
}

// BenchmarkEvent is an event in its order, BenchmarkLateEvent one that belongs before four
// others; both over 100,000 items, with the commit and this process's projection.
func BenchmarkEvent(b *testing.B) {
	benchEvents(b, 100_000, func(n int) time.Duration { return time.Hour + time.Duration(n)*time.Second })
}

func BenchmarkLateEvent(b *testing.B) {
	benchEvents(b, 100_000, func(n int) time.Duration { return 30*time.Second + time.Duration(n%50)*time.Millisecond })
}

// BenchmarkLookup is what a scan asks of the states, before and after a late event.
func BenchmarkLookup(b *testing.B) {
	for _, late := range []bool{false, true} {
		b.Run(fmt.Sprintf("late=%v", late), func(b *testing.B) {
			const quantity = 100_000
			o := newOffice(b)
			lot := o.batch(o.product(batch.Pool{}), "0", quantity)
			for i, to := range []gs1.Disposition{gs1.Active, gs1.InTransit, gs1.InProgress, gs1.Inactive} {
				at := time.Duration(i) * time.Minute
				if i == 3 {
					at = 30 * time.Second // before what has come already
				}
				if i == 3 && !late {
					continue
				}
				_, err := o.State(b.Context(), batch.Statement{
					Event: fmt.Sprint(i), Brand: lot.BrandID, At: batchtest.Start().Add(at), To: to, Reason: "r", Actor: "epcis",
					Items: []batch.SerialRun{{From: lot.First, To: lot.First + quantity - 1}},
				})
				if err != nil {
					b.Fatal(err)
				}
			}
			i := 0
			for b.Loop() {
				if i++; i == quantity {
					i = 0
				}
				if _, ok := o.proj.Lookup(lot.First + ids.Serial(i)); !ok {
					b.Fatal("not there")
				}
			}
		})
	}
}
