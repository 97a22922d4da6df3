package blob

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/chopmark/chopmark/internal/platform/clock"
	"github.com/chopmark/chopmark/internal/platform/tlsclient"
)

// S3 keeps files in a bucket, which any number of processes may share. A file is
// written to a directory of this process, where it survives a crash, and is put into
// the bucket when it is whole: S3 shows an object whole or not at all. So a half-made
// file is known to its machine only; elsewhere it is begun anew.
type S3 struct {
	client *minio.Client
	bucket string
	prefix string
	parts  *Dir // unfinished uploads
}

var _ Store = (*S3)(nil)

const (
	dialTimeout  = 10 * time.Second
	stallTimeout = 2 * time.Minute  // without a byte in either direction; putting many parts together takes a server a while
	checkTimeout = 10 * time.Second // at the start
	connections  = 16               // kept open
	retries      = 3                // of one request; the place is then unavailable
)

// place is what an s3 URL says.
type place struct {
	host, key, secret, bucket, prefix string
	tls                               bool
	ca                                string // file of authorities; "" = the machine's
}

func parseS3(u *url.URL) (place, error) {
	p := place{host: u.Host, key: u.User.Username(), tls: true}
	p.secret, _ = u.User.Password()
	p.bucket, p.prefix, _ = strings.Cut(strings.Trim(u.Path, "/"), "/")
	if p.prefix != "" {
		p.prefix += "/"
	}
	for name, values := range u.Query() {
		switch {
		case name == "tls" && len(values) == 1 && (values[0] == "0" || values[0] == "1"):
			p.tls = values[0] == "1"
		case name == "ca" && len(values) == 1 && values[0] != "":
			p.ca = values[0]
		default:
			return p, ErrURL
		}
	}
	if p.ca != "" && !p.tls {
		return p, ErrURL
	}
	if p.host == "" || p.key == "" || p.secret == "" || p.bucket == "" || u.Fragment != "" {
		return p, ErrURL
	}
	return p, nil
}

func openS3(ctx context.Context, p place, c Config) (*S3, error) {
	trusted, err := tlsclient.Config(p.ca)
	if err != nil {
		return nil, ErrURL.Textf("%v", err)
	}
	client, err := minio.New(p.host, &minio.Options{
		Creds: credentials.NewStaticV4(p.key, p.secret, ""), Secure: p.tls, Transport: newTransport(trusted), MaxRetries: retries,
	})
	if err != nil {
		return nil, ErrURL // it would only say the host in other words
	}
	s := &S3{client: client, bucket: p.bucket, prefix: p.prefix}
	if err := s.check(ctx, c); err != nil {
		return nil, err
	}
	s.parts, err = OpenDir(c.Local)
	return s, err
}

// check refuses a bucket that cannot be used. A server that does not answer is no
// reason to answer no scans: files wait for it.
func (s *S3) check(ctx context.Context, c Config) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	found, err := s.client.BucketExists(ctx, s.bucket)
	err = faultOf("look for the bucket", err)
	switch {
	case err == nil && !found:
		return ErrRefused.Textf("there is no bucket %q: make it first", s.bucket)
	case errors.Is(err, ErrRefused):
		return ErrRefused.Textf("the bucket %q may not be used with this key: it must be allowed to list, get, put and delete there", s.bucket).Because(err)
	case err != nil:
		c.Log.Warn("the place that keeps files does not answer; files will wait for it", "error", err)
	}
	return nil
}

// Close implements Store.
func (s *S3) Close() error { return s.parts.Close() }

// Open implements Store.
func (s *S3) Open(ctx context.Context, name string) (*File, error) {
	if !validName(name) {
		return nil, ErrUnknown
	}
	o, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, faultOf("open file", err)
	}
	st, err := o.Stat()
	if err != nil {
		return nil, errors.Join(faultOf("open file", err), o.Close())
	}
	return &File{o, st.Size}, nil
}

// Resume implements Store.
func (s *S3) Resume(ctx context.Context, name string, offset int64) (*Upload, error) {
	u, err := s.parts.Resume(ctx, name, offset)
	if err == nil {
		u.publish = func(ctx context.Context) error { return s.put(ctx, name) }
	}
	return u, err
}

// put sends a finished upload. To send it again changes nothing.
func (s *S3) put(ctx context.Context, name string) (err error) {
	f, err := s.parts.root.Open(name + partSuffix)
	if err != nil {
		return fmt.Errorf("finish file: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil {
		return fmt.Errorf("finish file: %w", err)
	}
	// what a process that was killed had sent of it costs room, and nobody sees it
	if err := s.client.RemoveIncompleteUpload(ctx, s.bucket, s.prefix+name); err != nil && !isMissing(err) {
		return faultOf("finish file", err)
	}
	if _, err := s.client.PutObject(ctx, s.bucket, s.prefix+name, f, st.Size(), minio.PutObjectOptions{}); err != nil {
		return faultOf("finish file", err)
	}
	return s.parts.Remove(ctx, name)
}

// Remove implements Store.
func (s *S3) Remove(ctx context.Context, name string) error {
	if !validName(name) {
		return nil // no file can have it
	}
	err := s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{})
	if err == nil {
		err = s.client.RemoveIncompleteUpload(ctx, s.bucket, s.prefix+name)
	}
	if isMissing(err) {
		err = nil
	}
	return errors.Join(faultOf("remove file", err), s.parts.Remove(ctx, name))
}

func isMissing(err error) bool {
	code := minio.ToErrorResponse(err).Code
	return code == minio.NoSuchKey || code == minio.NoSuchUpload
}

// faultOf says what an error of the client means to a caller.
func faultOf(doing string, err error) error {
	answer := minio.ToErrorResponse(err)
	switch {
	case err == nil:
		return nil
	case isMissing(err):
		return ErrUnknown
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("%s: %w", doing, err)
	case answer.StatusCode == http.StatusInsufficientStorage, answer.Code == "QuotaExceeded":
		return ErrNoSpace.Because(err)
	case answer.StatusCode >= 400 && answer.StatusCode < 500 && answer.StatusCode != http.StatusTooManyRequests && answer.StatusCode != http.StatusRequestTimeout:
		return ErrRefused.Textf("the place that keeps files refuses: %s", answer.Code).Because(fmt.Errorf("%s: %w", doing, err))
	default:
		return ErrUnavailable.Because(fmt.Errorf("%s: %w", doing, err))
	}
}

// newTransport bounds every wait, and lets a transfer last as long as it goes on.
func newTransport(trusted *tls.Config) *http.Transport {
	d := net.Dialer{Timeout: dialTimeout}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			c, err := d.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &livelyConn{c, clock.System{}}, nil
		},
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       trusted,
		TLSHandshakeTimeout:   dialTimeout,
		ResponseHeaderTimeout: stallTimeout,
		IdleConnTimeout:       stallTimeout,
		MaxIdleConnsPerHost:   connections,
		DisableCompression:    true, // files are compressed already, and sizes must be true
	}
}

// livelyConn fails when nothing moves any more. An upload waits for its answer while
// it still sends, so either direction keeps both alive.
type livelyConn struct {
	net.Conn
	clock clock.Clock
}

func (c *livelyConn) Read(p []byte) (int, error) {
	if err := c.SetDeadline(c.clock.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

func (c *livelyConn) Write(p []byte) (int, error) {
	if err := c.SetDeadline(c.clock.Now().Add(stallTimeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}
