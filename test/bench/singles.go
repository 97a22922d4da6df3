package main

import (
	"context"
	"fmt"
	"net/http"

	"github.com/chopmark/chopmark/test/harness"
)

const (
	singlesItems = 10_000_000
	singlesList  = 100_000
)

// benchSingles changes every second of ten million items singly, and compares the
// processor time of verifying random ones before and after.
func benchSingles(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("singles"))
	if err != nil {
		return err
	}
	defer server.Kill()
	s, err := openShop(ctx, server)
	if err != nil {
		return err
	}
	if _, err := s.batch(ctx, "S", singlesItems, "off"); err != nil {
		return err
	}
	codes, err := randomCodes(ctx, b.data("singles"), singlesItems, 100_000)
	if err != nil {
		return err
	}
	if err := verifyAll(ctx, server.URL, codes); err != nil { // their counts are in memory from now on
		return err
	}
	var before, after tally
	for range verifyPairs {
		if err := before.add(ctx, server.URL, &asking{codes: codes}, server.Pid(), server); err != nil {
			return err
		}
	}
	if err := s.changeEverySecond(ctx, b.data("singles")); err != nil {
		return err
	}
	for range verifyPairs {
		if err := after.add(ctx, server.URL, &asking{codes: codes}, server.Pid(), server); err != nil {
			return err
		}
	}
	rss, err := harness.ResidentMB(server.Pid())
	b.rowf("verify when half of 10^7 items were changed singly: CPU per request / before", "≤ 1.2", "%.2f (%.1f µs before, %.1f µs after)",
		after.us()/before.us(), before.us(), after.us())
	b.rowf("  resident with them", "", "%.0f MB", rss)
	return err
}

// changeEverySecond moves the items of even numbers, in lists of single codes.
func (s *shop) changeEverySecond(ctx context.Context, data string) error {
	items, err := itemsOf(ctx, data)
	if err != nil {
		return err
	}
	list := make([]string, 0, singlesList)
	for no := int64(1); no < singlesItems; no += 2 {
		code, err := items.code(no)
		if err != nil {
			return err
		}
		if list = append(list, code); len(list) < singlesList {
			continue
		}
		if err := s.Must(ctx, http.MethodPost, "/api/v1/codes/state", map[string]any{
			"select": map[string]any{"codes": list}, "to": "sellable_accessible", "reason": "bench"}, nil); err != nil {
			return fmt.Errorf("change items singly: %w", err)
		}
		list = list[:0]
	}
	return nil
}
