package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// attacks are what strangers send where a value is due: a class and its text. A page that
// shows one of the markers as a tag or an attribute has been broken into.
var attacks = []struct{ class, text string }{
	{"sql", `' OR '1'='1`}, {"sql", `1;DROP TABLE brands--`}, {"sql", `" UNION SELECT token FROM sessions--`}, {"sql", `1) OR SLEEP(9)#`},
	{"xss", `<xss-marker>`}, {"xss", `"><xss-marker onxss=1>`}, {"xss", `' onxss='1`}, {"xss", `</script><xss-marker>`}, {"xss", `javascript:alert(1)`},
	{"xss", `<svg/onload=alert(1)><xss-marker>`}, {"template", `{{.}}${7*7}#{7*7}<%= 7*7 %>`},
	{"traversal", `../../../../etc/passwd`}, {"traversal", `..%2f..%2f..%2fetc%2fpasswd`}, {"traversal", `..\..\windows\win.ini`}, {"traversal", `/etc/passwd`},
	{"traversal", `file:///etc/passwd`}, {"code", "$(id)"}, {"code", "`id`"}, {"code", `;id|id&id`}, {"code", `%s%n%x%d`},
	{"header", "a\r\nX-Injected: 1"}, {"header", "a\nSet-Cookie: injected=1"}, {"log", "a\n{\"level\":\"ERROR\",\"message\":\"INJECTED\"}"},
	{"text", "a\x00b"}, {"text", "\xff\xfe\xc0\xaf"}, {"text", "１２３４５６７８９０１２３４５６７８"}, {"text", "١٢٣٤٥٦٧٨٩٠١٢٣٤٥٦٧٨"}, {"text", "\u202e\u0000\u200b"},
	{"text", `%2500%250a%252e%252e`}, {"text", strings.Repeat("9", 5000)}, {"text", strings.Repeat("%41", 1500)},
	{"gs1", `01/09506000134352/21/1/21/2`}, {"gs1", `09506000134353`}, {"gs1", `9506000134352`}, {"gs1", `01/09506000134352/10/%00`}, {"gs1", `99999999999999999999`},
	{"number", `-1`}, {"number", `9223372036854775808`}, {"number", `1e309`}, {"number", `NaN`}, {"json", `{"$gt":""}`}, {"ldap", `*)(uid=*))(|(uid=*`},
}

// served is a running installation, what it logs, and the routes that ask for nothing.
type served struct {
	addr   string
	log    *lockedBuffer
	public []string
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) Lines() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(l.b.String()), "\n")
}

