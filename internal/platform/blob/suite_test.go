package blob_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chopmark/chopmark/internal/platform/blob"
	"github.com/chopmark/chopmark/internal/platform/blob/blobtest"
	"github.com/chopmark/chopmark/internal/platform/fault"
	"github.com/chopmark/chopmark/internal/platform/obs"
	"github.com/chopmark/chopmark/test/servers"
)

func open(t testing.TB, where, local string) blob.Store {
	t.Helper()
	s, err := blob.Open(t.Context(), blob.Config{URL: where, Local: local, Log: obs.NewLogger(t.Output(), slog.LevelInfo)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestDirSuite(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blobtest.Open {
		dir := t.TempDir()
		return func(t testing.TB) blob.Store { return open(t, "", dir) }
	})
}

func TestFileURLSuite(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blobtest.Open {
		where := (&url.URL{Scheme: "file", Path: filepath.Join(t.TempDir(), "files of 2026")}).String()
		return func(t testing.TB) blob.Store { return open(t, where, "") }
	})
}

func TestS3Suite(t *testing.T) {
	t.Parallel()
	blobtest.Run(t, func(t *testing.T) blobtest.Open {
		where, local := servers.S3(t), t.TempDir()
		return func(t testing.TB) blob.Store { return open(t, where, local) }
	})
}

// TestS3TLS runs the suite over TLS with an authority of the test's own. Whoever does not
// know it sends that server nothing.
func TestS3TLS(t *testing.T) {
	t.Parallel()
	files := servers.Certificate(t)
	blobtest.Run(t, func(t *testing.T) blobtest.Open {
		where, local := servers.SecureS3(t, files), t.TempDir()
		where.RawQuery = url.Values{"ca": {files.CA}}.Encode()
		return func(t testing.TB) blob.Store { return open(t, where.String(), local) }
	})
	where := servers.SecureS3(t, files)
	for why, query := range map[string]string{"an unknown authority": "", "another authority": "ca=" + servers.Certificate(t).CA, "in clear": "tls=0"} {
		where.RawQuery = query
		s, err := blob.Open(t.Context(), blob.Config{URL: where.String(), Local: t.TempDir(), Log: obs.NewLogger(io.Discard, slog.LevelInfo)})
		if err != nil {
			continue
		}
		if _, err := s.Open(t.Context(), "x.txt"); err == nil || errors.Is(err, blob.ErrUnknown) {
			t.Errorf("%s: the server is believed: %v", why, err)
		}
	}
	for _, query := range []string{"tls=0&ca=" + files.CA, "ca=", "ca=" + files.CA + ".gone", "ca=" + files.Key} {
		where.RawQuery = query
		_, err := blob.Open(t.Context(), blob.Config{URL: where.String(), Local: t.TempDir(), Log: obs.NewLogger(io.Discard, slog.LevelInfo)})
		if !errors.Is(err, blob.ErrURL) {
			t.Errorf("%q: %v", query, err)
		}
		quotesNoSecret(t, err)
	}
}

// TestS3PrefixesAreApart: two installations may share a bucket.
func TestS3PrefixesAreApart(t *testing.T) {
	t.Parallel()
	where := servers.S3(t)
	under := func(prefix string) blob.Store {
		s := open(t, strings.Replace(where, "?", "/"+prefix+"?", 1), t.TempDir())
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	a, b := under("a"), under("deep/b")
	u, err := a.Resume(t.Context(), "x", 0)
	if err == nil {
		err = u.Commit(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Open(t.Context(), "x"); !errors.Is(err, blob.ErrUnknown) {
		t.Errorf("the other prefix: %v", err)
	}
	if f, err := a.Open(t.Context(), "x"); err != nil {
		t.Errorf("the same prefix: %v", err)
	} else {
		_ = f.Close()
	}
}

// TestS3AnotherMachineBeginsAnew: a half-made file is known to its machine only.
func TestS3AnotherMachineBeginsAnew(t *testing.T) {
	t.Parallel()
	where := servers.S3(t)
	one, two := open(t, where, t.TempDir()), open(t, where, t.TempDir())
	defer one.Close()
	defer two.Close()
	u, err := one.Resume(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := u.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := two.Resume(t.Context(), "x", 5); err == nil {
		t.Error("another machine goes on with bytes that it does not have")
	}
	if u, err = two.Resume(t.Context(), "x", 0); err == nil {
		err = u.Commit(t.Context())
	}
	if err != nil {
		t.Error(err)
	}
}

// secretOf is what no error may hold.
const secretOf = "s3cr3t/+with=signs"

func quotesNoSecret(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		return
	}
	for _, secret := range []string{secretOf, url.QueryEscape(secretOf), url.UserPassword("k", secretOf).String()} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("an error quotes the secret: %v", err)
		}
	}
}

func TestURLsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, where := range []string{
		"s3://k:" + secretOf + "@host/bucket", // not encoded
		"s3://k:%zz" + url.QueryEscape(secretOf) + "@h/b",
		"s3://host/bucket", "s3://key@host/bucket", "s3://k:s@host", "s3://k:s@/bucket", "s3://k:s@host/bucket?tls=2",
		"s3://k:s@host/bucket?region=x", "s3://k:s@host/bucket#x", "s3://k:s@ho st/bucket", "https://k:s@host/bucket", "/var/files",
		"file://host/dir", "file:dir", "file:///dir?x=1", "s3://k:" + url.QueryEscape(secretOf) + "@host:99999999/bucket?tls=no",
	} {
		s, err := blob.Open(t.Context(), blob.Config{URL: where, Local: t.TempDir(), Log: obs.NewLogger(t.Output(), slog.LevelInfo)})
		if !errors.Is(err, blob.ErrURL) || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: %v, %v", where, s, err)
		}
		quotesNoSecret(t, err)
	}
}

