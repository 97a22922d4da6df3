package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findsql"
	"github.com/chopmark/chopmark/internal/ids"
)

const (
	searchProducts = 100_000
	searchWords    = 10 // of each
	searchAsks     = 2000
)

// searchWord is one of 50,000 words of 9 letters.
func searchWord(n int) string { return fmt.Sprintf("w%05dzeit", n*7919%50_000) }

// benchSearch asks the embedded index of words for single words, pairs and parts of words.
func benchSearch(ctx context.Context, b *bench) (err error) {
	index, err := findsql.Open(ctx, b.data("search"), "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = index.Close() }()
	began := time.Now()
	var all []find.Document
	for n := range searchProducts {
		d := find.Document{Kind: find.Product, ID: strconv.Itoa(n), Brand: ids.BrandID(1000 + n%100), Title: "product " + strconv.Itoa(n), At: began}
		for w := range searchWords {
			d.Words = append(d.Words, searchWord(n*searchWords+w))
		}
		if all = append(all, d); len(all) == 500 {
			if err := index.Apply(ctx, all, find.Standing{Cursor: "bench"}); err != nil {
				return err
			}
			all = all[:0]
		}
	}
	b.rowf("search: documents written", "", "%.0f/s", searchProducts/time.Since(began).Seconds())
	s := find.NewService(index)
	ctx = ids.WithScope(ctx, ids.AllBrands())
	for _, question := range []struct {
		what string
		of   func(n int) string
	}{
		{"a word", searchWord},
		{"two words", func(n int) string { return searchWord(n*searchWords) + " " + searchWord(n*searchWords+1) }},
		{"part of a word", func(n int) string { return strings.TrimPrefix(searchWord(n), "w")[:5] }},
		{"two letters", func(n int) string { return fmt.Sprintf("%02d", n%100) }},
	} {
		var took []time.Duration
		for n := range searchAsks {
			at := time.Now()
			page, err := s.Find(ctx, find.Ask{Text: question.of(n * 31 % searchProducts), Limit: 20})
			if err != nil {
				return err
			}
			if len(page.Hits) == 0 {
				return fmt.Errorf("%s: %q finds nothing", question.what, question.of(n))
			}
			took = append(took, time.Since(at))
		}
		slices.Sort(took)
		b.rowf("search: "+question.what+", 100,000 products, a million words, p50 and p99", "", "%v, %v", took[len(took)/2], took[len(took)*99/100])
	}
	return nil
}
