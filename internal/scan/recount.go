package scan

import (
	"context"
	"fmt"

	"github.com/chopmark/chopmark/internal/verify/verifyevent"
)

// Recount adds up the whole log: each gives its records, in order. The statistics
// must say the same; what Unfit refuses is left out, since it was buried.
func Recount(each func(fn func(record []byte) error) error) (*Tally, error) {
	t := NewTally()
	err := each(func(record []byte) error {
		return verifyevent.Each(record, func(_ uint16, s *verifyevent.Sighting) error {
			if Unfit(s) == "" {
				Fit(s)
				slim := SlimOf(s)
				t.Add(&slim)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("count the log again: %w", err)
	}
	return t, nil
}

// RecountRecords adds up the records of all days that are kept. They have no province
// of their own, so that the cells are without.
func RecountRecords(ctx context.Context, r Records) (*Tally, error) {
	days, err := r.Days(ctx)
	if err != nil {
		return nil, err
	}
	t := NewTally()
	for _, d := range days {
		err := r.Each(ctx, d.Day, func(rec Record) error {
			t.Add(&Slim{
				At: rec.At.UnixMicro(), Serial: rec.Serial, Brand: rec.Brand, Product: rec.Product, Batch: rec.Batch,
				Verdict: rec.Verdict, What: rec.What,
			})
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("count scan records of %s again: %w", d.Day, err)
		}
	}
	return t, nil
}
