package scripts

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
	"github.com/chopmark/chopmark/test/servers"
)

const (
	linesAtOnce   = 8
	linesCases    = 24 // of each round
	linesCodes    = 3
	linesKillsMin = 4
	linesKillsMax = 60
	linesCutOff   = 3 // so many must have been killed between the fixing of their event and its capture
)

// TestLinesAreKilled kills the real binary with -9 while packing lines close cases, again
// and again, until some were cut off after their event was fixed and before it was captured.
// In the end each case that was closed has exactly one event, which names what was put in,
// and each that was not has none.
func TestLinesAreKilled(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { killLines(t) })
	t.Run("servers", func(t *testing.T) { // the first brand is 1001, of shard 9
		killLines(t, "--sql", servers.MariaDB(t), "--sql-shard", "9="+servers.MariaDB(t), "--redis", servers.Redis(t).URL())
	})
}

// packer is what lines do.
type packer struct {
	*testing.T

	bin, dir string
	args     []string
	server   *harness.Server
	brand    int
	codes    []string
	next     int // of codes

	mu     sync.Mutex
	cases  map[string][]string // by SSCC, what was put in
	asked  map[string]bool     // to be closed in this round
	closed map[string]string   // guarded by mu; the event that was answered
}

func killLines(t *testing.T, args ...string) {
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	p := &packer{
		T: t, bin: bin, dir: filepath.Join(t.TempDir(), "data"), args: args,
		cases: map[string][]string{}, asked: map[string]bool{}, closed: map[string]string{},
	}
	p.start()
	p.goods()
	cut, kills := 0, 0
	for kills < linesKillsMin || cut < linesCutOff {
		if kills++; kills > linesKillsMax {
			t.Fatalf("after %d kills only %d cases were cut off where it matters", kills-1, cut)
		}
		p.round(int64(linesAtOnce + 7*kills%(linesCases-linesAtOnce)))
		p.start()
		fixed := p.again()
		p.settled()
		late, err := p.server.Metric(t.Context(), `chopmark_line_containers_total{result="finished"}`)
		if err != nil {
			t.Fatal(err)
		}
		cut += fixed + int(late)
	}
	p.check()
	t.Logf("%d kills, %d cases, %d of them cut off between the fixing of their event and its capture", kills, len(p.cases), cut)
	if err := p.server.Stop(); err != nil {
		t.Error(err)
	}
}

func (p *packer) start() {
	p.Helper()
	server, err := harness.Start(p.Context(), p.bin, p.dir, p.args...)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(server.Kill)
	p.server = server
}

func (p *packer) must(method, path string, body, data any) {
	p.Helper()
	if err := p.server.Must(p.Context(), method, path, body, data); err != nil {
		p.Fatal(err)
	}
}

// goods makes codes to pack.
func (p *packer) goods() {
	var made struct {
		Brand   int      `json:"brand_id"`
		Product int      `json:"product_id"`
		Batch   string   `json:"batch_id"`
		Codes   []string `json:"codes"`
	}
	p.must(http.MethodPost, "/api/v1/brands", map[string]any{"name": "A"}, &made)
	p.must(http.MethodPost, "/api/v1/products", map[string]any{"brand_id": made.Brand, "name": "P", "gtin": "04012345111118"}, &made)
	p.must(http.MethodPost, "/api/v1/batches", map[string]any{"product_id": made.Product, "batch_no": "1", "quantity": 20_000}, &made)
	p.must(http.MethodPost, "/api/v1/batches/"+made.Batch+"/claims", map[string]any{"quantity": 10_000, "claimant": "line"}, &made)
	p.brand, p.codes = made.Brand, made.Codes
}

// round fills cases, and lets lines close them until the server is killed: when the n-th close
// has been asked for, while the others are at theirs.
func (p *packer) round(n int64) {
	p.Helper()
	filled := make(chan string, linesCases)
	for range linesCases {
		filled <- p.fill()
	}
	close(filled)
	var asked atomic.Int64
	var all sync.WaitGroup
	for range linesAtOnce {
		all.Go(func() {
			for sscc := range filled {
				if asked.Add(1) == n {
					all.Go(p.server.Kill)
				}
				if err := p.shut(sscc); err != nil {
					if !errors.Is(err, errKilled) {
						p.Error(err)
					}
					return
				}
			}
		})
	}
	all.Wait()
}

