package scripts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/chopmark/chopmark/internal/batch/batchrpc/codepb"
	"github.com/chopmark/chopmark/test/harness"
)

// roles is one process with SQL and edges that join it.
type roles struct {
	t          testing.TB
	bin, dir   string
	certs      string
	issue      *harness.Server
	join       string
	staleAfter time.Duration
	sql, redis []string // what the processes with SQL, and all, are started with
}

func newRoles(t *testing.T) *roles { return newRolesOn(t, nil, nil) }

func newRolesOn(t testing.TB, sql, redis []string) *roles {
	t.Helper()
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	r := &roles{t: t, bin: bin, dir: t.TempDir(), staleAfter: 2 * time.Second, sql: sql, redis: redis}
	r.certs = filepath.Join(r.dir, "certs")
	r.run("keys", "ca", "--out", filepath.Join(r.dir, "ca"))
	for _, name := range []string{"all-1", "worker-1", "edge-1", "edge-2", "edge-3", "edge-4"} {
		r.run("keys", "role-cert", "--ca", filepath.Join(r.dir, "ca"), "--name", name, "--out", r.certs)
	}
	r.startIssue("127.0.0.1:0")
	r.join = r.issue.Roles
	return r
}

func (r *roles) run(args ...string) {
	r.t.Helper()
	if out, err := exec.CommandContext(r.t.Context(), r.bin, args...).CombinedOutput(); err != nil {
		r.t.Fatalf("chopmark %v: %v\n%s", args, err, out)
	}
}

// start runs a process under the name of its certificate.
func (r *roles) start(name string, args ...string) *harness.Server {
	r.t.Helper()
	at := filepath.Join(r.certs, name)
	s, err := harness.Start(r.t.Context(), r.bin, filepath.Join(r.dir, name), append([]string{
		"--role-cert", at + ".pem", "--role-key", at + "-key.pem", "--role-ca", filepath.Join(r.certs, "ca.pem"),
	}, append(args, r.redis...)...)...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(s.Kill)
	return s
}

func (r *roles) startIssue(addr string) {
	args := []string{"--role-listen", addr}
	if r.redis != nil {
		args = append(args, "--target", "issue")
	}
	r.issue = r.start("all-1", append(args, r.sql...)...)
}

func (r *roles) startEdge(name string) *harness.Server {
	r.t.Helper()
	return r.start(name, "--target", "edge", "--join", "https://"+r.join, "--stale-after", r.staleAfter.String(), "--trusted-proxy", "127.0.0.1")
}

// post asks the process with SQL and gives the answer's data.
func (r *roles) post(path string, body map[string]any) (data map[string]any) {
	r.t.Helper()
	if err := r.issue.Must(r.t.Context(), http.MethodPost, path, body, &data); err != nil {
		r.t.Fatal(err)
	}
	return data
}

// verdict is what a scan of an edge says.
type verdict struct {
	Status  int
	Valid   *bool      `json:"valid"`
	Verdict string     `json:"verdict"`
	Count   int64      `json:"scan_count"`
	Partial bool       `json:"partial"`
	AsOf    *time.Time `json:"as_of"`
	Product struct {
		Name string `json:"name"`
	} `json:"product_info"`
}

func (r *roles) get(s *harness.Server, path string) (int, string) {
	r.t.Helper()
	q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, s.URL+path, http.NoBody)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Accept-Language", "zh-CN")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func (r *roles) scan(s *harness.Server, code string) (v verdict) {
	r.t.Helper()
	status, body := r.get(s, "/api/v1/codes/"+code+"/verify")
	var envelope struct {
		Data verdict `json:"data"`
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		r.t.Fatalf("%v: %s", err, body)
	}
	envelope.Data.Status = status
	return envelope.Data
}

// until scans until the verdict is the wanted one, and says how long that took.
func (r *roles) until(s *harness.Server, code, want string) time.Duration {
	r.t.Helper()
	start := time.Now()
	for {
		v := r.scan(s, code)
		if v.Verdict == want || v.Verdict == want+"_again" { // the first look may have come before the change
			return time.Since(start)
		}
		if time.Since(start) > 30*time.Second {
			r.t.Fatalf("%s says %+v, want %s\n%s", s.URL, v, want, s.Log())
		}
	}
}

