package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/quic-go/quic-go/http3"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
)

const (
	halfOpenRate  = 2_000 // first packets a second
	visitEvery    = 100 * time.Millisecond
	visitPatience = 10 * time.Second
)

// halfOpen begins handshakes of HTTP/3 from many ports that never go on, beside right codes
// and beside people who come for the first time.
func (b *bench) halfOpen(ctx context.Context, s *harness.Server, code string, good func() (*load.Result, error), show func(string, *load.Result)) error {
	alone, failed, err := visitBeside(ctx, s, code, func() error { time.Sleep(verifyFor); return nil })
	if err != nil {
		return err
	}
	b.rowf("first visits over HTTP/3 alone: p50, slowest", "", "%v, %v; %d of %d failed", micros(median(alone)), micros(slices.Max(alone)), failed, len(alone))
	flood, err := load.HalfOpenFlood(ctx, s.TLS, halfOpenRate)
	if err != nil {
		return err
	}
	defer flood.Close()
	var r *load.Result
	beside, failed, err := visitBeside(ctx, s, code, func() (err error) { r, err = good(); return err })
	if err != nil {
		return err
	}
	seen := flood.Seen()
	show(fmt.Sprintf("beside %.0f handshakes of HTTP/3 a second that stay half-open", float64(seen.Sent)/r.Took.Seconds()), r)
	b.rowf("  the server asked for a proof of the address (Retry)", "", "for %d of %d", seen.Retries, seen.Sent)
	b.rowf("  bytes sent for each byte of a stranger, at the port that got most", "≤ 3", "%.2f", seen.Amplified)
	b.rowf("  first visits over HTTP/3 beside it and those scans: p50, slowest", "", "%v, %v; %d of %d failed", micros(median(beside)), micros(slices.Max(beside)), failed, len(beside))
	return nil
}

func median(all []time.Duration) time.Duration {
	all = slices.Sorted(slices.Values(all))
	return all[len(all)/2]
}

// visitBeside comes for the first time over and over while something is done, and tells
// how long each visit took until its answer.
func visitBeside(ctx context.Context, s *harness.Server, code string, do func() error) (took []time.Duration, failed int, err error) {
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			begun := time.Now()
			if visitOnce(ctx, s.TLS, code) != nil {
				failed++
			}
			took = append(took, time.Since(begun))
			select {
			case <-stop:
				return
			case <-time.After(visitEvery):
			}
		}
	})
	err = do()
	close(stop)
	wg.Wait()
	return took, failed, err
}

func visitOnce(ctx context.Context, at, code string) error {
	ctx, cancel := context.WithTimeout(ctx, visitPatience)
	defer cancel()
	t := &http3.Transport{TLSClientConfig: &tls.Config{ServerName: "localhost", InsecureSkipVerify: true}}
	defer func() { _ = t.Close() }()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+at+verifyPath(code), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := t.RoundTrip(r)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("a visit: %s", resp.Status)
	}
	return nil
}
