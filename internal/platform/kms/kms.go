// Package kms asks a server that keeps keys to open what it sealed: the Transit API of HashiCorp
// Vault and of OpenBao. A key that it opened is held in memory for a time, and no longer.
//
// Promise: once the server says no, or has not answered for the time that a key may be held,
// nobody is given the key (TestHeldFailsClosed); the token is in a header and in no error.
package kms

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// ErrAway answers whoever needs a key that cannot be had.
var ErrAway = fault.New(fault.Unavailable, "kms.unavailable", "the server that keeps the keys does not give them; try again")

// Config names a key of a server.
type Config struct {
	URL   string // https://host:8200/MOUNT/KEY
	Token string
	TLS   *tls.Config
}

// Transit is one key of a server.
type Transit struct {
	base, mount, key, token string
	client                  *http.Client
}

const (
	timeout    = 5 * time.Second
	answerMax  = 64 << 10
	keyBytes   = 32
	bodyPrefix = "vault:" // what the server seals begins with it
)

// New checks what can be checked without the server.
func New(c Config) (*Transit, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return nil, errors.New("must be https://host:8200/MOUNT/KEY")
	}
	mount, key, ok := cutLast(strings.Trim(u.Path, "/"))
	ip := net.ParseIP(u.Hostname())
	switch {
	case !ok:
		return nil, errors.New("must be https://host:8200/MOUNT/KEY")
	case u.Scheme != "https" && !(u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())): //nolint:staticcheck // it reads as it is meant
		return nil, errors.New("must be https://, or http:// to this machine")
	case c.Token == "":
		return nil, errors.New("needs a token")
	}
	return &Transit{u.Scheme + "://" + u.Host, mount, key, c.Token, &http.Client{
		Timeout: timeout, Transport: &http.Transport{TLSClientConfig: c.TLS, ForceAttemptHTTP2: true, IdleConnTimeout: timeout},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func cutLast(path string) (before, last string, ok bool) {
	at := strings.LastIndexByte(path, '/')
	if at < 1 || at == len(path)-1 {
		return "", "", false
	}
	return path[:at], path[at+1:], true
}

// IsSealed reports whether a text is what such a server seals.
func IsSealed(text string) bool { return strings.HasPrefix(text, bodyPrefix) }

// NewKey lets the server make a key of 32 bytes, as it is and sealed.
func (t *Transit) NewKey(ctx context.Context) (key [keyBytes]byte, sealed string, _ error) {
	said, err := t.ask(ctx, "datakey/plaintext", map[string]any{"bits": keyBytes * 8})
	if err != nil {
		return key, "", err
	}
	raw, err := base64.StdEncoding.DecodeString(said.Plaintext)
	if err != nil || len(raw) != keyBytes || !IsSealed(said.Ciphertext) {
		return key, "", ErrAway.Because(errors.New("the server made no key of 32 bytes"))
	}
	return [keyBytes]byte(raw), said.Ciphertext, nil
}

// Open lets the server open what it sealed.
func (t *Transit) Open(ctx context.Context, sealed string) ([]byte, error) {
	said, err := t.ask(ctx, "decrypt", map[string]any{"ciphertext": sealed})
	if err != nil {
		return nil, err
	}
	raw, err := base64.StdEncoding.DecodeString(said.Plaintext)
	if err != nil {
		return nil, ErrAway.Because(errors.New("the server answers no base64"))
	}
	return raw, nil
}

type answer struct {
	Plaintext  string `json:"plaintext"`
	Ciphertext string `json:"ciphertext"`
}

func (t *Transit) ask(ctx context.Context, what string, body any) (a answer, _ error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return a, err
	}
	to := t.base + "/v1/" + t.mount + "/" + what + "/" + url.PathEscape(t.key)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(raw))
	if err != nil {
		return a, ErrAway.Because(err)
	}
	r.Header.Set("X-Vault-Token", t.token)
	r.Header.Set("X-Vault-Request", "true")
	r.Header.Set("Content-Type", "application/json")
	resp, err := t.client.Do(r)
	if err != nil {
		return a, ErrAway.Because(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	if resp.StatusCode != http.StatusOK {
		return a, ErrAway.Because(fmt.Errorf("%s answers %d", what, resp.StatusCode))
	}
	var said struct {
		Data answer `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, answerMax)).Decode(&said); err != nil {
		return a, ErrAway.Because(fmt.Errorf("read the answer to %s: %w", what, err))
	}
	return said.Data, nil
}

// Opener opens what it sealed.
type Opener interface {
	Open(ctx context.Context, sealed string) ([]byte, error)
}

// Held is a sealed key that is opened when it is needed, and held for a time.
type Held struct {
	server Opener
	sealed string
	life   time.Duration
	clock  clock.Clock

	mu   sync.Mutex
	key  [keyBytes]byte // guarded by mu
	till time.Time      // guarded by mu; zero = it is not held
	ask  time.Time      // guarded by mu; when the server may be asked again
}

// retry is how long the server is left alone after it did not answer, impatient how long it
// may take while the key is still held.
const (
	retry     = time.Second
	impatient = 500 * time.Millisecond
)

// Hold opens the key once, so that what cannot work is known at the start.
func Hold(server Opener, sealed string, life time.Duration, c clock.Clock) (*Held, error) {
	h := &Held{server: server, sealed: sealed, life: life, clock: c}
	_, err := h.Key()
	return h, err
}

// Key gives the key. From half of its time on the server is asked again; when that fails,
// the key is given until its time is over, and then no more.
func (h *Held) Key() ([keyBytes]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.clock.Now()
	fresh := now.Before(h.till.Add(-h.life / 2))
	if fresh || now.Before(h.ask) && now.Before(h.till) {
		return h.key, nil
	}
	if now.Before(h.ask) {
		return [keyBytes]byte{}, ErrAway
	}
	wait := timeout
	if now.Before(h.till) { // whoever waits here could have the key
		wait = impatient
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	raw, err := h.server.Open(ctx, h.sealed)
	if err == nil && len(raw) != keyBytes {
		err = ErrAway.Because(errors.New("what the server opens is no key of 32 bytes"))
	}
	if err == nil {
		h.key, h.till, h.ask = [keyBytes]byte(raw), now.Add(h.life), time.Time{}
		return h.key, nil
	}
	h.ask = h.clock.Now().Add(retry)
	if now.Before(h.till) {
		return h.key, nil
	}
	h.key = [keyBytes]byte{}
	return h.key, err
}