func (r *roles) state(to string, codes ...string) {
	r.t.Helper()
	r.post("/api/v1/codes/state", map[string]any{"select": map[string]any{"codes": codes}, "to": to, "reason": "test"})
}

// issued makes a batch with active items and gives some of its codes.
func (r *roles) issued(no string, product any) []string {
	r.t.Helper()
	b := r.post("/api/v1/batches", map[string]any{"product_id": product, "batch_no": no, "quantity": 1000, "rotate_every": "1h"})
	path := fmt.Sprint("/api/v1/batches/", b["batch_id"], "/claims")
	claimed := r.post(path, map[string]any{"quantity": 1000, "claimant": "line 1"})
	r.post("/api/v1/codes/state", map[string]any{"select": map[string]any{"batch_id": b["batch_id"]}, "to": "active", "reason": "packed"})
	var codes []string
	for _, c := range claimed["codes"].([]any) {
		codes = append(codes, c.(string))
	}
	return codes
}

// TestRoles runs one process with SQL and two edges without: what one changes the
// others say, and what they cannot know they do not guess.
func TestRoles(t *testing.T) {
	r := newRoles(t)
	brand := r.post("/api/v1/brands", map[string]any{"name": "云岭酒业"})["brand_id"]
	product := r.post("/api/v1/products", map[string]any{"brand_id": brand, "name": "云岭原浆", "gtin": "09506000134352"})["product_id"]
	early := r.issued("early", product) // comes with the snapshot
	edges := []*harness.Server{r.startEdge("edge-1"), r.startEdge("edge-2")}
	late := r.issued("late", product) // comes with the feed
	for _, e := range edges {
		for _, code := range []string{early[0], late[0]} {
			r.until(e, code, "authentic_again")
			if v := r.scan(e, code); v.Valid == nil || !*v.Valid || v.Partial || v.Product.Name != "云岭原浆" {
				t.Errorf("%s says %+v", e.URL, v)
			}
		}
		r.onlyScans(e, late[0])
	}
	r.settings(edges, brand, late[0])
	r.links(edges, brand)
	r.measure(edges, late[1:])
	r.cutOff(edges, early, late)
}

const linkedPath = "/01/09506000134352"

// links gives a product links, which every edge resolves without SQL.
func (r *roles) links(edges []*harness.Server, brand any) {
	r.t.Helper()
	policy := fmt.Sprintf("/api/v1/brands/%v/link-policy", brand)
	if err := r.issue.Must(r.t.Context(), http.MethodPut, policy, map[string]any{"hosts": []string{"brand.example"}}, nil); err != nil {
		r.t.Fatal(err)
	}
	page := map[string]any{"link_type": "gs1:pip", "href": "https://brand.example/rice", "title": "Rice"}
	first := map[string]any{"link_type": "gs1:defaultLink", "href": "https://brand.example/rice", "title": "Rice"}
	err := r.issue.Must(r.t.Context(), http.MethodPut, "/api/v1/links", map[string]any{"brand_id": brand, "anchor": linkedPath, "links": []any{first, page}}, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range edges {
		start := time.Now()
		for r.leads(e) != "https://brand.example/rice" {
			if time.Since(start) > 30*time.Second {
				r.t.Fatalf("%s does not hear of links\n%s", e.URL, e.Log())
			}
		}
	}
}

// leads is where an edge says that the product's link leads.
func (r *roles) leads(e *harness.Server) string {
	r.t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Get(e.URL + linkedPath)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		r.t.Fatal(err)
	}
	return resp.Header.Get("Location")
}

// onlyScans: an edge answers what marks link to, and nothing of operators.
func (r *roles) onlyScans(e *harness.Server, code string) {
	r.t.Helper()
	for path, want := range map[string]int{
		"/" + code: 200, "/api/v1/codes/" + code + "/qr.svg": 200, "/livez": 200, "/readyz": 200, "/metrics": 200, "/": 200,
		"/000000000000000000": 404, "/api/v1/brands": 404, "/api/v1/batches": 404, "/api/v1/codes/" + code: 404, "/api/v1/trace/" + code: 404,
		"/api/v1/events": 404, "/signin/x": 404, "/demo": 404,
	} {
		if status, body := r.get(e, path); status != want {
			r.t.Errorf("GET %s of an edge answers %d, want %d: %.200s", path, status, want, body)
		}
	}
}

