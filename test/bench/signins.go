package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
)

const (
	signInPeople  = 20
	signInPause   = time.Minute / 1000
	signInFor     = 8 * time.Second
	signInPairs   = 3
	signInScans   = 2000 // a second
	signInConns   = 32
	benchPassword = "a password of the bench"
)

// benchSignIns scans at a steady rate, alone and beside a thousand sign-ins a minute, in
// turns, so that a noisy machine hits both.
func benchSignIns(ctx context.Context, b *bench) error {
	server, codes, err := b.verifyServer(ctx, "sign-ins", "--trusted-proxy", "127.0.0.0/8")
	if err != nil {
		return err
	}
	defer server.Kill()
	if err := signInAccounts(ctx, server); err != nil {
		return err
	}
	var alone, beside load.Histogram
	var in, refused int64
	scans := func(into *load.Histogram) error {
		r, err := drive(ctx, server.URL, &asking{codes: codes}, load.Steady(signInFor, signInConns, signInScans))
		if err == nil {
			into.Add(r.All())
		}
		return err
	}
	for range signInPairs {
		if err := scans(&alone); err != nil {
			return err
		}
		during, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- signInAll(during, server.URL, &in, &refused) }() // ends with stop
		err := scans(&beside)
		stop()
		if err := errors.Join(err, <-done); err != nil {
			return err
		}
	}
	minutes := (signInPairs * signInFor).Minutes()
	a, w := alone.Quantile(0.99), beside.Quantile(0.99)
	b.rowf(fmt.Sprintf("%d scans/s beside sign-ins: p99 beside / alone", signInScans), "≤ 1.2", "%.2f (%v / %v)", w.Seconds()/a.Seconds(), micros(w), micros(a))
	b.rowf("  sign-ins with a password meanwhile", "1000 a minute", "%.0f a minute, %d told to come back", float64(in)/minutes, refused)
	return nil
}

func signInAccounts(ctx context.Context, s *harness.Server) error {
	for i := range signInPeople {
		var made struct {
			Token string `json:"token"`
		}
		err := s.Must(ctx, http.MethodPost, "/api/v1/users", map[string]any{"login": fmt.Sprintf("person %d", i), "name": "p", "role": "auditor"}, &made)
		if err == nil {
			err = s.Must(ctx, http.MethodPost, "/api/v1/signin/accept", map[string]any{"token": made.Token, "password": benchPassword}, nil)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// signInAll signs people in at a steady rate, each from a network of its own, until ctx ends.
func signInAll(ctx context.Context, url string, in, refused *int64) error {
	pace := time.NewTicker(signInPause)
	defer pace.Stop()
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for {
		select {
		case <-ctx.Done():
			all.Wait()
			if err := failed.Load(); err != nil {
				return *err
			}
			return nil
		case <-pace.C:
		}
		all.Go(func() {
			status, err := signInOnce(url)
			switch {
			case err != nil:
				failed.Store(&err)
			case status == http.StatusOK:
				atomic.AddInt64(in, 1)
			case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable:
				atomic.AddInt64(refused, 1)
			default:
				err = fmt.Errorf("a sign-in answers %d", status)
				failed.Store(&err)
			}
		})
	}
}

func signInOnce(url string) (status int, _ error) {
	body, err := json.Marshal(map[string]any{"login": fmt.Sprintf("person %d", rand.IntN(signInPeople)), "password": benchPassword, "client_type": "api"})
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequest(http.MethodPost, url+"/api/v1/signin", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Forwarded-For", fmt.Sprintf("10.%d.%d.1", rand.IntN(256), rand.IntN(256)))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, errors.Join(err, resp.Body.Close())
}
