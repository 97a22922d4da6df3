// Package search writes documents to OpenSearch or Elasticsearch over HTTP and finds them
// again: the bulk API, index templates and the search API, as far as they are the same in
// both.
//
// Promise: a document that Index does not report was taken by the server, and sending it
// again under its id leaves one document. What says nothing about the documents (no
// answer, too many requests, a failing server, a refused password) is a fault of kind
// Unavailable: the caller keeps them and comes back. No such server runs in our tests:
// they hold the client to the protocol with a fake that is strict about it
// (TestBulkProtocol).
package search

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

const (
	bulkBytesMax   = 5 << 20 // of one request; servers take 100 MB and work best far below
	answerBytesMax = 32 << 20
	requestMax     = 20 * time.Second
	retryUsual     = 5 * time.Second
	reasonMax      = 500
)

// ErrUnavailable says that the server cannot take documents now.
var ErrUnavailable = &fault.Error{Kind: fault.Unavailable, Code: "search.unavailable", Text: "the search server cannot take documents now", RetryAfter: retryUsual}

// Client speaks to one server.
type Client struct {
	base *url.URL // without credentials
	auth string   // the Authorization header; "" = none
	http *http.Client
}

// Open reads the address: opensearch+http://, opensearch+https://, elasticsearch+http://
// or elasticsearch+https://, with user:password@ or ?api_key= where the server wants it.
// It does not ask the server anything.
func Open(address string) (*Client, error) {
	kind, rest, found := strings.Cut(address, "+")
	u, err := url.Parse(rest)
	if !found || err != nil || kind != "opensearch" && kind != "elasticsearch" || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		// the address is not shown: it may hold a password
		return nil, errors.New("the address of the search server cannot be read: give opensearch+https://user:password@host:9200 or elasticsearch+https://host:9200?api_key=KEY")
	}
	query := u.Query()
	key := query.Get("api_key")
	query.Del("api_key")
	if len(query) > 0 || u.Fragment != "" || key != "" && u.User != nil {
		return nil, errors.New("the address of the search server has more than a user and password, or an api_key")
	}
	c := &Client{base: &url.URL{Scheme: u.Scheme, Host: u.Host, Path: strings.TrimSuffix(u.Path, "/")}, http: &http.Client{
		Timeout: requestMax,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // credentials go to no other place
		},
	}}
	switch {
	case key != "":
		c.auth = "ApiKey " + key
	case u.User != nil:
		password, _ := u.User.Password()
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(u.User.Username(), password)
		c.auth = r.Header.Get("Authorization")
	}
	return c, nil
}

// PutTemplate sets the template of indices to come.
func (c *Client) PutTemplate(ctx context.Context, name string, template json.RawMessage) error {
	status, _, body, err := c.do(ctx, http.MethodPut, "/_index_template/"+url.PathEscape(name), "application/json", template)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the search server answered %d to the template %s: %s", status, name, cut(string(body)))
	}
	return nil
}

// Document is one document. Sent again, also changed, it takes the place of the one with
// its id.
type Document struct {
	Index string
	ID    string
	Body  json.RawMessage
	// Version, unless it is 0, keeps a document from the place of one whose version is
	// larger: it is passed over then.
	Version int64
}

// Index writes documents in as many requests as their size needs. rejected are those that
// the server never takes, by their place in the list, and why. When it fails with
// ErrUnavailable any of them may have been written: send all of them again.
func (c *Client) Index(ctx context.Context, documents []Document) (rejected map[int]error, _ error) {
	rejected = map[int]error{}
	var body []byte
	first := 0
	for i := range documents {
		lines, err := linesOf(&documents[i])
		if err != nil {
			return nil, err
		}
		if len(body) > 0 && len(body)+len(lines) > bulkBytesMax {
			if err := c.bulk(ctx, body, documents[first:i], first, rejected); err != nil {
				return nil, err
			}
			body, first = body[:0], i
		}
		body = append(body, lines...)
	}
	if len(body) == 0 {
		return rejected, nil
	}
	return rejected, c.bulk(ctx, body, documents[first:], first, rejected)
}

