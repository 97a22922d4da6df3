package streamhttp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/chopmark/chopmark/internal/platform/httpx"
	"github.com/chopmark/chopmark/internal/platform/stream"
	"github.com/chopmark/chopmark/internal/platform/stream/streamkv"
)

type anyone struct{}

func (anyone) Authenticate(r *http.Request) (httpx.Principal, error) {
	if r.Header.Get("Authorization") == "" {
		return httpx.Principal{}, httpx.ErrNoAuth
	}
	return httpx.Principal{ID: "key_1", Access: httpx.Everything{}}, nil
}

type unwatched struct{}

func (unwatched) Request(string, string, int, time.Time, time.Duration) {}

func TestLetters(t *testing.T) {
	t.Parallel()
	log, err := streamkv.Open("log", streamkv.Options{FS: vfs.NewMem()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := log.Close(); err != nil {
			t.Error(err)
		}
	})
	ill := true
	var handled []string
	h := stream.HandlerFunc(func(_ context.Context, _ int, batch []stream.Message) error {
		if ill {
			return errors.New("still ill")
		}
		handled = append(handled, string(batch[0].Raw))
		return nil
	})
	rt := httpx.NewRouter(anyone{}, unwatched{}, slog.New(slog.DiscardHandler))
	away := fmt.Errorf("it is away: %w", stream.Unavailable(errors.New("no route")))
	Mount(rt, []Group{
		Of("mail", log, stream.Config{HandlerTries: 1, Backoff: 1}, nil, h),
		{
			Name:   "kept-group",
			Dead:   func(context.Context, string, int) ([]stream.Letter, error) { return nil, away },
			Replay: func(context.Context) (stream.Replayed, error) { return stream.Replayed{Consumed: 3}, away },
		},
	})
	ask := func(method, target, body, key string) (int, string) {
		r := httptest.NewRequest(method, target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", key)
		w := httptest.NewRecorder()
		rt.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	want := func(status int, says string) func(int, string) {
		return func(got int, body string) {
			t.Helper()
			if got != status || !strings.Contains(body, says) {
				t.Errorf("%d %s; want %d and %q", got, body, status, says)
			}
		}
	}
	var ids []string
	for n := range 3 {
		id := stream.LetterID("mail", stream.At(1, 7), n)
		ids = append(ids, id)
		if err := log.Bury(t.Context(), stream.Letter{
			ID: id, Group: "mail", At: stream.At(1, 7), N: n, Value: []byte(fmt.Sprint("message ", n)), Reason: "ill", Tries: 5,
		}); err != nil {
			t.Fatal(err)
		}
	}
	const list = "/api/v1/dead-letters?group=mail"
	want(401, "auth.required")(ask("GET", list, "", ""))
	want(400, "stream.unknown_group")(ask("GET", "/api/v1/dead-letters?group=post", "", "k"))
	want(400, "stream.bad_cursor")(ask("GET", list+"&cursor=x", "", "k"))
	want(400, "input.bad_limit")(ask("GET", list+"&limit=0", "", "k"))
	status, body := ask("GET", list+"&limit=2", "", "k")
	var page struct {
		Data struct {
			Letters []letter
			Cursor  string
		}
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != 200 || len(page.Data.Letters) != 2 || page.Data.Cursor != ids[1] {
		t.Fatalf("%d %s %v", status, body, err)
	}
	want(200, ids[2])(ask("GET", list+"&cursor="+page.Data.Cursor, "", "k"))

	want(400, "stream.unknown_group")(ask("POST", "/api/v1/dead-letters/replay", `{"group":"post"}`, "k"))
	want(401, "auth.required")(ask("POST", "/api/v1/dead-letters/replay", `{"group":"mail"}`, ""))
	want(200, `"kept":3`)(ask("POST", "/api/v1/dead-letters/replay", `{"group":"mail"}`, "k"))
	want(200, "still ill")(ask("GET", list, "", "k"))
	for _, bad := range []string{`{}`, `{"letter_ids":["x"]}`, `{"letter_ids":["post:1-7:0"]}`} {
		want(400, "stream.bad_ids")(ask("POST", "/api/v1/dead-letters/discard", bad, "k"))
	}
	want(200, `"discarded":1`)(ask("POST", "/api/v1/dead-letters/discard", `{"letter_ids":["`+ids[0]+`"]}`, "k"))
	ill = false
	want(200, `"consumed":2`)(ask("POST", "/api/v1/dead-letters/replay", `{"group":"mail"}`, "k"))
	if len(handled) != 2 || handled[0] != "message 1" || handled[1] != "message 2" {
		t.Errorf("handled %q", handled)
	}
	want(200, `"letters":[]`)(ask("GET", list, "", "k"))

	want(503, "stream.unavailable")(ask("GET", "/api/v1/dead-letters?group=kept-group", "", "k"))
	want(503, "after 3 messages")(ask("POST", "/api/v1/dead-letters/replay", `{"group":"kept-group"}`, "k"))
	want(400, "lies in Kafka")(ask("POST", "/api/v1/dead-letters/discard", `{"letter_ids":["kept-group:topic:1-2"]}`, "k"))
}
