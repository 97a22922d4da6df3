package operate

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestRecoverLeavesTheHealthyAlone(t *testing.T) {
	t.Parallel()
	out, code, dir := script(t, "true", true)
	if code != 0 || restarts(t, dir) != 0 {
		t.Errorf("exit %d after %d restarts: %s", code, restarts(t, dir), out)
	}
}

// TestRecoverOnTheSecondTry: diagnostics come before each restart, and no more of
// either once it helped.
func TestRecoverOnTheSecondTry(t *testing.T) {
	t.Parallel()
	out, code, dir := script(t, `[ "$(wc -l < $(dirname $UP)/restarts)" -lt 2 ] || touch $UP`, false)
	if code != 0 || restarts(t, dir) != 2 || !strings.Contains(out, "healthy again") {
		t.Errorf("exit %d after %d restarts: %s", code, restarts(t, dir), out)
	}
	kept, err := filepath.Glob(filepath.Join(dir, "kept", "*-[12]"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept %v, %v", kept, err)
	}
	for _, name := range []string{"processes", "sockets", "health"} {
		if st, err := os.Stat(filepath.Join(kept[0], name)); err != nil || st.Size() == 0 {
			t.Errorf("no %s among the diagnostics: %v", name, err)
		}
	}
}

// TestRecoverTellsWhenNothingHelps: three tries, then the webhook.
func TestRecoverTellsWhenNothingHelps(t *testing.T) {
	t.Parallel()
	told := make(chan string, 9)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alert struct {
			Text string `json:"text"`
		}
		if err := json.NewDecoder(r.Body).Decode(&alert); err != nil {
			t.Error(err)
		}
		told <- alert.Text
	}))
	defer hook.Close()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(deploy, "recover.sh"))
	cmd.Env = append(os.Environ(), "RECOVER_URL=file://"+filepath.Join(dir, "never"), "RECOVER_DIR="+filepath.Join(dir, "kept"),
		"RECOVER_RESTART=echo restart >> "+dir+"/restarts; false", "RECOVER_PAUSE=0", "RECOVER_SETTLE=0", "ALERT_WEBHOOK_URL="+hook.URL+"/secret-token")
	var said bytes.Buffer
	cmd.Stderr = &said
	_ = cmd.Run() // the exit code says it all
	if code := cmd.ProcessState.ExitCode(); code != 1 || restarts(t, dir) != 3 {
		t.Errorf("exit %d after %d restarts: %s", code, restarts(t, dir), &said)
	}
	if len(told) != 1 || !strings.Contains(<-told, "not healthy after 3 restarts") {
		t.Error("the webhook was not told once")
	}
	if strings.Contains(said.String(), "secret-token") {
		t.Errorf("the log has the webhook's token: %s", &said)
	}
}

// script runs deploy/recover.sh against a server that is a file: healthy when it is there.
func script(t *testing.T, restart string, healthy bool) (out string, code int, dir string) {
	t.Helper()
	dir = t.TempDir()
	up := filepath.Join(dir, "up")
	if healthy {
		if err := os.WriteFile(up, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "bash", filepath.Join(deploy, "recover.sh"))
	cmd.Env = append(os.Environ(), "RECOVER_URL=file://"+up, "RECOVER_DIR="+filepath.Join(dir, "kept"), "UP="+up,
		"RECOVER_RESTART=echo restart >> "+dir+"/restarts; "+restart, "RECOVER_PAUSE=0", "RECOVER_SETTLE=0")
	var said bytes.Buffer
	cmd.Stderr = &said
	_ = cmd.Run() // the exit code says it all
	return said.String(), cmd.ProcessState.ExitCode(), dir
}

func restarts(t *testing.T, dir string) int {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "restarts"))
	if os.IsNotExist(err) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(raw, []byte("\n"))
}
