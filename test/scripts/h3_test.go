package scripts

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/test/harness"
)

// TestIndependentHTTP3 visits the real program with ngtcp2's client, which shares no code
// with it: once, and again with the session and the parameters that it was given. The second
// visit goes in early data, which is taken. Debian's client cannot read back the token that
// proves its address, so the request waits for its handshake, and is counted.
func TestIndependentHTTP3(t *testing.T) {
	t.Parallel()
	client, err := exec.LookPath("gtlsclient")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("gtlsclient is missing: apt-get install ngtcp2-client")
		}
		t.Skip("gtlsclient is missing (Debian: ngtcp2-client): HTTP/3 is not held to another client")
	}
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	s, err := harness.Start(t.Context(), bin, t.TempDir(), "--tls-listen", "127.0.0.1:0", "--tls-self-signed")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	code := activeCode(t, s)
	host, port, err := net.SplitHostPort(s.TLS)
	if err != nil {
		t.Fatal(err)
	}
	kept := t.TempDir()
	visit := func() string {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, client, "--exit-on-all-streams-close", "--sni=localhost",
			"--session-file="+filepath.Join(kept, "session"), "--tp-file="+filepath.Join(kept, "tp"),
			host, port, fmt.Sprintf("https://localhost:%s/api/v1/codes/%s/verify", port, code)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	if first := visit(); !strings.Contains(printed(first), `"counted":true`) || !strings.Contains(printed(first), "scanned.first") {
		t.Fatalf("the first visit:\n%s", first)
	}
	again := visit()
	if !strings.Contains(printed(again), `"counted":true`) || !strings.Contains(printed(again), `"scan_count":2,`) {
		t.Fatalf("the return visit:\n%s", again)
	}
	if !strings.Contains(again, "0RTT STREAM") || strings.Contains(again, "rejected") {
		t.Fatalf("the return visit did not go in early data:\n%s", again)
	}

	// The same port over TCP says that there is HTTP/3.
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, "https://"+s.TLS+"/"+code, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if got, want := resp.Header.Get("Alt-Svc"), `h3=":`+port+`"; ma=86400`; got != want {
		t.Errorf("Alt-Svc %q, want %q", got, want)
	}
}

// printed is what a client wrote as text: its dumps of bytes are "hex  |text|" lines of 16.
func printed(out string) string {
	var b strings.Builder
	for line := range strings.Lines(out) {
		if _, text, ok := strings.Cut(line, "|"); ok {
			b.WriteString(strings.TrimSuffix(strings.TrimRight(text, "\n"), "|"))
			continue
		}
		b.WriteString(line)
	}
	return b.String()
}

// activeCode issues one code that is good to sell.
func activeCode(t *testing.T, s *harness.Server) string {
	t.Helper()
	must := func(path string, body map[string]any, into any) {
		t.Helper()
		if err := s.Must(t.Context(), http.MethodPost, path, body, into); err != nil {
			t.Fatal(err)
		}
	}
	var brand, product struct {
		Brand   int32 `json:"brand_id"`
		Product int32 `json:"product_id"`
	}
	var batch struct {
		ID string `json:"batch_id"`
	}
	var claim struct {
		Codes []string `json:"codes"`
	}
	must("/api/v1/brands", map[string]any{"name": "b"}, &brand)
	must("/api/v1/products", map[string]any{"brand_id": brand.Brand, "name": "p"}, &product)
	must("/api/v1/batches", map[string]any{"product_id": product.Product, "batch_no": "1", "quantity": 10, "rotate_every": "off"}, &batch)
	must("/api/v1/codes/state", map[string]any{"select": map[string]any{"batch_id": batch.ID}, "to": "active", "reason": "packed"}, nil)
	must("/api/v1/batches/"+batch.ID+"/claims", map[string]any{"quantity": 1, "claimant": "t"}, &claim)
	return claim.Codes[0]
}
