// Package mail sends plain messages by SMTP.
//
// Promise: a password and a message cross a network under TLS only, with a server whose name
// was checked (TestCleartextIsRefused); no address and no subject adds a header or a
// recipient (TestHeadersStayApart); a send ends with its context.
package mail

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"net"
	"net/mail"
	"net/smtp"
	"net/url"
	"strings"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// Config names the server.
type Config struct {
	URL      string // smtp://user@host:587 (STARTTLS) or smtps://user@host:465
	Password string
	From     string // "Brand <codes@brand.example>"
	TLS      *tls.Config
	Clock    clock.Clock
}

// Client sends by one server, a connection for each message.
type Client struct {
	cfg      Config
	host     string
	addr     string
	user     string
	implicit bool
	from     *mail.Address
}

// New checks what can be checked without the server.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "smtp" && u.Scheme != "smtps" || u.Hostname() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" {
		return nil, errors.New("must look like smtp://user@host:587 or smtps://user@host:465")
	}
	if _, has := u.User.Password(); has {
		return nil, errors.New("must not hold the password: give it by the environment")
	}
	m := &Client{cfg: c, host: u.Hostname(), user: u.User.Username(), implicit: u.Scheme == "smtps"}
	port := u.Port()
	if port == "" {
		port = map[bool]string{true: "465", false: "587"}[m.implicit]
	}
	m.addr = net.JoinHostPort(m.host, port)
	if m.from, err = mail.ParseAddress(c.From); err != nil {
		return nil, fmt.Errorf("%q is no sender: %w", c.From, err)
	}
	return m, nil
}

var errCleartext = errors.New("the mail server offers no TLS, and it is not on this machine")

// Send gives a message to the server.
func (m *Client) Send(ctx context.Context, to, subject, text string) error {
	rcpt, err := mail.ParseAddress(to)
	if err != nil || rcpt.Address != to {
		return errors.New("the recipient is no mail address")
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", m.addr)
	if err != nil {
		return fmt.Errorf("reach the mail server: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() }) // ends whatever waits for it
	defer stop()
	if err := m.converse(conn, rcpt, subject, text); err != nil {
		return errors.Join(err, context.Cause(ctx), ignoreClosed(conn.Close()))
	}
	return nil
}

func ignoreClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (m *Client) converse(conn net.Conn, to *mail.Address, subject, text string) error {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if m.cfg.TLS != nil {
		config = m.cfg.TLS.Clone()
	}
	config.ServerName = m.host
	if m.implicit {
		conn = tls.Client(conn, config)
	}
	c, err := smtp.NewClient(conn, m.host)
	if err != nil {
		return fmt.Errorf("greet the mail server: %w", err)
	}
	if !m.implicit {
		if err := m.startTLS(c, config); err != nil {
			return err
		}
	}
	if m.user != "" {
		if err := c.Auth(smtp.PlainAuth("", m.user, m.cfg.Password, m.host)); err != nil {
			return fmt.Errorf("sign in to the mail server: %w", err)
		}
	}
	if err := c.Mail(m.from.Address); err != nil {
		return fmt.Errorf("name the sender: %w", err)
	}
	if err := c.Rcpt(to.Address); err != nil {
		return fmt.Errorf("name the recipient: %w", err)
	}
	w, err := c.Data()
	if err != nil {
		return fmt.Errorf("begin the message: %w", err)
	}
	if _, err := w.Write(m.message(to, subject, text)); err != nil {
		return fmt.Errorf("write the message: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end the message: %w", err)
	}
	_ = c.Quit() // the message was taken
	return nil
}

// startTLS insists on TLS, but for a server on this machine.
func (m *Client) startTLS(c *smtp.Client, config *tls.Config) error {
	if ok, _ := c.Extension("STARTTLS"); ok {
		if err := c.StartTLS(config); err != nil {
			return fmt.Errorf("begin TLS with the mail server: %w", err)
		}
		return nil
	}
	if ip := net.ParseIP(m.host); m.host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errCleartext
}

const lineMax = 76

func (m *Client) message(to *mail.Address, subject, text string) []byte {
	var id [16]byte
	rand.Read(id[:]) // never fails: crypto/rand ends the process first
	domain := m.from.Address[strings.LastIndexByte(m.from.Address, '@')+1:]
	var b strings.Builder
	for _, h := range [][2]string{
		{"From", m.from.String()}, {"To", to.String()}, {"Subject", mime.QEncoding.Encode("utf-8", oneLine(subject))},
		{"Date", m.cfg.Clock.Now().Format(time.RFC1123Z)}, {"Message-ID", "<" + hex.EncodeToString(id[:]) + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"}, {"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "base64"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	body := base64.StdEncoding.EncodeToString([]byte(text))
	for len(body) > 0 {
		n := min(len(body), lineMax)
		b.WriteString(body[:n] + "\r\n")
		body = body[n:]
	}
	return []byte(b.String())
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
