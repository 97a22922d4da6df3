package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/app"
)

// placeFlags say where a tool works: on a data directory that nobody serves, or on
// a server.
type placeFlags struct {
	dataFlags
	Server string `placeholder:"URL" help:"Work through a running server instead of --data."`
	Key    string `env:"CHOPMARK_ADMIN_KEY" placeholder:"KEY" help:"API key for --server."`

	Profile string `placeholder:"NAME" help:"Work on the server that chopmark login has signed in to."`
}

// client speaks the HTTP API, over the network or within this process.
type client struct {
	http *http.Client
	base string
	key  string
	app  *app.App // nil with --server

	brand int32  // that requests are about; 0 = they do not say
	once  string // the name under which a request has one effect, however often it is sent; "" = it has none
}

func (p *placeFlags) open(ctx context.Context) (*client, error) {
	if c, err := p.remote(); err != nil || c != nil {
		return c, err
	}
	cfg := p.config()
	cfg.Listen = "127.0.0.1:8080" // what codes link to when nothing else is said
	if p.LogLevel == "info" {
		p.LogLevel = "warn" // the answer is the command's own output
	}
	a, err := app.Open(ctx, cfg, p.logger())
	if err != nil {
		return nil, err
	}
	return &client{http: a.Client(), base: a.URL, app: a}, nil
}

func (c *client) close() error {
	if c.app == nil {
		return nil
	}
	return c.app.Close()
}

// with opens the place, does the work and closes it.
func (p *placeFlags) with(ctx context.Context, work func(*client) error) error {
	c, err := p.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(work(c), c.close())
}

// call sends a request and decodes the data of its envelope into data.
func (c *client) call(ctx context.Context, method, path string, body, data any) error {
	var in io.Reader = http.NoBody
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		in = bytes.NewReader(raw)
	}
	r, err := c.request(ctx, method, c.base+path, in)
	if err != nil {
		return err
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if c.once != "" {
		r.Header.Set("Idempotency-Key", c.once)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var envelope struct {
		Message string          `json:"message"`
		Error   string          `json:"error"`
		Data    json.RawMessage `json:"data"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&envelope); err != nil {
		return fmt.Errorf("%s %s answered %d and no JSON: %w", method, path, resp.StatusCode, err)
	}
	if data != nil && len(envelope.Data) > 0 && string(envelope.Data) != "null" {
		if err := json.Unmarshal(envelope.Data, data); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	if resp.StatusCode != http.StatusOK {
		return &apiError{envelope.Error, envelope.Message}
	}
	return nil
}

func (c *client) request(ctx context.Context, method, to string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, to, body)
	if err == nil && c.key != "" {
		r.Header.Set("Authorization", "Bearer "+c.key)
	}
	if err == nil && c.brand != 0 {
		r.Header.Set("X-Brand-ID", strconv.Itoa(int(c.brand)))
	}
	return r, err
}

// apiError is a refusal by the server.
type apiError struct{ code, message string }

func (e *apiError) Error() string { return e.message + " (" + e.code + ")" }

type taskView struct {
	TaskID      string `json:"task_id"`
	State       string `json:"state"`
	Done        int64  `json:"done"`
	Total       int64  `json:"total"`
	DownloadURL string `json:"download_url"`
	Error       *struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// wait follows a task to its end.
func (c *client) wait(ctx context.Context, id string, show *progress) (taskView, error) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var t taskView
		if err := c.call(ctx, http.MethodGet, "/api/v1/tasks/"+id, nil, &t); err != nil {
			return t, err
		}
		show.set(t.Done, t.Total)
		switch t.State {
		case "done":
			show.end()
			return t, nil
		case "failed":
			show.end()
			return t, fmt.Errorf("task %s failed: %s", id, t.Error.Message)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return t, fmt.Errorf("stopped; task %s goes on at the next start", id)
		}
	}
}

// download fetches a task's file. It appears under its name only when it is whole.
// The link names the public address, which need not lead here: its path does.
func (c *client) download(ctx context.Context, link, out string) error {
	u, err := url.Parse(link)
	if err != nil {
		return err
	}
	r, err := c.request(ctx, http.MethodGet, c.base+u.RequestURI(), http.NoBody)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("download answered %d", resp.StatusCode)
	}
	return writeWhole(out, func(w io.Writer) error {
		_, err := io.Copy(w, resp.Body)
		return err
	}, nil)
}

// writeWhole gives a file its name when it is whole and on disk. check, if any, looks
// at it before that.
func writeWhole(out string, fill func(io.Writer) error, check func(part string) error) error {
	part := out + ".part"
	f, err := os.OpenFile(part, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err = fill(f); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil && check != nil {
		err = check(part)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", out, err), os.Remove(part))
	}
	if err := os.Rename(part, out); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(out))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
