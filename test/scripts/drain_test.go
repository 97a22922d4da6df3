package scripts

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/test/harness"
)

// TestDrain holds SIGTERM to its promise: a request that the server has begun to
// read is answered, and what it did is there, before the process ends with 0.
func TestDrain(t *testing.T) {
	bin, err := harness.Build(t.Context(), t.TempDir(), "github.com/chopmark/chopmark/cmd/chopmark")
	if err != nil {
		t.Fatal(err)
	}
	data := t.TempDir()
	s, err := harness.Start(t.Context(), bin, data)
	if err != nil {
		t.Fatal(err)
	}
	var d net.Dialer
	conn, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"name":"drained"}`
	_, err = fmt.Fprintf(conn, "POST /api/v1/brands HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\n"+
		"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n", harness.AdminKey, len(body))
	if err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(conn)
	if line, err := in.ReadString('\n'); err != nil || !strings.Contains(line, "100 Continue") {
		t.Fatalf("the handler did not ask for the body: %q, %v", line, err) // now it is being read
	}
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }() // sends SIGTERM and waits; read below
	for {                               // the listener closes first: from then on the process is draining
		probe, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			break
		}
		_ = probe.Close() // only to see whether it opens
	}
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	if _, err := in.ReadString('\n'); err != nil { // the empty line after 100 Continue
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatalf("the request was cut off: %v", err)
	}
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK || !strings.Contains(string(answer), "brand_id") {
		t.Errorf("the draining server answered %d %s, %v", resp.StatusCode, answer, err)
	}
	if err := <-stopped; err != nil {
		t.Errorf("the server ended badly: %v", err)
	}
	if s, err = harness.Start(t.Context(), bin, data); err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	var list struct {
		Brands []struct {
			Name string `json:"name"`
		} `json:"brands"`
	}
	if err := s.Must(t.Context(), http.MethodGet, "/api/v1/brands", nil, &list); err != nil || len(list.Brands) != 1 {
		t.Errorf("after the restart the brands are %v, %v", list.Brands, err)
	}
}