// settings of a brand are in force at every edge soon after its answer.
func (r *roles) settings(edges []*harness.Server, brand any, code string) {
	r.t.Helper()
	path := fmt.Sprint("/api/v1/brands/", brand, "/settings")
	if err := r.issue.Must(r.t.Context(), http.MethodPatch, path, map[string]any{"limits": map[string]any{"misses_per_hour": 3}}, nil); err != nil {
		r.t.Fatal(err)
	}
	metric := fmt.Sprintf(`chopmark_brand_settings_version{brand_id="%v"}`, brand)
	for start := time.Now(); ; {
		behind := 0
		for _, e := range edges {
			if version, err := e.Metric(r.t.Context(), metric); err != nil || version != 1 {
				behind++
			}
		}
		if behind == 0 {
			r.t.Logf("settings of a brand are in force at %d edges %v after the answer", len(edges), time.Since(start))
			break
		}
		if time.Since(start) > 30*time.Second {
			r.t.Fatalf("%d edges do not have the settings", behind)
		}
	}
	r.limited(edges[1], code)
}

// limited: a stranger who names the brand and is wrong has as many misses as it chose,
// whether he names it by a code or by a GTIN, which an edge knows without SQL.
func (r *roles) limited(e *harness.Server, code string) {
	r.t.Helper()
	ask := func(from, path string) int {
		q, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, e.URL+path, http.NoBody)
		if err != nil {
			r.t.Fatal(err)
		}
		q.Header.Set("X-Forwarded-For", from)
		resp, err := http.DefaultClient.Do(q)
		if err != nil {
			r.t.Fatal(err)
		}
		_ = resp.Body.Close() // the status is all that is looked at
		return resp.StatusCode
	}
	for i, want := range []int{200, 404, 404, 429} {
		path := "/api/v1/codes/" + code + "/verify"
		if want == http.StatusNotFound {
			path += "?token=0000000000000000AB"
		}
		if got := ask("203.0.113.7", path); got != want {
			r.t.Errorf("request %d: the edge answers a stranger %d, want %d", i, got, want)
		}
	}
	for i, want := range []int{200, 200, 200, 429} {
		path := "/api/v1/codes/" + code + "/verify"
		if i == 1 || i == 2 {
			path = "/gs1/verify" + linkedPath + "/21/000000000000000000"
		}
		if got := ask("203.0.113.8", path); got != want {
			r.t.Errorf("request %d with a GTIN: the edge answers a stranger %d, want %d", i, got, want)
		}
	}
}

// measure recalls one item after another and looks when the edges say so.
func (r *roles) measure(edges []*harness.Server, codes []string) {
	r.t.Helper()
	const changes = 100
	took := r.visible(edges, codes[:changes])
	r.t.Logf("from asking for a change to the last of %d edges that says so, %d changes: p50 %v, p99 %v, worst %v",
		len(edges), changes, took[changes/2], took[changes*99/100-1], took[changes-1])
	if p99 := took[changes*99/100-1]; p99 > 5*time.Second {
		r.t.Errorf("p99 is %v", p99)
	}
}

