package app

import (
	"crypto/ecdsa"
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/chopmark/chopmark/internal/keyset"
	"github.com/chopmark/chopmark/internal/platform/clock"
)

const (
	tlsRenew      = 10 * time.Second   // how soon a changed certificate is shown
	ticketDay     = 24 * time.Hour     // how long one key seals tickets
	ticketLife    = 7 * 24 * time.Hour // how long a ticket is taken: TLS 1.3 allows no more
	shortChainMax = 2800               // bytes: with the rest of the handshake within three times a client's first packet
	clockSkew     = 1                  // days ahead that another process may be
)

// tlsKeys is what the TLS listeners show and seal with. The certificate follows its files;
// tickets are sealed with keys that all processes derive alike, another each day, so that a
// client may come back to any of them.
type tlsKeys struct {
	certFile, keyFile string
	sessions          func() []keyset.Key // newest first
	clock             clock.Clock
	log               *slog.Logger

	mu     sync.Mutex
	config *tls.Config     // guarded by mu
	cert   tls.Certificate // guarded by mu
	from   [2]fileMark     // guarded by mu; what cert was read from
	until  time.Time       // guarded by mu; when config is looked at again
}

// fileMark tells whether a file is still the one that was read.
type fileMark struct {
	modified time.Time
	size     int64
}

func markOf(st fs.FileInfo) fileMark { return fileMark{st.ModTime(), st.Size()} }

// openTLS reads the certificate, which must be good at the start.
func (a *App) openTLS() (*tls.Config, error) {
	certFile, keyFile, err := a.tlsFiles()
	if err != nil {
		return nil, err
	}
	t := &tlsKeys{
		certFile: certFile, keyFile: keyFile, clock: a.clock, log: a.log,
		sessions: func() []keyset.Key { return a.keys.visitKeys(a.edge != nil) },
	}
	if err := t.load(); err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.advise()
	t.renew(a.clock.Now())
	outer := t.config.Clone()
	outer.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return t.present(), nil }
	return outer, nil
}

// present is the configuration of this moment.
func (t *tlsKeys) present() *tls.Config {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.clock.Now()
	if !now.Before(t.until) {
		if err := t.load(); err != nil {
			t.log.Error("the TLS certificate cannot be read; the one before is shown", "error", err)
		}
		t.renew(now)
	}
	return t.config
}

// load reads the certificate when its files have changed.
func (t *tlsKeys) load() error {
	var marks [2]fileMark
	for i, path := range []string{t.certFile, t.keyFile} {
		st, err := os.Stat(path)
		if err != nil {
			return fmt.Errorf("load TLS certificate: %w", err)
		}
		marks[i] = markOf(st)
	}
	if marks == t.from {
		return nil
	}
	cert, err := tls.LoadX509KeyPair(t.certFile, t.keyFile)
	if err != nil {
		return fmt.Errorf("load TLS certificate: %w", err)
	}
	t.cert, t.from = cert, marks
	return nil
}

// renew makes the configuration for a while. t.mu is held.
func (t *tlsKeys) renew(now time.Time) {
	t.config = &tls.Config{Certificates: []tls.Certificate{t.cert}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}
	t.config.SetSessionTicketKeys(ticketKeys(t.sessions(), now))
	t.until = now.Add(tlsRenew)
}

// ticketKeys are those of today, which seals, and of every day whose tickets are taken.
func ticketKeys(sessions []keyset.Key, now time.Time) [][32]byte {
	const oldest = int64(ticketLife / ticketDay)
	today := now.Unix() / int64(ticketDay/time.Second)
	var keys [][32]byte
	of := func(key keyset.Key, day int64) {
		keys = append(keys, keyset.Derive(key, "ticket/1/"+strconv.FormatInt(day, 10)))
	}
	of(sessions[0], today)
	for i, key := range sessions {
		for day := today + clockSkew; day >= today-oldest; day-- {
			if i > 0 || day != today {
				of(key, day)
			}
		}
	}
	return keys
}

// advise says what makes a first visit slow. t.mu is held.
func (t *tlsKeys) advise() {
	size := 0
	for _, der := range t.cert.Certificate {
		size += len(der)
	}
	if _, ok := t.cert.PrivateKey.(*ecdsa.PrivateKey); !ok || size > shortChainMax {
		t.log.Warn("a first visit over HTTP/3 takes one round trip more with this certificate: an ECDSA key and a short chain avoid it",
			"chain_bytes", size, "ecdsa", ok, "chain_bytes_max", shortChainMax)
	}
}
