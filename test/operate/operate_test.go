// Package operate holds what operators use, deploy/ and the runbooks, to the real
// program and to the tools that will read it: promtool, systemd-analyze, nginx, bash.
package operate

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const deploy = "../../deploy"

// tool gives the path of a program; without it CI fails and a laptop is told.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name // not in everybody's PATH
		if _, err = os.Stat(path); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: test/setup/apt.sh installs it", name)
			}
			t.Skipf("%s is missing: test/setup/apt.sh names its package", name)
		}
	}
	return path
}

// promtool runs in deploy/prometheus.
func promtool(t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	cmd.Dir = filepath.Join(deploy, "prometheus")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// TestUnit lets systemd read its unit, and holds its limits to the program's.
func TestUnit(t *testing.T) {
	t.Parallel()
	unit := read(t, deploy, "systemd", "chopmark.service")
	for _, has := range []string{"DynamicUser=yes", "StateDirectory=chopmark", "NoNewPrivileges=yes", "ProtectSystem=strict", "KillSignal=SIGTERM", "TimeoutStopSec=45", "LimitNOFILE=102000"} {
		if !strings.Contains(unit, "\n"+has+"\n") {
			t.Errorf("the unit lacks %s", has)
		}
	}
	verify := func(text string) (string, error) {
		path := filepath.Join(t.TempDir(), "chopmark.service")
		if err := os.WriteFile(path, []byte(strings.Replace(text, "/usr/local/bin/chopmark", "/bin/true", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), tool(t, "systemd-analyze"), "verify", "--man=no", path).CombinedOutput()
		return string(out), err
	}
	if out, err := verify(unit); err != nil || out != "" {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
	if out, _ := verify(strings.Replace(unit, "ProtectHome=yes", "ProtectHouse=yes", 1)); !strings.Contains(out, "ProtectHouse") {
		t.Errorf("a setting that does not exist was accepted: %s", out)
	}
}

// TestGateway lets nginx read its example.
func TestGateway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert := exec.CommandContext(t.Context(), "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-subj", "/CN=c.example.com", "-days", "1", "-keyout", filepath.Join(dir, "tls.key"), "-out", filepath.Join(dir, "tls.crt"))
	if out, err := cert.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	text := strings.NewReplacer("/etc/nginx/tls", filepath.Join(dir, "tls"), "issue-0:", "127.0.0.1:1", "issue-1:", "127.0.0.1:2",
		"edge-0:", "127.0.0.1:3", "edge-1:", "127.0.0.1:4", "listen 443", "listen 127.0.0.1:8443").Replace(read(t, deploy, "gateway", "nginx.conf"))
	check := func(text string) (string, error) {
		path := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(path, []byte("pid "+dir+"/pid;\nerror_log stderr;\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.CommandContext(t.Context(), tool(t, "nginx"), "-t", "-p", dir, "-c", path).CombinedOutput()
		return string(out), err
	}
	if out, err := check(text); err != nil {
		t.Errorf("nginx -t: %v\n%s", err, out)
	}
	if out, err := check(strings.Replace(text, "least_conn", "most_conn", 1)); err == nil {
		t.Errorf("a setting that does not exist was accepted: %s", out)
	}
}
