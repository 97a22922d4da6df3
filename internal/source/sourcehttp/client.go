package sourcehttp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/chopmark/chopmark/internal/platform/egress"
	"github.com/chopmark/chopmark/internal/source"
)

const (
	answerMax    = 256 << 10
	headerMax    = 16 << 10
	idleConnsMax = 16 // to one host
	idleAllMax   = 256
	idleTime     = 90 * time.Second
)

// Client asks systems by HTTP: a POST of the question in JSON, whose answer is in JSON.
type Client struct{ client *http.Client }

var _ source.Asker = (*Client)(nil)

// NewClient makes a client. It asks no proxy of the environment, which would look up names
// that the dialer has to judge.
func NewClient(d *egress.Dialer) *Client {
	return &Client{&http.Client{
		Transport: &http.Transport{
			DialContext: d.DialContext, MaxIdleConnsPerHost: idleConnsMax, MaxIdleConns: idleAllMax, IdleConnTimeout: idleTime, ForceAttemptHTTP2: true,
			MaxResponseHeaderBytes: headerMax, DisableCompression: true, // what is read is what was sent
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close ends idle connections.
func (c *Client) Close() error { c.client.CloseIdleConnections(); return nil }

type question struct {
	Code      string `json:"code"`
	BrandID   int32  `json:"brand_id"`
	BatchNo   string `json:"batch_no"`
	ProductID int32  `json:"product_id"`
}

type answer struct {
	Code  string `json:"code"`
	Parts []struct {
		Stage    string         `json:"stage"`
		Time     time.Time      `json:"time"`
		Location string         `json:"location"`
		Details  map[string]any `json:"details"`
	} `json:"parts"`
}

// Ask implements source.Asker. Its errors do not quote the address.
func (c *Client) Ask(ctx context.Context, url, token string, q source.Ask) (source.Answer, error) {
	body, err := json.Marshal(question{q.Code, int32(q.Brand), q.BatchNo, int32(q.Product)})
	if err != nil {
		return source.Answer{}, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return source.Answer{}, source.ErrNoAnswer.Textf("its address is none")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "chopmark")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.client.Do(r)
	switch {
	case errors.Is(err, egress.ErrRefused):
		return source.Answer{}, source.ErrAddress
	case err != nil:
		return source.Answer{}, source.ErrNoAnswer.Because(err)
	}
	defer func() { _ = resp.Body.Close() }() // what matters was read
	raw, err := io.ReadAll(io.LimitReader(resp.Body, answerMax+1))
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return source.Answer{}, source.ErrWrong.Textf("it answers %d: redirects are not followed", resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return source.Answer{}, source.ErrNoAnswer.Textf("it answers %d", resp.StatusCode)
	case err != nil:
		return source.Answer{}, source.ErrNoAnswer.Because(err)
	case len(raw) > answerMax:
		return source.Answer{}, source.ErrWrong.Textf("its answer has more than %d bytes", answerMax)
	}
	var a answer
	if err := json.Unmarshal(raw, &a); err != nil {
		return source.Answer{}, source.ErrWrong.Textf("its answer is not the JSON that is asked for")
	}
	out := source.Answer{Code: a.Code, Parts: make([]source.Part, len(a.Parts))}
	for i, p := range a.Parts {
		out.Parts[i] = source.Part{Stage: p.Stage, Time: p.Time.UTC(), Location: p.Location, Details: p.Details}
	}
	return out, nil
}
