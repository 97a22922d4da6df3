package blob

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Dir keeps files in a directory, for one process at a time.
type Dir struct{ root *os.Root }

var _ Store = (*Dir)(nil)

// OpenDir opens the directory and makes it when it is absent. Names cannot lead
// out of it.
func OpenDir(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("make blob directory: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open blob directory: %w", err)
	}
	return &Dir{root}, nil
}

// Close ends the use of the directory.
func (d *Dir) Close() error { return d.root.Close() }

// Open implements Store.
func (d *Dir) Open(_ context.Context, name string) (*File, error) {
	if !validName(name) {
		return nil, ErrUnknown
	}
	f, err := d.root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrUnknown
	}
	if err != nil {
		return nil, fmt.Errorf("open file: %w", err)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open file: %w", err), f.Close())
	}
	return &File{f, st.Size()}, nil
}

// Names lists the whole files.
func (d *Dir) Names() ([]string, error) {
	entries, err := fs.ReadDir(d.root.FS(), ".")
	if err != nil {
		return nil, fmt.Errorf("list files: %w", err)
	}
	var names []string
	for _, e := range entries {
		if e.Type().IsRegular() && validName(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names, nil
}

// Remove implements Store.
func (d *Dir) Remove(_ context.Context, name string) error {
	if !validName(name) {
		return nil // no file can have it
	}
	for _, n := range []string{name, name + partSuffix} {
		if err := d.root.Remove(n); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove file: %w", err)
		}
	}
	return nil
}

const partSuffix = ".part"

// validName allows one plain segment. Unfinished uploads have no name to readers.
func validName(name string) bool {
	return name != "." && filepath.IsLocal(name) && !strings.ContainsAny(name, "/\\\x00") && !strings.HasSuffix(name, partSuffix)
}

// Resume implements Store.
func (d *Dir) Resume(_ context.Context, name string, offset int64) (*Upload, error) {
	if !validName(name) {
		return nil, fmt.Errorf("blob: bad name %q", name)
	}
	f, err := d.root.OpenFile(name+partSuffix, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, spaceOr("begin upload", err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() < offset {
		err = fmt.Errorf("unfinished file %s has %d bytes, the checkpoint says %d", name, st.Size(), offset)
	}
	if err == nil {
		err = f.Truncate(offset)
	}
	if err == nil {
		_, err = f.Seek(offset, io.SeekStart)
	}
	if err == nil && offset == 0 {
		err = d.sync() // what Sync makes durable must also be found again
	}
	if err != nil {
		return nil, errors.Join(spaceOr("resume upload", err), f.Close())
	}
	return &Upload{f, func(context.Context) error { return d.publish(name) }}, nil
}

func (d *Dir) publish(name string) error {
	if err := d.root.Rename(name+partSuffix, name); err != nil {
		return fmt.Errorf("finish file: %w", err)
	}
	return d.sync()
}

// sync makes the directory's entries durable.
func (d *Dir) sync() error {
	f, err := d.root.Open(".")
	if err != nil {
		return fmt.Errorf("sync blob directory: %w", err)
	}
	return errors.Join(f.Sync(), f.Close())
}

// spaceOr turns "disk full" into the fault that an operator can act on.
func spaceOr(doing string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return ErrNoSpace.Because(err)
	default:
		return fmt.Errorf("%s: %w", doing, err)
	}
}
