package search

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// Get gives a document by its id, also one that was written just now. ok is false when it,
// or its index, is not there.
func (c *Client) Get(ctx context.Context, index, id string) (body json.RawMessage, ok bool, _ error) {
	status, wait, raw, err := c.do(ctx, http.MethodGet, "/"+url.PathEscape(index)+"/_doc/"+url.PathEscape(id), "application/json", nil)
	if err != nil {
		return nil, false, err
	}
	var answer struct {
		Found  bool            `json:"found"`
		Source json.RawMessage `json:"_source"`
	}
	switch {
	case status == http.StatusNotFound:
		return nil, false, nil
	case status != http.StatusOK:
		return nil, false, unanswered(wait, status, raw)
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, false, ErrUnavailable.Because(fmt.Errorf("read the search server's answer %q: %w", cut(string(raw)), err))
	}
	return answer.Source, answer.Found, nil
}

// DeleteIndex removes an index with all that is in it. One that is not there is no error.
func (c *Client) DeleteIndex(ctx context.Context, index string) error {
	status, wait, raw, err := c.do(ctx, http.MethodDelete, "/"+url.PathEscape(index), "application/json", nil)
	if err == nil && status != http.StatusOK && status != http.StatusNotFound {
		err = unanswered(wait, status, raw)
	}
	return err
}

// Found is a document that a search found, with what it was sorted by.
type Found struct {
	Source json.RawMessage `json:"_source"`
	Sort   json.RawMessage `json:"sort"`
}

var errPartial = errors.New("some of the search server's shards did not answer")

// Search asks in the language of both servers. An index that is not there has nothing. What
// only some of its shards answered is no answer.
func (c *Client) Search(ctx context.Context, index string, query json.RawMessage) ([]Found, error) {
	path := "/" + url.PathEscape(index) + "/_search?ignore_unavailable=true&allow_no_indices=true&filter_path=timed_out,_shards.failed,hits.hits._source,hits.hits.sort"
	status, wait, raw, err := c.do(ctx, http.MethodPost, path, "application/json", query)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, unanswered(wait, status, raw)
	}
	var answer struct {
		TimedOut bool `json:"timed_out"`
		Shards   struct {
			Failed int `json:"failed"`
		} `json:"_shards"`
		Hits struct {
			Hits []Found `json:"hits"`
		} `json:"hits"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, ErrUnavailable.Because(fmt.Errorf("read the search server's answer %q: %w", cut(string(raw)), err))
	}
	if answer.TimedOut || answer.Shards.Failed > 0 {
		return nil, ErrUnavailable.Because(errPartial)
	}
	return answer.Hits.Hits, nil
}

func unanswered(wait time.Duration, status int, raw []byte) error {
	return ErrUnavailable.After(wait).Because(fmt.Errorf("the search server answered %d: %s", status, cut(string(raw))))
}
