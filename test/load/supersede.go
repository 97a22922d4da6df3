package load

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	staleMax = 32 // codes that are set apart
	// seenBy is when every process of an installation shows a change.
	seenBy = time.Second
)

// Supersede sets codes apart whose links it takes and then reissues with the admin
// key, so that the links are stale. It is needed when the mix has stale.
func (s *Scan) Supersede(ctx context.Context, base, key string) error {
	n := min(staleMax, len(s.codes)/2)
	if n == 0 {
		return errors.New("stale needs at least two codes")
	}
	for i := range n {
		code := string(appendCode(nil, s.codes[len(s.codes)-n+i]))
		var link struct {
			Token string `json:"token"`
		}
		at := strings.TrimSuffix(base, "/") + "/api/v1/codes/" + code
		if err := admin(ctx, http.MethodGet, at+"/link", key, nil, &link); err != nil {
			return err
		}
		if link.Token == "" {
			return fmt.Errorf("code %s has no token link", code)
		}
		if err := admin(ctx, http.MethodPost, at+"/reissue", key, []byte(`{"reason":"load test"}`), nil); err != nil {
			return err
		}
		s.tokens = append(s.tokens, link.Token)
	}
	if !sleep(ctx, seenBy) {
		return ctx.Err()
	}
	return nil
}

// admin calls the API and decodes the data of a 200.
func admin(ctx context.Context, method, url, key string, body []byte, data any) error {
	ctx, cancel := context.WithTimeout(ctx, requestMax)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Authorization", "Bearer "+key)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, bodyMax))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s answered %d %.300s", method, url, resp.StatusCode, raw)
	}
	envelope := struct {
		Data any `json:"data"`
	}{data}
	return json.Unmarshal(raw, &envelope)
}
