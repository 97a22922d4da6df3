package load

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// Buckets: exact below 2^subBits ns, then 2^subBits of them to each doubling, so
// that a bucket is at most 1/128 of its value wide. The last holds all from 137 s.
const (
	subBits = 7
	topBits = 37
	buckets = (topBits - subBits + 1) << subBits
)

// Histogram counts durations. Record may be called by many at once.
type Histogram struct {
	counts [buckets]atomic.Int64
	most   atomic.Int64
}

func bucketOf(ns int64) int {
	v := uint64(max(ns, 0))
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return min(shift<<subBits+int(v>>shift), buckets-1)
}

// highest is the largest value of a bucket.
func highest(bucket int) int64 {
	if bucket < 1<<subBits {
		return int64(bucket)
	}
	shift := bucket>>subBits - 1
	return int64(bucket-shift<<subBits+1)<<shift - 1
}

// Record counts a duration.
func (h *Histogram) Record(d time.Duration) {
	h.counts[bucketOf(int64(d))].Add(1)
	for {
		most := h.most.Load()
		if int64(d) <= most || h.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

// Add counts all of another too.
func (h *Histogram) Add(other *Histogram) {
	for i := range other.counts {
		if n := other.counts[i].Load(); n > 0 {
			h.counts[i].Add(n)
		}
	}
	h.most.Store(max(h.most.Load(), other.most.Load()))
}

// Count is how many there are.
func (h *Histogram) Count() (n int64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Max is the longest, exactly.
func (h *Histogram) Max() time.Duration { return time.Duration(h.most.Load()) }

// Quantile is a duration that a share q of all do not pass: never less than the true
// one, and less than 1 % more. 0 when there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := max(1, int64(math.Ceil(q*float64(h.Count()))))
	var below int64
	for i := range h.counts {
		if below += h.counts[i].Load(); below >= rank {
			if i == buckets-1 {
				break
			}
			return min(time.Duration(highest(i)), h.Max())
		}
	}
	return h.Max()
}