func serveTest(t *testing.T) served {
	t.Helper()
	log := &lockedBuffer{}
	c := testConfig(filepath.Join(t.TempDir(), "data"))
	c.Listen, c.AdminKey = "127.0.0.1:0", matrixAdminKey
	a, err := Open(t.Context(), c, slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	started, ended := make(chan Addresses, 1), make(chan error, 1)
	go func() { ended <- a.Serve(ctx, func(at Addresses) { started <- at }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	})
	s := served{log: log}
	select {
	case at := <-started:
		s.addr = at.HTTP
	case err := <-ended:
		ended <- err
		t.Fatal(err)
	}
	rt := a.routes(ctx, &atomic.Bool{}, a.authenticator())
	needs := rt.Needs()
	for _, route := range rt.Routes() {
		if _, asks := needs[route]; !asks && !strings.HasPrefix(route, "HEAD ") && !strings.HasPrefix(route, "OPTIONS ") {
			s.public = append(s.public, route)
		}
	}
	// What is found by its look, or takes all methods, is on no list.
	for _, path := range []string{
		"/{code}", "/{code}/{token}", "/api/v1/codes/{code}/verify", "/01/{gtin}", "/01/{gtin}/21/{code}", "/01/{gtin}/10/{lot}/21/{code}",
		"/00/{sscc}", "/414/{gln}/254/{place}", "/8004/{giai}", "/gs1/verify/{link}", "/{any}/{any}/{any}", "/",
	} {
		s.public = append(s.public, "GET "+path)
	}
	s.public = append(s.public, "POST /{code}", "DELETE /{code}/{token}", "PUT /01/{gtin}/21/{code}")
	return s
}

// raw is a request as bytes: net/http would mend what is sent here on purpose.
type raw struct {
	route, class       string
	method, target     string
	header, body, kind string
}

func (r *raw) bytes() []byte {
	var b bytes.Buffer
	_, _ = fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: attack.example\r\n", r.method, r.target)
	if r.header != "" {
		b.WriteString(r.header + "\r\n")
	}
	if r.method == http.MethodGet {
		b.WriteString("\r\n")
	} else {
		_, _ = fmt.Fprintf(&b, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", r.kind, len(r.body), r.body)
	}
	return b.Bytes()
}

// requests are one attack at every place of a route: each parameter of its path as it is
// and escaped, its query, the headers that are read, its body.
func requests(route, class, text string, bodies []string) []raw {
	method, path, _ := strings.Cut(route, " ")
	path = strings.TrimSuffix(strings.ReplaceAll(path, "...}", "}"), "{$}")
	plain := anyParam.ReplaceAllString(path, "000000000000000000")
	r := raw{route: route, class: class, method: method, target: plain, kind: "application/json", body: "{}"}
	var all []raw
	at := func(change func(r *raw)) {
		r := r
		change(&r)
		all = append(all, r)
	}
	line := strings.NewReplacer("\r", "%0d", "\n", "%0a", " ", "%20", "\x00", "%00").Replace(text) // else it is two lines of HTTP, and no attack on the route
	for _, hole := range anyParam.FindAllString(path, -1) {
		for _, form := range []string{line, url.PathEscape(text)} {
			at(func(r *raw) {
				r.target = anyParam.ReplaceAllString(strings.Replace(path, hole, strings.ReplaceAll(form, "{", "%7B"), 1), "000000000000000000")
			})
		}
	}
	for _, name := range []string{"token", "version", "inner", "tz", "size", "linkType", "lang", "kind", "subject", "code", "state", "next", "n"} {
		at(func(r *raw) { r.target = plain + "?" + name + "=" + url.QueryEscape(text) })
	}
	at(func(r *raw) { r.target = plain + "?" + line })
	value := strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
	for _, name := range []string{"User-Agent", "Accept", "Accept-Language", "X-Request-ID", "Time-Zone", "Cookie", "Authorization", "X-Proof", "If-None-Match", "Range", "traceparent"} {
		at(func(r *raw) { r.header = name + ": " + value })
	}
	if method == http.MethodGet {
		return all
	}
	quoted, _ := json.Marshal(text)
	for _, field := range bodies {
		at(func(r *raw) { r.body = fmt.Sprintf(`{%q:%s}`, field, quoted) })
	}
	at(func(r *raw) { r.body = text })
	at(func(r *raw) {
		r.kind, r.body = "application/x-www-form-urlencoded", "grant_type="+url.QueryEscape(text)
	})
	at(func(r *raw) { r.kind = value })
	return all
}

// connection sends requests one after another, and dials again when the other side closed.
type connection struct {
	addr string
	conn net.Conn
	in   *bufio.Reader
}

func (c *connection) close() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
	}
}

func (c *connection) do(r *raw) (*http.Response, []byte, error) {
	if c.conn == nil {
		conn, err := net.Dial("tcp", c.addr)
		if err != nil {
			return nil, nil, err
		}
		c.conn, c.in = conn, bufio.NewReader(conn)
	}
	_ = c.conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := c.conn.Write(r.bytes()); err != nil {
		return nil, nil, err
	}
	resp, err := http.ReadResponse(c.in, &http.Request{Method: r.method})
	if err != nil {
		return nil, nil, err
	}
	body, err := io.ReadAll(resp.Body)
	if resp.Close || err != nil {
		c.close()
	}
	return resp, body, err
}

// broken says how an answer shows that an attack worked; "" when it does not.
func broken(resp *http.Response, body []byte) string {
	switch {
	case resp.StatusCode >= 500 && resp.StatusCode != http.StatusServiceUnavailable:
		return "a status of " + resp.Status
	case resp.Header.Get("X-Injected") != "" || strings.Contains(resp.Header.Get("Set-Cookie"), "injected"):
		return "a header of the attacker's"
	case bytes.Contains(body, []byte("root:x:0:")):
		return "a file of the machine"
	case bytes.Contains(body, []byte("syntax error")), bytes.Contains(body, []byte("SQLITE")), bytes.Contains(body, []byte("goroutine ")):
		return "words of the engine"
	case bytes.Contains(body, []byte("uid=0(")):
		return "the output of a command"
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		if len(body) > 0 && string(body) != resp.Status && resp.Header.Get("X-Content-Type-Options") != "nosniff" && !sure(resp.Header.Get("Content-Type")) {
			return "a type that a browser may guess otherwise"
		}
		return ""
	}
	if resp.StatusCode/100 == 3 { // nobody sees it
		return brokenPage(body)
	}
	csp := resp.Header.Get("Content-Security-Policy")
	if csp == "" || strings.Contains(csp, "unsafe-inline") || !strings.Contains(csp, "default-src 'none'") && !strings.Contains(csp, "default-src 'self'") {
		return "a page under the policy " + csp
	}
	return brokenPage(body)
}

// sure are types that no browser sniffs: verdicts go without the header, for their size.
func sure(contentType string) bool {
	kind, _, _ := strings.Cut(contentType, ";")
	return kind == "application/json" || strings.HasSuffix(kind, "+json")
}

