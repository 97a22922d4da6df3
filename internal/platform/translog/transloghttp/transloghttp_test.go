package transloghttp

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/internal/platform/sqldb"
	"github.com/chopmark/chopmark/internal/platform/sqldb/sqldbtest"
	"github.com/chopmark/chopmark/internal/platform/translog"
)

type keyed struct{}

func (keyed) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") != "Bearer k" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "k", Name: "k", Access: httpx.Everything{}}, nil
}

func served(t *testing.T) (*translog.Log, *sqldb.DB, string) {
	t.Helper()
	db := sqldbtest.SQLite(t)()
	if err := db.Migrate(t.Context(), "translog", translog.Schema()); err != nil {
		t.Fatal(err)
	}
	l, err := translog.Open(t.Context(), db, clock.System{}, "goods.example/log", "key_1",
		func(string) (seed [ed25519.SeedSize]byte, ok bool) { return [ed25519.SeedSize]byte{7}, true })
	if err != nil {
		t.Fatal(err)
	}
	rt := httpx.NewRouter(keyed{}, obs.NewMetrics(), slog.New(slog.DiscardHandler))
	Mount(rt, l, func(kind string) bool { return kind == "open" })
	s := httptest.NewServer(rt)
	t.Cleanup(s.Close)
	return l, db, s.URL
}

func grow(t *testing.T, l *translog.Log, from, n int) {
	t.Helper()
	var all []translog.Statement
	for i := range n {
		kind, subject := [...]string{"open", "closed"}[i%2], fmt.Sprint("item-", from+i)
		all = append(all, translog.Statement{Kind: kind, Subject: subject, Text: fmt.Appendf(nil, `{"kind":%q,"subject":%q}`, kind, subject)})
	}
	if _, err := l.Append(t.Context(), all, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sign(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, url, key string) (int, string, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body), resp.Header
}

func TestRoutes(t *testing.T) {
	t.Parallel()
	l, _, base := served(t)
	if status, body, _ := get(t, base+"/log/checkpoint", ""); status != http.StatusNotFound || !strings.Contains(body, "log.empty") {
		t.Errorf("an empty log: %d %s", status, body)
	}
	grow(t, l, 0, 300)
	for path, want := range map[string]struct {
		status int
		cache  string
		size   int
		text   string
	}{
		"/log/checkpoint":                            {200, "no-cache", 0, "goods.example/log\n300\n"},
		"/log/key":                                   {200, "no-cache", 0, "goods.example/log+"},
		"/log/tile/0/000":                            {200, forever, 256 * 32, ""},
		"/log/tile/0/001.p/44":                       {200, forever, 44 * 32, ""},
		"/log/tile/0/001.p/3":                        {200, forever, 3 * 32, ""},
		"/log/tile/1/000.p/1":                        {200, forever, 32, ""},
		"/log/tile/entries/001.p/2":                  {200, forever, 2 * 34, ""},
		"/log/tile/0/001":                            {404, "", 0, "log.unknown"},
		"/log/tile/0/001.p/45":                       {404, "", 0, "log.unknown"},
		"/log/tile/5/000":                            {404, "", 0, "log.unknown"},
		"/log/tile/-1/000":                           {400, "", 0, "log.bad_tile"},
		"/log/tile/data/000":                         {400, "", 0, "log.bad_tile"},
		"/log/tile/0/0":                              {400, "", 0, "log.bad_tile"},
		"/log/tile/0/000.p/256":                      {400, "", 0, "log.bad_tile"},
		"/log/tile/0/" + strings.Repeat("x001/", 40): {400, "", 0, "log.bad_tile"},
		"/log/consistency?from=0&to=300":             {400, "", 0, "log.bad_sizes"},
		"/log/consistency?from=a&to=300":             {400, "", 0, "log.bad_sizes"},
		"/log/consistency?from=2&to=301":             {400, "", 0, "log.bad_sizes"},
		"/log/proof?kind=open&subject=item-0":        {200, "no-cache", 0, `"index":0`},
		"/log/proof?kind=closed&subject=item-1":      {404, "", 0, "log.unknown"},
		"/log/proof?kind=open&subject=none":          {404, "", 0, "log.unknown"},
		"/api/v1/log/proof?kind=closed":              {401, "", 0, ""},
	} {
		status, body, head := get(t, base+path, "")
		if status != want.status || want.cache != "" && head.Get("Cache-Control") != want.cache ||
			want.size > 0 && len(body) != want.size || !strings.Contains(body, want.text) {
			t.Errorf("%s: %d, %d bytes, %q: %.200s", path, status, len(body), head.Get("Cache-Control"), body)
		}
	}
	status, body, _ := get(t, base+"/api/v1/log/proof?kind=closed&subject=item-1", "k")
	var got struct{ Data translog.Proof }
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != http.StatusOK {
		t.Fatalf("%d %v %s", status, err, body)
	}
	if err := got.Data.Check(l.VerifierKey()); err != nil {
		t.Errorf("the proof that was handed out: %v", err)
	}
	if _, err := tlog.ParseTilePath("tile/8/0/000"); err != nil {
		t.Error(err)
	}
}

// browser opens a page and gives what it has become.
func browser(t *testing.T, url string) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is missing; test/setup/apt.sh installs it")
		}
		t.Skip("chromium is missing: on Debian, apt-get install chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
		"--user-data-dir="+t.TempDir(), "--virtual-time-budget=10000", "--dump-dom", url)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("chromium: %v", err)
	}
	return string(out)
}

// TestPageChecksProofs lets a real browser judge proofs that hold and proofs that do not.
func TestPageChecksProofs(t *testing.T) {
	t.Parallel()
	l, db, base := served(t)
	grow(t, l, 0, 7)
	key := url.QueryEscape(l.VerifierKey())
	page := func(subject, key string) string {
		return browser(t, base+"/log/verify?kind=open&lang=en&subject="+subject+"&key="+key)
	}
	for _, subject := range []string{"item-0", "item-6"} {
		if dom := page(subject, key); !strings.Contains(dom, `data-result="good"`) || strings.Count(dom, `<li class="good">`) != 5 {
			t.Errorf("%s: a proof that holds:\n%s", subject, dom)
		}
	}
	if dom := page("item-2", url.QueryEscape("goods.example/log+00000000+AAAA")); !strings.Contains(dom, `data-result="bad"`) {
		t.Error("a key that is not the log's is taken")
	}
	if dom := browser(t, base+"/log/verify?kind=open&lang=zh&subject=none"); !strings.Contains(dom, "这不是一份证明") {
		t.Error("what is no proof is not called that")
	}
	err := db.Write(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE translog_leaves SET statement = ? WHERE idx = 4`, []byte(`{"kind":"open","subject":"item-4","x":1}`))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if dom := page("item-4", key); !strings.Contains(dom, `data-result="bad"`) {
		t.Errorf("an altered statement is taken:\n%s", dom)
	}
}
