package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/load"
)

const (
	resolvedGTIN  = "/01/09506000134352"
	resolvedCodes = 10_000 // as many as one claim tells
)

// links is the work of the resolver's bench: one path, or the items of a list; every
// answer must be a 307.
type links struct {
	prefix string
	codes  []string // nil = the prefix alone
}

// Next implements load.Work.
func (w *links) Next(q *load.Query) bool {
	q.Path = append(q.Path[:0], w.prefix...)
	if w.codes != nil {
		q.Path = append(q.Path, w.codes[rand.IntN(len(w.codes))]...)
	}
	return true
}

// Judge implements load.Work.
func (*links) Judge(_ *load.Query, a *load.Answer) error {
	if a.Status != http.StatusTemporaryRedirect {
		return fmt.Errorf("answered %d %.200s", a.Status, a.Body)
	}
	return nil
}

// benchResolver compares the server's processor time for a redirect with that of a bare
// handler that sends the same headers, in the same run: of a product to its brand's
// page, of an item to its page with the present token, and of a link type by language.
func benchResolver(ctx context.Context, b *bench) error {
	server, err := harness.Start(ctx, b.bin, b.data("resolver"))
	if err != nil {
		return err
	}
	defer server.Kill()
	codes, err := linkedShop(ctx, server)
	if err != nil {
		return err
	}
	bare, err := startBareRedirect(ctx, b.self, server.URL)
	if err != nil {
		return err
	}
	defer bare.stop()
	product, item, typed := &links{prefix: resolvedGTIN}, &links{resolvedGTIN + "/21/", codes}, &links{prefix: resolvedGTIN + "?linkType=gs1:pip"}
	var peer, ofProduct, ofItem, ofType tally
	for range verifyPairs {
		for _, side := range []struct {
			t    *tally
			url  string
			pid  int
			work load.Work
		}{
			{&peer, bare.url, bare.pid(), product}, {&ofProduct, server.URL, server.Pid(), product},
			{&ofItem, server.URL, server.Pid(), item}, {&ofType, server.URL, server.Pid(), typed},
		} {
			if err := side.t.add(ctx, side.url, side.work, side.pid, nil); err != nil {
				return err
			}
		}
	}
	show := func(what, goal string, ours *tally) {
		b.rowf(what, goal, "%.2f (bare %.1f µs, ours %.1f µs), %.0f/s", peer.us()/ours.us(), peer.us(), ours.us(), ours.rate())
	}
	show("resolver, product to its default link: bare redirect's CPU per request / ours", "≥ 0.70", &ofProduct)
	show("  item to its page with the present token", "≥ 0.70", &ofItem)
	show("  product to a link type", "≥ 0.70", &ofType)
	return nil
}

// linkedShop makes a product with links and items, and gives the items' codes.
func linkedShop(ctx context.Context, s *harness.Server) ([]string, error) {
	var brand struct {
		ID int32 `json:"brand_id"`
	}
	var product struct {
		ID int32 `json:"product_id"`
	}
	if err := s.Must(ctx, http.MethodPost, "/api/v1/brands", map[string]any{"name": "Bench"}, &brand); err != nil {
		return nil, err
	}
	err := s.Must(ctx, http.MethodPost, "/api/v1/products", map[string]any{"brand_id": brand.ID, "name": "Bench", "gtin": resolvedGTIN[4:]}, &product)
	if err != nil {
		return nil, err
	}
	at := &shop{s, product.ID}
	batch, err := at.batch(ctx, "R", resolvedCodes, "1h")
	if err != nil {
		return nil, err
	}
	if err := s.Must(ctx, http.MethodPut, fmt.Sprintf("/api/v1/brands/%d/link-policy", brand.ID), map[string]any{"hosts": []string{"brand.example"}}, nil); err != nil {
		return nil, err
	}
	link := func(kind, name string, more map[string]any) map[string]any {
		l := map[string]any{"link_type": kind, "href": "https://brand.example/" + name, "title": name}
		maps.Copy(l, more)
		return l
	}
	err = s.Must(ctx, http.MethodPut, "/api/v1/links", map[string]any{"brand_id": brand.ID, "anchor": resolvedGTIN, "links": []any{
		link("gs1:defaultLink", "rice", nil), link("gs1:pip", "rice", map[string]any{"hreflang": []string{"en"}}),
		link("gs1:pip", "reis", map[string]any{"hreflang": []string{"de"}}), link("gs1:recallStatus", "recalls", nil),
	}}, nil)
	if err != nil {
		return nil, err
	}
	return at.some(ctx, batch, resolvedCodes)
}

// startBareRedirect starts the peer with the headers of a real answer.
func startBareRedirect(ctx context.Context, self, from string) (*bareServer, error) {
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(from + resolvedGTIN)
	if err != nil {
		return nil, err
	}
	if err := resp.Body.Close(); err != nil {
		return nil, err
	}
	resp.Header.Del("Date") // the server adds its own
	var lines strings.Builder
	if err := resp.Header.Write(&lines); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, "bare-redirect")
	cmd.Stdin, cmd.Stderr = strings.NewReader(lines.String()+"\r\n"), os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	return &bareServer{cmd, strings.TrimSpace(line)}, err
}

// serveBareRedirect answers every request with a 307 and the headers that stdin held.
func serveBareRedirect() error {
	headers := http.Header{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && lines.Text() != "" {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		headers[name] = append(headers[name], value)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + ln.Addr().String())
	return http.Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		maps.Copy(w.Header(), headers)
		w.WriteHeader(http.StatusTemporaryRedirect)
	}))
}
