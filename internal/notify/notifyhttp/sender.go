package notifyhttp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/chopmark/chopmark/internal/notify"
	"github.com/chopmark/chopmark/internal/platform/egress"
)

const (
	postTimeout  = 10 * time.Second
	answerMax    = 64 << 10 // bytes of an answer that are read, to use the connection again
	idleConnsMax = 2        // to one host
	idleTime     = 90 * time.Second
)

// Sender posts deliveries (Standard Webhooks).
type Sender struct{ client *http.Client }

var _ notify.Sender = (*Sender)(nil)

// NewSender makes a sender, which reaches what out does. It asks no proxy of the environment.
func NewSender(out *egress.Dialer) *Sender {
	return &Sender{&http.Client{
		Timeout: postTimeout,
		Transport: &http.Transport{
			DialContext: out.DialContext, MaxIdleConnsPerHost: idleConnsMax, IdleConnTimeout: idleTime, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Post implements notify.Sender. Its errors are kept as reasons, so they do not quote the
// address: a secret word may be part of it.
func (s *Sender) Post(ctx context.Context, to string, p *notify.Post) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(p.Body))
	if err != nil {
		return errors.New("the address is none")
	}
	q.Header.Set("Content-Type", p.ContentType)
	q.Header.Set("User-Agent", "chopmark")
	q.Header.Set("Webhook-Id", p.ID)
	q.Header.Set("Webhook-Timestamp", strconv.FormatInt(p.At.Unix(), 10))
	if p.Signature != "" {
		q.Header.Set(p.SignedAs, p.Signature)
	}
	answer, err := s.client.Do(q)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err
		}
		return fmt.Errorf("it does not answer: %w", err)
	}
	defer func() { _ = answer.Body.Close() }() // what matters is the status
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, answerMax))
	if answer.StatusCode < 200 || answer.StatusCode > 299 {
		return fmt.Errorf("it answers %d", answer.StatusCode)
	}
	return nil
}