// fill opens a case and puts items in.
func (p *packer) fill() (sscc string) {
	p.Helper()
	if p.next+linesCodes > len(p.codes) {
		p.Fatal("the goods are used up")
	}
	codes := p.codes[p.next : p.next+linesCodes]
	p.next += linesCodes
	var c struct {
		SSCC string `json:"sscc"`
	}
	p.must(http.MethodPost, "/api/v1/containers", map[string]any{"brand_id": p.brand, "kind": "case", "gs1_company_prefix": "4012345"}, &c)
	p.must(http.MethodPost, "/api/v1/containers/"+c.SSCC+"/add", map[string]any{"children": codes}, nil)
	p.cases[c.SSCC], p.asked[c.SSCC] = codes, true
	return c.SSCC
}

// shut closes a case, unless the server is gone.
func (p *packer) shut(sscc string) error {
	a, err := p.server.Call(p.Context(), http.DefaultClient, http.MethodPost, "/api/v1/containers/"+sscc+"/close", "", nil)
	if err != nil {
		return errKilled
	}
	var c packedCase
	if err := json.Unmarshal(a.Data, &c); err != nil || a.Status != http.StatusOK || c.State != "closed" || c.EventID == "" {
		return fmt.Errorf("close %s answered %d %s: %+v, %w", sscc, a.Status, a.Error, c, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed[sscc] = c.EventID
	return nil
}

// packedCase is a case as the server tells it.
type packedCase struct {
	EPC     string   `json:"epc"`
	State   string   `json:"state"`
	EventID string   `json:"event_id"`
	Codes   []string `json:"codes"`
}

// errKilled ends a line: nobody answers it.
var errKilled = errors.New("killed")

// again repeats half of the closes that nobody answered; the other half nobody asks for again.
// It tells how many of the former had their event fixed.
func (p *packer) again() (fixed int) {
	p.Helper()
	n := 0
	for sscc := range p.asked {
		if n++; p.closed[sscc] != "" || n%2 == 0 {
			continue
		}
		var c packedCase
		p.must(http.MethodGet, "/api/v1/containers/"+sscc+"/packing", nil, &c)
		if c.State == "closing" {
			fixed++
		}
		p.must(http.MethodPost, "/api/v1/containers/"+sscc+"/close", nil, &c)
		p.closed[sscc] = c.EventID
	}
	clear(p.asked)
	return fixed
}

// settled waits until the server has finished what was cut off.
func (p *packer) settled() {
	p.Helper()
	end := time.Now().Add(awaitFor)
	for every := time.NewTicker(20 * time.Millisecond); ; <-every.C {
		var page struct {
			Containers []struct{ SSCC string }
		}
		p.must(http.MethodGet, fmt.Sprint("/api/v1/containers?state=closing&brand_id=", p.brand), nil, &page)
		if len(page.Containers) == 0 {
			return
		}
		if time.Now().After(end) {
			p.Fatalf("%d cases have no event yet:\n%s", len(page.Containers), p.server.Log())
		}
	}
}

// check counts the events of every case.
func (p *packer) check() {
	p.Helper()
	in := map[string]string{}
	for sscc, codes := range p.cases {
		var c packedCase
		p.must(http.MethodGet, "/api/v1/containers/"+sscc+"/packing", nil, &c)
		events := p.eventsOf(c.EPC)
		want := 0
		if c.State == "closed" {
			want = 1
		}
		if len(events) != want || want == 1 && (events[0].ID != c.EventID || len(events[0].Children) != linesCodes) {
			p.Errorf("%s is %s and has the events %+v", sscc, c.State, events)
		}
		if answered := p.closed[sscc]; answered != "" && (c.State != "closed" || answered != c.EventID) {
			p.Errorf("%s was answered %s, and is %s with %s", sscc, answered, c.State, c.EventID)
		}
		if len(c.Codes) != len(codes) {
			p.Errorf("%s holds %v, want %v", sscc, c.Codes, codes)
		}
		for _, code := range c.Codes {
			if in[code] != "" {
				p.Errorf("%s is in %s and in %s", code, in[code], sscc)
			}
			in[code] = sscc
		}
	}
}

type packingEvent struct {
	ID       string   `json:"eventID"`
	Children []string `json:"childEPCs"`
}

func (p *packer) eventsOf(epc string) []packingEvent {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), http.MethodGet, p.server.URL+"/epcis/events?MATCH_parentID="+url.QueryEscape(epc), http.NoBody)
	if err != nil {
		p.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+harness.AdminKey)
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	var found struct {
		Body struct {
			Results struct {
				Body struct {
					Events []packingEvent `json:"eventList"`
				} `json:"resultsBody"`
			} `json:"queryResults"`
		} `json:"epcisBody"`
	}
	if err != nil || resp.StatusCode != http.StatusOK || json.Unmarshal(raw, &found) != nil {
		p.Fatalf("events of %s: %d %s, %v", epc, resp.StatusCode, raw, err)
	}
	return found.Body.Results.Body.Events
}
