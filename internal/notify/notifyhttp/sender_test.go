package notifyhttp

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/egress"
)

// TestAddressesAreJudgedWhenDialled: what was registered under a name is refused when the name
// leads into this network, unless the operator lets it.
func TestAddressesAreJudgedWhenDialled(t *testing.T) {
	t.Parallel()
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer server.Close()
	to := strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
	post := &notify.Post{ID: "evt_1", ContentType: "application/json", Body: []byte("{}")}
	if err := NewSender(egress.New(false)).Post(t.Context(), to, post); !errors.Is(err, egress.ErrRefused) || asked != 0 {
		t.Errorf("kept out: %v, asked %d times", err, asked)
	}
	if err := NewSender(egress.New(true)).Post(t.Context(), to, post); err != nil || asked != 1 {
		t.Errorf("let in: %v, asked %d times", err, asked)
	}
}
