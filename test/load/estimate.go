package load

import (
	"math"
	"time"
)

// PeakEstimate is the highest rate to expect of a mean rate λ whose arrivals are
// independent: λ + 3√λ, which a Poisson count passes about once in 700 seconds.
func PeakEstimate(mean float64) int64 { return int64(math.Round(mean + 3*math.Sqrt(mean))) }

// PeakWithin is the count that no second of a time is above, with a confidence, when
// arrivals are independent: the smallest k with F(k)^seconds ≥ confidence, where F is
// the distribution of a Poisson count. confidence is between 0 and 1.
func PeakWithin(mean float64, whole time.Duration, confidence float64) int64 {
	if mean <= 0 {
		return 0
	}
	// Of the tail: 1 − confidence^(1/seconds), which rounding would swallow near 0.
	allowed := -math.Expm1(math.Log(confidence) / max(whole.Seconds(), 1))
	most := int64(mean + 40*math.Sqrt(mean) + 40) // nothing of the tail is left beyond
	var above float64
	for k := most; k > 0; k-- {
		if above += poisson(mean, k); above > allowed {
			return k
		}
	}
	return 0
}

// poisson is the probability of a count of k.
func poisson(mean float64, k int64) float64 {
	logFactorial, _ := math.Lgamma(float64(k) + 1)
	return math.Exp(float64(k)*math.Log(mean) - mean - logFactorial)
}
