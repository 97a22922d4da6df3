// Package blob keeps files: exports, images, backups.
//
// Invariant: a name that Open finds holds a whole file. An upload lives under
// another name until Commit, is durable up to its last Sync, and can be resumed
// there by another process of the same machine. Every engine keeps that (blobtest).
package blob

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"os"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// What a caller may be told.
var (
	ErrUnknown     = fault.New(fault.NotFound, "blob.unknown", "no such file")
	ErrNoSpace     = fault.New(fault.Unavailable, "blob.no_space", "no space left on the device that keeps files")
	ErrUnavailable = fault.New(fault.Unavailable, "blob.unavailable", "the place that keeps files does not answer")
	ErrRefused     = fault.New(fault.Unavailable, "blob.refused", "the place that keeps files refuses")
	ErrURL         = fault.New(fault.Invalid, "blob.url", "must be file:///dir or s3://key:secret@host:port/bucket; "+
		"what is not plain in key and secret is percent-encoded, ?tls=0 is for a server without TLS, ?ca=FILE for an authority of your own")
)

// Store keeps files under names of one plain segment; any other name is unknown.
type Store interface {
	// Open reads a whole file; ErrUnknown when there is none. The file may be read
	// while ctx lives.
	Open(ctx context.Context, name string) (*File, error)
	// Resume begins an upload, or goes on with one: what lies beyond offset bytes is
	// cut off. The caller knows offset from its own durable checkpoint (0 = anew). It
	// fails when fewer bytes are there; then begin anew.
	Resume(ctx context.Context, name string, offset int64) (*Upload, error)
	// Remove deletes a file and an unfinished upload of the name; none is not an error.
	Remove(ctx context.Context, name string) error
	Close() error
}

// Config says where files are kept.
type Config struct {
	URL string // "" = in Local; file:///dir; s3://key:secret@host:port/bucket[/prefix][?tls=0|?ca=FILE]
	// Local is a directory of this process alone. With s3 it holds unfinished uploads.
	Local string
	Log   *slog.Logger
}

// Open opens the place that the URL names. No error quotes the URL: it has a secret.
func Open(ctx context.Context, c Config) (Store, error) {
	if c.URL == "" {
		return OpenDir(c.Local)
	}
	u, err := url.Parse(c.URL)
	if err != nil {
		return nil, ErrURL // its error quotes the URL
	}
	switch u.Scheme {
	case "file":
		if u.Host != "" || u.User != nil || u.Path == "" || u.RawQuery != "" || u.Fragment != "" {
			return nil, ErrURL
		}
		return OpenDir(u.Path)
	case "s3":
		place, err := parseS3(u)
		if err != nil {
			return nil, err
		}
		return openS3(ctx, place, c)
	}
	return nil, ErrURL
}

// File is a whole file being read.
type File struct {
	io.ReadSeekCloser
	Size int64
}

// Upload is a file being written, by one goroutine.
type Upload struct {
	f       *os.File
	publish func(context.Context) error // gives the synced, closed file its name
}

// Write implements io.Writer.
func (u *Upload) Write(p []byte) (int, error) {
	n, err := u.f.Write(p)
	return n, spaceOr("write file", err)
}

// Sync makes durable what was written so far.
func (u *Upload) Sync() error { return spaceOr("sync file", u.f.Sync()) }

// Commit makes the whole file visible under its name, durably. When it fails the
// upload can be resumed, and whether the file is visible is not known.
func (u *Upload) Commit(ctx context.Context) error {
	if err := errors.Join(u.f.Sync(), u.f.Close()); err != nil {
		return spaceOr("finish file", err)
	}
	return u.publish(ctx)
}

// Close gives the upload up without removing it, so that it can be resumed.
func (u *Upload) Close() error { return u.f.Close() }