func brokenPage(body []byte) string {
	for z := html.NewTokenizer(bytes.NewReader(body)); ; {
		if z.Next() == html.ErrorToken {
			return ""
		}
		token := z.Token()
		if token.Type == html.StartTagToken && token.Data == "xss-marker" {
			return "a tag of the attacker's"
		}
		for _, a := range token.Attr {
			if a.Key == "onxss" || a.Key == "onload" || strings.HasPrefix(a.Val, "javascript:") && (a.Key == "href" || a.Key == "src" || a.Key == "action") {
				return "an attribute of the attacker's"
			}
		}
	}
}

// TestBroken: the judge of TestAttacks finds what it looks for.
func TestBroken(t *testing.T) {
	t.Parallel()
	const csp = "default-src 'none'; style-src 'sha256-x'"
	cases := []struct {
		name, contentType, csp, body string
		status                       int
		bad                          bool
	}{
		{"a page", "text/html; charset=utf-8", csp, `<p title="&quot;&gt;&lt;xss-marker onxss=1&gt;">&lt;xss-marker&gt;</p>`, 200, false},
		{"a verdict", "application/json", "", `{"message":"<xss-marker>"}`, 404, false},
		{"a failure", "application/json", "", `{}`, 500, true},
		{"overload", "application/json", "", `{}`, 503, false},
		{"a tag", "text/html", csp, `<p><xss-marker>`, 200, true},
		{"an attribute", "text/html", csp, `<p title="a" onxss='1'>`, 200, true},
		{"a link", "text/html", csp, `<a href="javascript:alert(1)">`, 200, true},
		{"no policy", "text/html", "", `<p>`, 200, true},
		{"a weak policy", "text/html", "default-src 'self' 'unsafe-inline'", `<p>`, 200, true},
		{"a guess", "text/plain", "", `<p>`, 200, true},
		{"a file", "application/json", "", "root:x:0:0:root", 200, true},
		{"an engine", "application/json", "", `{"message":"near \"x\": syntax error"}`, 400, true},
	}
	for _, c := range cases {
		resp := &http.Response{StatusCode: c.status, Header: http.Header{"Content-Type": {c.contentType}}}
		if c.csp != "" {
			resp.Header.Set("Content-Security-Policy", c.csp)
		}
		if how := broken(resp, []byte(c.body)); (how != "") != c.bad {
			t.Errorf("%s: %q", c.name, how)
		}
	}
}

// TestAttacks sends every attack to every place of every route that asks for no key, over
// a connection of its own making: no answer is a failure, shows what it must not, or has
// the attacker's words as markup; the log stays lines of JSON; and the program still answers.
func TestAttacks(t *testing.T) {
	t.Parallel()
	s := serveTest(t)
	fields := []string{"login", "password", "token", "code", "ticket", "credential", "name", "text", "place", "client_id", "grant_type", "client_type", "device"}
	if len(s.public) < 20 {
		t.Fatalf("only %d public routes: %q", len(s.public), s.public)
	}
	var sent, refused atomic.Int64
	var wg sync.WaitGroup
	next := make(chan raw)
	for range 8 {
		wg.Go(func() {
			c := connection{addr: s.addr}
			defer c.close()
			for r := range next {
				resp, body, err := c.do(&r)
				if err != nil { // cut off: the server's right where a request is no HTTP, and it must still be there
					c.close()
					refused.Add(1)
					continue
				}
				sent.Add(1)
				if how := broken(resp, body); how != "" {
					t.Errorf("%s, %s: %s\n%s %.300s\n%.100s\n→ %d %.500s", r.route, r.class, how, r.method, r.target, r.header+r.body, resp.StatusCode, body)
				}
			}
		})
	}
	for _, route := range s.public {
		if strings.HasSuffix(route, " /metrics") || strings.HasSuffix(route, " /api/v1/openapi.json") { // read nothing, answer much
			continue
		}
		for _, a := range attacks {
			for _, r := range requests(route, a.class, a.text, fields) {
				next <- r
			}
		}
	}
	close(next)
	wg.Wait()
	t.Logf("%d routes, %d answered, %d cut off", len(s.public), sent.Load(), refused.Load())
	if refused.Load()*10 > sent.Load() {
		t.Errorf("%d of %d requests were cut off: the attacks do not reach the routes", refused.Load(), sent.Load())
	}
	for _, line := range s.log.Lines() {
		if !json.Valid([]byte(line)) || strings.HasPrefix(line, `{"level":"ERROR","message":"INJECTED"`) {
			t.Fatalf("a line of the log is the attacker's: %q", line)
		}
	}
	resp, _, err := (&connection{addr: s.addr}).do(&raw{method: http.MethodGet, target: "/readyz"})
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("not ready after the attacks: %v %v", resp, err)
	}
}
