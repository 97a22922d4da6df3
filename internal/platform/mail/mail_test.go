package mail

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/clock"
)

// peer is a small SMTP server for one conversation: enough of RFC 5321 to be talked to.
type peer struct {
	ln       net.Listener
	tls      *tls.Config // nil = it offers none
	implicit bool
	said     chan conversation
}

type conversation struct {
	verbs []string
	auth  string // as it was sent, decoded
	from  string
	to    []string
	data  string
	tls   bool
}

func newPeer(t *testing.T, config *tls.Config, implicit bool) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{ln, config, implicit, make(chan conversation, 1)}
	t.Cleanup(func() { ln.Close() })
	go p.serve() // ends with the listener
	return p
}

func (p *peer) serve() {
	for {
		conn, err := p.ln.Accept()
		if err != nil {
			return
		}
		if p.implicit {
			conn = tls.Server(conn, p.tls)
		}
		p.converse(conn)
	}
}

func (p *peer) converse(conn net.Conn) {
	defer conn.Close()
	c := conversation{tls: p.implicit}
	defer func() { p.said <- c }()
	r := bufio.NewReader(conn)
	say := func(line string) { _, _ = io.WriteString(conn, line+"\r\n") }
	say("220 peer")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		c.verbs = append(c.verbs, verb)
		switch verb {
		case "EHLO":
			say("250-peer")
			if p.tls != nil && !c.tls {
				say("250-STARTTLS")
			}
			say("250 AUTH PLAIN")
		case "STARTTLS":
			say("220 go on")
			conn = tls.Server(conn, p.tls)
			r, c.tls = bufio.NewReader(conn), true
		case "AUTH":
			raw, _ := base64.StdEncoding.DecodeString(strings.TrimPrefix(rest, "PLAIN "))
			c.auth = string(raw)
			say("235 welcome")
		case "MAIL":
			c.from = rest
			say("250 ok")
		case "RCPT":
			c.to = append(c.to, rest)
			say("250 ok")
		case "DATA":
			say("354 go on")
			for {
				line, err := r.ReadString('\n')
				if err != nil || line == ".\r\n" {
					break
				}
				c.data += line
			}
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		}
	}
}

func certificates(t *testing.T) (server, client *tls.Config) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

func newClient(t *testing.T, url, user string, config *tls.Config) *Client {
	t.Helper()
	scheme, addr, _ := strings.Cut(url, "://")
	if user != "" {
		addr = user + "@" + addr
	}
	c, err := New(Config{URL: scheme + "://" + addr, Password: "secret", From: "Chopmark 品 <codes@brand.example>", TLS: config, Clock: clock.System{}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestSend: under TLS from the start and by STARTTLS, with a password, a whole message
// arrives.
func TestSend(t *testing.T) {
	t.Parallel()
	server, client := certificates(t)
	for _, scheme := range []string{"smtp", "smtps"} {
		p := newPeer(t, server, scheme == "smtps")
		text := strings.Repeat("您的验证码是 123456。\n.\n", 20)
		if err := newClient(t, scheme+"://"+p.ln.Addr().String(), "alice", client).Send(t.Context(), "b@example.com", "验证码 code", text); err != nil {
			t.Fatal(scheme, err)
		}
		c := <-p.said
		if !c.tls || c.auth != "\x00alice\x00secret" || !strings.HasPrefix(c.from, "FROM:<codes@brand.example>") || len(c.to) != 1 || c.to[0] != "TO:<b@example.com>" {
			t.Errorf("%s: %+v", scheme, c)
		}
		m, err := mail.ReadMessage(strings.NewReader(c.data))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(base64.NewDecoder(base64.StdEncoding, m.Body))
		if err != nil || string(body) != text {
			t.Errorf("%s: %v, the body is %q", scheme, err, body)
		}
		if _, err := m.Header.Date(); err != nil || m.Header.Get("Message-Id") == "" || !strings.HasPrefix(m.Header.Get("Subject"), "=?utf-8?") {
			t.Errorf("%s: header %v, %v", scheme, m.Header, err)
		}
	}
}

// TestCleartextIsRefused: nothing is said to a server that offers no TLS or that is another,
// unless it is on this machine.
func TestCleartextIsRefused(t *testing.T) {
	t.Parallel()
	plain := newPeer(t, nil, false)
	c := newClient(t, "smtp://"+plain.ln.Addr().String(), "", nil)
	if err := c.Send(t.Context(), "b@example.com", "s", "t"); err != nil {
		t.Errorf("on this machine: %v", err)
	}
	<-plain.said
	c.host = "mail.example" // as if it were elsewhere
	if err := c.Send(t.Context(), "b@example.com", "s", "t"); !errors.Is(err, errCleartext) {
		t.Errorf("elsewhere: %v", err)
	}
	if said := <-plain.said; len(said.to) > 0 {
		t.Errorf("it was told %+v", said)
	}
	server, _ := certificates(t)
	for _, implicit := range []bool{false, true} {
		p := newPeer(t, server, implicit)
		scheme := map[bool]string{true: "smtps", false: "smtp"}[implicit]
		if err := newClient(t, scheme+"://"+p.ln.Addr().String(), "alice", nil).Send(t.Context(), "b@example.com", "s", "t"); err == nil {
			t.Errorf("%s: a certificate of nobody's was believed", scheme)
		}
		if said := <-p.said; said.auth != "" || len(said.to) > 0 {
			t.Errorf("%s: it was told %+v", scheme, said)
		}
	}
}

// TestHeadersStayApart: what comes from outside adds no header and no recipient.
func TestHeadersStayApart(t *testing.T) {
	t.Parallel()
	p := newPeer(t, nil, false)
	c := newClient(t, "smtp://"+p.ln.Addr().String(), "", nil)
	for _, to := range []string{"b@example.com\r\nBcc: x@y.z", "b@example.com>\r\nRCPT TO:<x@y.z", "B <b@example.com>", "b@example.com, x@y.z", ""} {
		if err := c.Send(t.Context(), to, "s", "t"); err == nil {
			t.Errorf("%q was written to", to)
		}
	}
	if err := c.Send(t.Context(), "b@example.com", "s\r\nBcc: x@y.z", "t"); err != nil {
		t.Fatal(err)
	}
	m, err := mail.ReadMessage(strings.NewReader((<-p.said).data))
	if err != nil || m.Header.Get("Bcc") != "" {
		t.Errorf("%v: %v", err, m.Header)
	}
}

// TestSendEndsWithItsContext: a server that says nothing keeps nobody.
func TestSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := newClient(t, "smtp://"+ln.Addr().String(), "", nil).Send(ctx, "b@example.com", "s", "t"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}

func TestNew(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"", "a@b.c"}, {"http://host", "a@b.c"}, {"smtp://", "a@b.c"}, {"smtp://a:secret@host", "a@b.c"}, {"smtp://host", "nobody"}, {"smtp://host/path", "a@b.c"},
	} {
		if _, err := New(Config{URL: c[0], From: c[1]}); err == nil {
			t.Errorf("%v was taken", c)
		}
	}
}
