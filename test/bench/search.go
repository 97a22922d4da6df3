package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/find"
	"github.com/chopmark/chopmark/internal/find/findsql"
	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
)

const (
	searchProducts = 100_000
	searchWords    = 10 // of each
	searchAsks     = 2000
	searchBareAsks = 100 // of LIKE, which takes long
	searchPage     = 20
)

// searchWord is one of 50,000 words of 9 letters.
func searchWord(n int) string { return fmt.Sprintf("w%05dzeit", n*7919%50_000) }

// searchQuestion is a way to ask, and how LIKE is asked for the same.
type searchQuestion struct {
	what string
	of   func(n int) []string // the words of the n-th question
}

func searchQuestions() []searchQuestion {
	return []searchQuestion{
		{"a word", func(n int) []string { return []string{searchWord(n)} }},
		{"two words", func(n int) []string { return []string{searchWord(n * searchWords), searchWord(n*searchWords + 1)} }},
		{"part of a word", func(n int) []string { return []string{searchWord(n)[1:6]} }},
		{"two letters", func(n int) []string { return []string{fmt.Sprintf("%02d", n%100)} }},
		{"what nothing has", func(n int) []string { return []string{fmt.Sprintf("x%05dzeit", n)} }},
	}
}

// benchSearch asks the embedded index for words among products with ten words each, and a
// table of the same texts with LIKE, in turn.
func benchSearch(ctx context.Context, b *bench) (err error) {
	dir := b.data("search")
	index, err := findsql.Open(ctx, dir, "bench", slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, index.Close()) }()
	began := time.Now()
	var all []find.Document
	for n := range searchProducts {
		d := find.Document{Kind: find.Product, ID: strconv.Itoa(n), Brand: ids.BrandID(1000 + n%100), Title: fmt.Sprint("product ", n), At: began}
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
	file, err := searchFile(dir)
	if err != nil {
		return err
	}
	bare, err := sqldb.OpenSQLite(ctx, file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	s := find.NewService(index)
	ctx = ids.WithScope(ctx, ids.AllBrands())
	for _, q := range searchQuestions() {
		if err := q.measure(ctx, b, s, bare); err != nil {
			return err
		}
	}
	return nil
}

// searchFile finds the index's file, whose rows LIKE reads.
func searchFile(dir string) (string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err == nil && len(all) != 1 {
		err = fmt.Errorf("%w: %s", os.ErrNotExist, dir)
	}
	return slices.Concat(all, []string{""})[0], err
}

// measure asks both, and holds their first pages to each other.
func (q searchQuestion) measure(ctx context.Context, b *bench, s *find.Service, bare *sqldb.DB) error {
	var took, like []time.Duration
	for n := range searchAsks {
		words := q.of(n * 31 % searchProducts)
		text := strings.Join(words, " ")
		at := time.Now()
		page, err := s.Find(ctx, find.Ask{Text: text, Limit: searchPage})
		if err != nil {
			return err
		}
		took = append(took, time.Since(at))
		if n%(searchAsks/searchBareAsks) != 0 {
			continue
		}
		at = time.Now()
		found, err := searchBare(ctx, bare, words)
		if err != nil {
			return err
		}
		like = append(like, time.Since(at))
		var got []string
		for _, h := range page.Hits {
			got = append(got, h.ID)
		}
		if page.Next == "" && len(got) < searchPage && !slices.Equal(got, found) || len(got) == searchPage && !slices.Equal(got, found) {
			return fmt.Errorf("%q: the index finds %v, LIKE %v", text, got, found)
		}
	}
	slices.Sort(took)
	slices.Sort(like)
	b.rowf("search: "+q.what+", 100,000 products, a million words, p50 and p99", "", "%v, %v", took[len(took)/2], took[len(took)*99/100])
	b.rowf("search: "+q.what+" by LIKE, p50 and p99", "", "%v, %v", like[len(like)/2], like[len(like)*99/100])
	return nil
}

func searchBare(ctx context.Context, db *sqldb.DB, words []string) (found []string, _ error) {
	const query = `SELECT id FROM find_documents WHERE words LIKE ? AND words LIKE ? ORDER BY no DESC LIMIT ?`
	rows, err := db.Reader().QueryContext(ctx, query, "%"+words[0]+"%", "%"+words[len(words)-1]+"%", searchPage)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		found = append(found, id)
	}
	return found, errors.Join(rows.Err(), rows.Close())
}
