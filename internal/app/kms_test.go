package app

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chopmark/chopmark/internal/platform/kms"
)

// transit speaks the part of Vault's Transit that is asked for, as its documentation has it.
func transit(t *testing.T) (url string, down *atomic.Bool) {
	t.Helper()
	down = &atomic.Bool{}
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data := map[string]string{"plaintext": key}
		switch {
		case down.Load() || r.Header.Get("X-Vault-Token") != "the-token":
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case strings.HasPrefix(r.URL.Path, "/v1/transit/datakey/plaintext/"):
			data["ciphertext"] = "vault:v1:sealed"
		case !strings.HasPrefix(r.URL.Path, "/v1/transit/decrypt/"):
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
	}))
	t.Cleanup(s.Close)
	return s.URL + "/transit/chopmark", down
}

// TestKMS: persons that were sealed before there was a server are read on; what it wraps is
// not read without it, and no process starts as if it did not matter.
func TestKMS(t *testing.T) {
	t.Parallel()
	url, down := transit(t)
	data := filepath.Join(t.TempDir(), "data")
	open := func(k KMSConfig) (*App, error) {
		c := testConfig(data)
		c.KMS = k
		return Open(t.Context(), c, slog.New(slog.DiscardHandler))
	}
	with := KMSConfig{URL: url, Token: "the-token"}
	use := func(k KMSConfig, fn func(d *desk)) {
		t.Helper()
		a, err := open(k)
		if err != nil {
			t.Fatal(err)
		}
		a.AdminKey = matrixAdminKey
		if _, err := a.bootstrap(t.Context()); err != nil {
			t.Fatal(err)
		}
		ready := &atomic.Bool{}
		ready.Store(true)
		fn(&desk{t, a, a.routes(t.Context(), ready, a.authenticator())})
		if err := a.Close(); err != nil {
			t.Fatal(err)
		}
	}
	made := map[string]string{}
	invite := func(d *desk, login string) {
		made[login] = fmt.Sprint(d.must("POST", "/api/v1/users", matrixAdminKey, fmt.Sprintf(`{"login":%q,"name":"Name of %s","role":"auditor"}`, login, login))["user_id"])
	}
	read := func(d *desk, login string) {
		t.Helper()
		if out := d.must("GET", "/api/v1/users/"+made[login]+"/export", matrixAdminKey, ""); out["person"].(map[string]any)["login"] != login {
			t.Errorf("%s is read as %v", login, out)
		}
	}
	use(KMSConfig{}, func(d *desk) { invite(d, "before") })
	use(with, func(d *desk) {
		read(d, "before")
		invite(d, "after")
		read(d, "after")
	})
	use(with, func(d *desk) { read(d, "after") })
	if _, err := open(KMSConfig{}); !errors.Is(err, ErrNeedsKMS) {
		t.Errorf("started without the server: %v", err)
	}
	down.Store(true)
	if _, err := open(with); !errors.Is(err, kms.ErrAway) {
		t.Errorf("started while it is away: %v", err)
	}
	if _, err := open(KMSConfig{URL: url}); err == nil || !strings.Contains(err.Error(), "CHOPMARK_KMS_TOKEN") {
		t.Errorf("without a token: %v", err)
	}
}