// visible recalls each code and waits until every edge says so. It gives how long that
// took, from asking for the change on, the shortest first.
func (r *roles) visible(edges []*harness.Server, codes []string) []time.Duration {
	r.t.Helper()
	took := make([]time.Duration, len(codes))
	for i, code := range codes {
		start := time.Now()
		r.state("recalled", code)
		for _, e := range edges {
			r.until(e, code, "recalled")
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took
}

// cutOff kills the process with SQL and brings it back.
func (r *roles) cutOff(edges []*harness.Server, early, late []string) {
	r.t.Helper()
	recalled, good := late[1], early[1]
	r.issue.Kill()
	for _, e := range edges {
		r.until(e, good, "unconfirmed")
	}
	edges[1].Kill()
	edges[1] = r.startEdge("edge-2") // with nobody to ask
	for _, e := range edges {
		v := r.scan(e, good)
		if v.Status != http.StatusOK || v.Valid != nil || v.Verdict != "unconfirmed" || !v.Partial || v.AsOf == nil || v.Product.Name != "云岭原浆" || v.Count == 0 {
			r.t.Errorf("cut off, %s says %+v", e.URL, v)
		}
		if v := r.scan(e, recalled); v.Status != http.StatusGone || v.Valid == nil || *v.Valid || v.Verdict != "recalled" || !v.Partial {
			r.t.Errorf("cut off, %s says of what was recalled %+v", e.URL, v)
		}
		if status, body := r.get(e, "/"+good); status != http.StatusOK || !strings.Contains(body, "暂时无法确认") || !strings.Contains(body, "以后的最新状态") || strings.Contains(body, "正品") {
			r.t.Errorf("cut off, the page of %s answers %d: %.300s", e.URL, status, body)
		}
		r.rpc(e, good, false, "unconfirmed")
		if to := r.leads(e); to != "https://brand.example/rice" {
			r.t.Errorf("cut off, a link of %s leads to %q", e.URL, to)
		}
	}
	before := r.scan(edges[0], good).Count
	r.startIssue(r.join)
	for _, e := range edges {
		r.until(e, good, "authentic_again")
		r.rpc(e, good, true, "")
	}
	if v := r.scan(edges[0], good); v.Count <= before || v.Partial || v.Valid == nil || !*v.Valid {
		r.t.Errorf("joined again, %s says %+v, counted before: %d", edges[0].URL, v, before)
	}
	r.state("void", good)
	for _, e := range edges {
		r.until(e, good, "void")
		if err := e.Stop(); err != nil {
			r.t.Error(err)
		}
	}
}

// rpc asks an edge by gRPC.
func (r *roles) rpc(e *harness.Server, code string, valid bool, word string) {
	r.t.Helper()
	conn, err := grpc.NewClient(e.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	a, err := codepb.NewCodeServiceClient(conn).VerifyCode(ctx, &codepb.VerifyCodeRequest{Code: code})
	if a.GetValid() != valid || a.GetErrorMessage() != word || err != nil {
		r.t.Errorf("VerifyCode of %s: %v, %v", e.URL, a, err)
	}
}

// TestRoleRefusals: a process that could not work ends at its start and says why.
func TestRoleRefusals(t *testing.T) {
	r := newRoles(t)
	cert := func(name string) []string {
		at := filepath.Join(r.certs, name)
		return []string{"--role-cert", at + ".pem", "--role-key", at + "-key.pem", "--role-ca", filepath.Join(r.certs, "ca.pem")}
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"not built":          {[]string{"--target", "edge,trade"}, 2, "not built yet"},
		"no role":            {[]string{"--target", "oracle"}, 2, "is no role"},
		"nobody to join":     {[]string{"--target", "edge"}, 2, "join"},
		"no certificate":     {[]string{"--target", "edge", "--join", "https://" + r.join}, 2, "keys role-cert"},
		"join with SQL":      {append(cert("all-1"), "--join", "https://"+r.join), 2, "is for an edge alone"},
		"another's role":     {append(cert("edge-1"), "--role-listen", "127.0.0.1:0"), 2, "names the roles [edge]"},
		"a bad address":      {append(cert("edge-1"), "--target", "edge", "--join", r.join), 2, "must be https://"},
		"stale at once":      {append(cert("all-1"), "--stale-after", "1ms"), 2, "at least 1s"},
		"an edge that lists": {append(cert("edge-1"), "--target", "edge", "--join", "https://"+r.join, "--role-listen", "127.0.0.1:0"), 2, "needs a process with SQL"},
		"a worker alone":     {[]string{"--target", "worker"}, 2, "--sql"},
		"issue alone":        {[]string{"--target", "edge,issue"}, 2, "--sql"},
		"demo of an edge":    {append(cert("edge-1"), "--target", "edge", "--join", "https://"+r.join, "--demo"), 2, "role issue"},
	} {
		cmd := exec.CommandContext(t.Context(), r.bin, append([]string{"serve", "--data", t.TempDir(), "--listen", "127.0.0.1:0", "--grpc-listen", ""}, c.args...)...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != c.code || !strings.Contains(string(out), c.says) {
			t.Errorf("%s: %v, want exit %d and %q:\n%s", name, err, c.code, c.says, out)
		}
	}
	sealed := filepath.Join(r.dir, "edge-1", "edge-keys.sealed")
	r.startEdge("edge-1")
	if st, err := os.Stat(sealed); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("sealed keys: %v, %v", st, err)
	}
}
