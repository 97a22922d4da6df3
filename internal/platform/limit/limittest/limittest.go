// Package limittest holds every engine of limits to GCRA by the book.
package limittest

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/platform/limit"
)

// Engine draws on accounts.
type Engine interface {
	// Add draws n on an account, and tells how much is drawn then and when that was by
	// the engine's own clock, in nanoseconds.
	Add(k limit.Key, r limit.Rate, n int64) (used time.Duration, now int64, _ error)
}

// Accounts draws at random and compares with an exact reference. Rates are whole
// microseconds.
func Accounts(t *testing.T, e Engine) {
	var realm int32
	rapid.Check(t, func(t *rapid.T) {
		realm++
		paid, rates := map[limit.Key]int64{}, map[limit.Key]limit.Rate{}
		for range rapid.IntRange(1, 60).Draw(t, "draws") {
			k := limit.Key{Net: rapid.Uint64Range(0, 3).Draw(t, "net"), Realm: realm, Kind: 2}
			if _, ok := rates[k]; !ok {
				every := rapid.SampledFrom([]time.Duration{time.Microsecond, 50 * time.Microsecond, time.Millisecond, time.Hour}).Draw(t, "every")
				rates[k] = limit.Rate{Burst: rapid.Int64Range(1, 20).Draw(t, "burst"), Every: every}
			}
			r, n := rates[k], rapid.Int64Range(1, 5).Draw(t, "n")
			used, now, err := e.Add(k, r, n)
			if err != nil {
				t.Fatal(err)
			}
			paid[k] = min(max(paid[k], now)+n*int64(r.Every), now+r.Burst*int64(r.Every))
			if want := time.Duration(paid[k] - now); used != want {
				t.Fatalf("%d drawn on %v at %v: %v in all, want %v", n, k, r, used, want)
			}
		}
	})
}