// linesOf is an action and its document, each on a line.
func linesOf(d *Document) ([]byte, error) {
	var out bytes.Buffer
	of := map[string]any{"_index": d.Index, "_id": d.ID}
	if d.Version != 0 {
		of["version"], of["version_type"] = d.Version, "external_gte"
	}
	action := map[string]any{"index": of}
	if err := json.NewEncoder(&out).Encode(action); err != nil {
		return nil, fmt.Errorf("encode document %s: %w", d.ID, err)
	}
	if err := json.Compact(&out, d.Body); err != nil { // no line ends within
		return nil, fmt.Errorf("encode document %s: %w", d.ID, err)
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// bulkAnswer is what the server says of each document, in the order of the request.
type bulkAnswer struct {
	Items []map[string]struct {
		ID     string          `json:"_id"`
		Status int             `json:"status"`
		Error  json.RawMessage `json:"error"`
	} `json:"items"`
}

func (c *Client) bulk(ctx context.Context, body []byte, documents []Document, first int, rejected map[int]error) error {
	// Only what we read; the rest of the answer is as long as the request.
	status, wait, raw, err := c.do(ctx, http.MethodPost, "/_bulk?filter_path=items.*._id,items.*.status,items.*.error", "application/x-ndjson", body)
	switch {
	case err != nil:
		return err
	case status == http.StatusRequestEntityTooLarge && len(documents) == 1:
		rejected[first] = errors.New("the search server takes no request of its size")
		return nil
	case status == http.StatusRequestEntityTooLarge:
		return c.halves(ctx, documents, first, rejected)
	case status != http.StatusOK:
		// Also what we did wrong, as a refused password: no document is to blame.
		return ErrUnavailable.After(wait).Because(fmt.Errorf("the search server answered %d: %s", status, cut(string(raw))))
	}
	var answer bulkAnswer
	if err := json.Unmarshal(raw, &answer); err != nil {
		return ErrUnavailable.Because(fmt.Errorf("read the search server's answer %q: %w", cut(string(raw)), err))
	}
	if len(answer.Items) != len(documents) {
		return ErrUnavailable.Because(fmt.Errorf("the search server answered for %d documents of %d", len(answer.Items), len(documents)))
	}
	for i := range answer.Items {
		item, ok := answer.Items[i]["index"]
		switch {
		case !ok || item.ID != documents[i].ID:
			return ErrUnavailable.Because(fmt.Errorf("the search server's answer has %q where %q was sent", item.ID, documents[i].ID))
		case item.Status/100 == 2:
		case item.Status == http.StatusConflict && documents[i].Version != 0: // a newer one is there
		case !blames(item.Status):
			return ErrUnavailable.After(wait).Because(fmt.Errorf("document %s: %d %s", item.ID, item.Status, cut(string(item.Error))))
		default:
			rejected[first+i] = fmt.Errorf("the search server answered %d: %s", item.Status, cut(string(item.Error)))
		}
	}
	return nil
}

// blames reports whether a status is about the document. A right or an index that is
// missing, and an index that is blocked since the disk is full, are not.
func blames(status int) bool {
	switch status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound, http.StatusTooManyRequests:
		return false
	}
	return status/100 == 4
}

// halves sends documents in two requests where one was too large.
func (c *Client) halves(ctx context.Context, documents []Document, first int, rejected map[int]error) error {
	half := len(documents) / 2
	for _, part := range []struct {
		documents []Document
		first     int
	}{{documents[:half], first}, {documents[half:], first + half}} {
		var body []byte
		for i := range part.documents {
			lines, err := linesOf(&part.documents[i])
			if err != nil {
				return err
			}
			body = append(body, lines...)
		}
		if err := c.bulk(ctx, body, part.documents, part.first, rejected); err != nil {
			return err
		}
	}
	return nil
}

// do gives an answer whole, and when the server wants to be asked again.
func (c *Client) do(ctx context.Context, method, path, kind string, body []byte) (status int, wait time.Duration, _ []byte, _ error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return 0, 0, nil, err
	}
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Accept", "application/json")
	if c.auth != "" {
		r.Header.Set("Authorization", c.auth)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return 0, 0, nil, ErrUnavailable.Because(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, answerBytesMax+1))
	if err == nil && len(raw) > answerBytesMax {
		err = errors.New("it is too long")
	}
	if err != nil {
		return 0, 0, nil, ErrUnavailable.Because(fmt.Errorf("read the search server's answer: %w", err))
	}
	return resp.StatusCode, retryAfter(resp.Header.Get("Retry-After")), raw, nil
}

// retryAfter reads the header in seconds; dates are not sent by these servers.
func retryAfter(text string) time.Duration {
	if seconds, err := strconv.ParseUint(text, 10, 16); err == nil {
		return time.Duration(seconds) * time.Second
	}
	return retryUsual
}

// cut bounds what an error repeats of an answer.
func cut(s string) string { return strings.ToValidUTF8(s[:min(len(s), reasonMax)], "") }
