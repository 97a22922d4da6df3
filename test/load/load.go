// Package load drives a server at a rate or as fast as it answers, and judges every
// answer: a number from a load that checks nothing says little.
//
// Promise: every request that was due is accounted for, as right, wrong, shed,
// unanswered or unsent; a latency at a rate counts from the moment the request was
// due, so that waiting for a free connection is not hidden, and from the moment of
// sending beside it, for what an overloaded server does with what it admits.
// TestRateCountsWaiting, TestShed and TestChecker pin it.
//
// A Work says what to ask and what is right, a Transport carries it, a Stage says
// how many connections ask how often. Scan is the Work of scanning codes; a Crowd is
// of connections that ask for next to nothing and want to be kept.
package load

import (
	"context"
	"errors"
	"math"
	"net/http"
	"time"
)

// Kind is what a request is meant to meet; results are kept by kind.
type Kind uint8

// The kinds of requests.
const (
	Fresh     Kind = iota // a code that this run has not asked for yet
	Repeat                // one that it has
	Stale                 // a token that was ours once
	Forged                // 18 digits that were never issued
	Malformed             // what no code and no token of ours looks like
	kinds
)

// String is the kind's name in --mix and in the summary.
func (k Kind) String() string {
	return [kinds]string{"fresh", "repeat", "stale", "forged", "malformed"}[k]
}

// Query is one request. A connection uses one over and over.
type Query struct {
	Kind Kind
	Path []byte // reused: append to Path[:0]
	item int    // of the Work that filled it: its code, or its form if malformed
	seen uint32 // what the Work knew of item when it asked
}

// Answer is what came back. Body is good until the connection's next request.
type Answer struct {
	Status     int
	RetryAfter bool // it says when to come again
	Body       []byte
}

// shed reports that the server was too busy and said so.
func (a *Answer) shed() bool { return a.Status == http.StatusServiceUnavailable && a.RetryAfter }

// Work makes requests and judges their answers. Every connection calls it, so its
// methods must be safe together.
type Work interface {
	// Next fills the next request; false = there is no more to ask.
	Next(q *Query) bool
	// Judge says what is wrong with an answer, nil if nothing is.
	Judge(q *Query, a *Answer) error
}

// Stage is a stretch of load. Connections and rate move linearly over it.
type Stage struct {
	Name               string
	For                time.Duration // 0 = until the Work has no more
	ConnsFrom, ConnsTo int
	RateFrom, RateTo   float64 // requests a second; RateTo 0 = as fast as the answers come
	RateMin            float64 // goal: at least so many answers a second
	// AllowShed takes a 503 with Retry-After as what an overloaded server should say:
	// it is counted apart, and is neither an answer nor wrong.
	AllowShed bool
}

// Limits of one stage.
const (
	ConnsMax = 10_000
	RateMax  = 1_000_000.0
	ForMax   = 24 * time.Hour
)

var errStage = errors.New("a stage has 1 to 10000 connections, at most 1000000 requests a second and at most 24h")

// Check says what is wrong with stages.
func Check(stages []Stage) error {
	for i := range stages {
		if err := stages[i].check(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Stage) check() error {
	if s.ConnsFrom < 1 || s.ConnsTo < s.ConnsFrom || s.ConnsTo > ConnsMax || s.For < 0 || s.For > ForMax ||
		!(s.RateFrom >= 0 && s.RateFrom <= RateMax) || !(s.RateTo >= 0 && s.RateTo <= RateMax) ||
		s.RateTo == 0 && s.RateFrom > 0 || s.RateTo > 0 && s.For == 0 {
		return errStage
	}
	return nil
}

// total is how many requests fall due, the first at once.
func (s *Stage) total() int64 { return max(1, int64((s.RateFrom+s.RateTo)/2*s.For.Seconds())) }

// due is when, from the stage's start, request n (from 0) is to be sent: the t with
// a·t + (b−a)·t²/2T = n, written so that it holds for a = b too.
func (s *Stage) due(n int64) time.Duration {
	a, b, whole := s.RateFrom, s.RateTo, s.For.Seconds()
	if n == 0 {
		return 0
	}
	t := 2 * float64(n) / (a + math.Sqrt(max(0, a*a+2*(b-a)/whole*float64(n))))
	return time.Duration(t * float64(time.Second))
}

// joins is when connection i (from 0) starts to ask.
func (s *Stage) joins(i int) time.Duration {
	if i < s.ConnsFrom {
		return 0
	}
	return s.For * time.Duration(i-s.ConnsFrom+1) / time.Duration(s.ConnsTo-s.ConnsFrom+1)
}

// Seed gives the load stages of the flash sale, shortened by scale: 3 s in which the
// threads of the ramp start one after another, a ramp to 50 threads, a burst of 200
// and a long steady stretch. A burst of "at least 800 a second" is offered as the
// peak estimate of 800, so that the goal can be met and missed.
func Seed(scale float64) []Stage {
	d := func(x time.Duration) time.Duration { return time.Duration(float64(x) * scale) }
	burst := float64(PeakEstimate(800))
	return []Stage{
		{Name: "preheat", For: d(3 * time.Second), ConnsFrom: 1, ConnsTo: 50, RateFrom: 10, RateTo: 10},
		{Name: "ramp", For: d(60 * time.Second), ConnsFrom: 1, ConnsTo: 50, RateFrom: 10, RateTo: 200},
		{Name: "burst", For: d(10 * time.Second), ConnsFrom: 200, ConnsTo: 200, RateFrom: burst, RateTo: burst, RateMin: 800},
		{Name: "steady", For: d(120 * time.Second), ConnsFrom: 100, ConnsTo: 100, RateFrom: 400, RateTo: 400},
	}
}

// Steady is one stage of a fixed number of connections.
func Steady(d time.Duration, conns int, rate float64) Stage {
	return Stage{Name: "steady", For: d, ConnsFrom: conns, ConnsTo: conns, RateFrom: rate, RateTo: rate}
}

// Run sends the stages, one after another, over connections of their own. live, if
// not nil, sees the stage about once a second. The results so far are given even
// when the context ended it.
func Run(ctx context.Context, t Transport, w Work, stages []Stage, live func(*Result)) ([]*Result, error) {
	if err := Check(stages); err != nil {
		return nil, err
	}
	results := make([]*Result, 0, len(stages))
	for i := range stages {
		r, err := run(ctx, t, w, &stages[i], live)
		if r != nil {
			results = append(results, r)
		}
		if err != nil {
			return results, err
		}
	}
	return results, nil
}