// TestS3WrongStart: what can never work is refused with the reason, and nothing says
// the secret.
func TestS3WrongStart(t *testing.T) {
	t.Parallel()
	right, err := url.Parse(servers.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	wrongKey, noBucket := *right, *right
	wrongKey.User = url.UserPassword(right.User.Username(), secretOf)
	noBucket.Path = "/no-such-bucket"
	for name, where := range map[string]url.URL{"may not be used": wrongKey, "there is no bucket": noBucket} {
		_, err := blob.Open(t.Context(), blob.Config{URL: where.String(), Local: t.TempDir(), Log: obs.NewLogger(t.Output(), slog.LevelInfo)})
		if !errors.Is(err, blob.ErrRefused) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		quotesNoSecret(t, err)
	}
}

// TestS3Away: a server that does not answer stops no start; files wait for it, and
// the half-made one stays.
func TestS3Away(t *testing.T) {
	t.Parallel()
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	where := url.URL{
		Scheme: "s3", User: url.UserPassword("key", secretOf), Host: away.Addr().String(), Path: "/bucket", RawQuery: "tls=0",
	}
	if err := away.Close(); err != nil { // nobody listens there from now on
		t.Fatal(err)
	}
	var said strings.Builder
	s, err := blob.Open(t.Context(), blob.Config{URL: where.String(), Local: t.TempDir(), Log: obs.NewLogger(&said, slog.LevelInfo)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if !strings.Contains(said.String(), "does not answer") || strings.Contains(said.String(), secretOf) {
		t.Errorf("the log says %s", said.String())
	}
	u, err := s.Resume(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := u.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	commit := u.Commit(t.Context())
	_, openErr := s.Open(t.Context(), "x")
	for doing, err := range map[string]error{"commit": commit, "open": openErr, "remove": s.Remove(t.Context(), "y")} {
		if !errors.Is(err, blob.ErrUnavailable) || fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v", doing, err)
		}
		quotesNoSecret(t, err)
	}
	t.Logf("three calls were given up after %v", time.Since(began))
	if u, err = s.Resume(t.Context(), "x", 5); err != nil {
		t.Errorf("what was not sent is gone: %v", err)
	} else {
		_ = u.Close()
	}
}

// cutter is a wire to a server that breaks after so many bytes to it.
type cutter struct {
	net.Listener
	server string
	after  int64
}

func (c *cutter) serve() {
	for {
		in, err := c.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", c.server)
		if err != nil {
			_ = in.Close()
			continue
		}
		go func() {
			_, _ = io.CopyN(out, in, c.after)
			_, _ = in.Close(), out.Close()
		}()
		go func() { _, _ = io.Copy(in, out) }()
	}
}

// TestS3CutOff: an upload that breaks in the middle shows nothing, and goes on.
func TestS3CutOff(t *testing.T) {
	t.Parallel()
	right, err := url.Parse(servers.S3(t))
	if err != nil {
		t.Fatal(err)
	}
	wire, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer wire.Close()
	go (&cutter{wire, right.Host, 5 << 20}).serve() // ends with the listener
	broken, local := *right, t.TempDir()
	broken.Host = wire.Addr().String()
	s := open(t, broken.String(), local)
	u, err := s.Resume(t.Context(), "x", 0)
	if err != nil {
		t.Fatal(err)
	}
	text := bytes.Repeat([]byte("0123456789abcdef"), 50<<20/16)
	if _, err := u.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context()); !errors.Is(err, blob.ErrUnavailable) {
		t.Fatalf("the wire broke: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, right.String(), local)
	defer s.Close()
	if _, err := s.Open(t.Context(), "x"); !errors.Is(err, blob.ErrUnknown) {
		t.Fatalf("half of a file is seen: %v", err)
	}
	if u, err = s.Resume(t.Context(), "x", int64(len(text))); err != nil {
		t.Fatal(err)
	}
	if err := u.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, text) {
		t.Errorf("read %d bytes, %v", len(got), err)
	}
}
