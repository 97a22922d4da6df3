// Package archive is the form of a backup: one file that is written in one go, to a
// disk or down a connection, and read in one go.
//
// It is a tar of plain files, packed with zstd, so that common tools open it. The
// first member tells what it is, the last one names every other with its size and
// SHA-256, which tells what is damaged. The file ends with the SHA-256 of all that is
// before, in a frame that zstd passes over: packing has bits that say nothing, and a
// disk that has turned one over is not to be trusted with the others.
//
// Promise: Read returns nil only when the file is as it was written, to the bit, and
// whole (TestTruncated, TestFlipped). It gives away
// names that the caller knows and nothing else, so no archive leads out of the folder
// that it is unpacked into (TestNames).
package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The first and the last member.
const (
	ManifestName = "manifest.json"
	trailerName  = "trailer.json"
)

// Limits of an archive that is read: it may be anybody's.
const (
	membersMax       = 200_000
	memberBytesMax   = 4 << 40
	manifestBytesMax = 1 << 20
	trailerBytesMax  = 64 << 20
	windowBytesMax   = 16 << 20
)

// sealHead begins a zstd frame of 32 bytes that readers pass over.
const sealHead = "\x5e\x2a\x4d\x18\x20\x00\x00\x00"

const sealBytes = len(sealHead) + sha256.Size

// ErrDamaged answers what is no whole archive.
var ErrDamaged = fault.New(fault.Invalid, "archive.damaged", "this is no whole backup")

// Member is a file in an archive.
type Member struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

type trailer struct {
	Members []Member `json:"members"`
}

// Writer writes an archive. What a failed call left behind is no archive; a Writer
// that is given up holds nothing but memory.
type Writer struct {
	ctx     context.Context //nolint:containedctx // one writing, from Create to Close
	out     io.Writer
	sum     hash.Hash // of all that out was given
	packed  *zstd.Encoder
	tar     *tar.Writer
	members []Member
}

// Create begins an archive with its manifest, which is written as JSON. Writing ends
// with ctx.
func Create(ctx context.Context, w io.Writer, manifest any) (*Writer, error) {
	sum := sha256.New()
	packed, err := zstd.NewWriter(io.MultiWriter(w, sum), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		return nil, fmt.Errorf("begin archive: %w", err)
	}
	a := &Writer{ctx: ctx, out: w, sum: sum, packed: packed, tar: tar.NewWriter(packed)}
	err = a.addJSON(ManifestName, manifest)
	return a, err
}

func (a *Writer) addJSON(name string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	return a.AddBytes(name, raw)
}

// AddBytes writes a small member.
func (a *Writer) AddBytes(name string, raw []byte) error {
	return a.Add(name, int64(len(raw)), bytes.NewReader(raw))
}

// Add writes a member of exactly so many bytes.
func (a *Writer) Add(name string, size int64, r io.Reader) error {
	sum := sha256.New()
	err := a.tar.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600})
	if err == nil {
		_, err = io.CopyN(io.MultiWriter(a.tar, sum), untilDone{a.ctx, r}, size)
	}
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	a.members = append(a.members, Member{name, size, hexOf(sum)})
	return nil
}

// AddFile writes a file as a member. What is appended to it meanwhile is left out.
func (a *Writer) AddFile(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("archive %s: %w", name, err)
	}
	st, err := f.Stat()
	if err == nil {
		err = a.Add(name, st.Size(), f)
	}
	return errors.Join(err, f.Close())
}

// Close writes what makes the archive whole.
func (a *Writer) Close() error {
	if err := a.addJSON(trailerName, trailer{a.members}); err != nil {
		return err
	}
	if err := errors.Join(a.tar.Close(), a.packed.Close()); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	if _, err := a.out.Write(a.sum.Sum([]byte(sealHead))); err != nil {
		return fmt.Errorf("end archive: %w", err)
	}
	return nil
}

// Consumer is who unpacks an archive. Nothing that it was given can be trusted before
// Read has returned nil.
type Consumer struct {
	// Manifest is called first.
	Manifest func(raw []byte) error
	// Knows tells whether a member may have the name.
	Knows func(name string) bool
	// Member is given each one in its order, and reads it or not.
	Member func(m Member, r io.Reader) error
}

// Read reads an archive through and holds it to its sums. Those of the members are
// known when their readers have ended, so Member is given none.
func Read(ctx context.Context, file io.ReadSeeker, c Consumer) (members []Member, _ error) {
	size, err := file.Seek(0, io.SeekEnd)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, fmt.Errorf("read archive: %w", err)
	}
	sum := sha256.New()
	body := io.TeeReader(io.LimitReader(untilDone{ctx, file}, size-int64(sealBytes)), sum)
	packed, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(windowBytesMax))
	if err != nil {
		return nil, orDone(ctx, ErrDamaged.Because(err))
	}
	defer packed.Close()
	in := reading{tar: tar.NewReader(packed), names: map[string]bool{}}
	for err == nil {
		err = in.next(c)
	}
	if !errors.Is(err, errEnd) {
		return nil, orDone(ctx, err)
	}
	if n, err := io.Copy(io.Discard, packed); n > 0 || err != nil {
		return nil, orDone(ctx, ErrDamaged.Textf("the backup is damaged: something is behind its end").Because(err))
	}
	seal := make([]byte, sealBytes)
	if _, err := io.ReadFull(file, seal); err != nil || !bytes.Equal(seal, sum.Sum([]byte(sealHead))) {
		return nil, ErrDamaged.Textf("the backup is damaged: its bytes are not those that were written").Because(err)
	}
	return in.members, nil
}

// orDone prefers the reason for which the reading was given up.
func orDone(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

var errEnd = errors.New("archive: the end")

type reading struct {
	tar     *tar.Reader
	members []Member
	names   map[string]bool
}

// next reads one member; errEnd when that was the trailer and it fits.
func (in *reading) next(c Consumer) error {
	h, err := in.tar.Next()
	if err != nil {
		return ErrDamaged.Textf("the backup ends early or is damaged, after %d files", len(in.members)).Because(err)
	}
	first := len(in.members) == 0
	switch {
	case h.Typeflag != tar.TypeReg || h.Size < 0 || h.Size > memberBytesMax || len(in.members) >= membersMax:
		return ErrDamaged.Textf("%q is not a file that a backup has", h.Name)
	case in.names[h.Name]:
		return ErrDamaged.Textf("%q is in the backup twice", h.Name)
	case first != (h.Name == ManifestName):
		return ErrDamaged.Textf("%q is not what a backup begins with", h.Name)
	}
	in.names[h.Name] = true
	switch {
	case first:
		var raw []byte
		if raw, err = in.small(h, manifestBytesMax); err != nil {
			return err
		}
		return c.Manifest(raw)
	case h.Name == trailerName:
		return in.end(h)
	case !c.Knows(h.Name):
		return ErrDamaged.Textf("%q is not a file that a backup has", h.Name)
	}
	return in.member(h, c.Member)
}

func (in *reading) member(h *tar.Header, to func(Member, io.Reader) error) error {
	sum := sha256.New()
	from := &strict{r: io.TeeReader(in.tar, sum)}
	err := to(Member{Name: h.Name, Bytes: h.Size}, from)
	if err == nil {
		_, err = io.Copy(io.Discard, from)
	}
	switch {
	case from.err != nil: // whatever became of it there
		return ErrDamaged.Textf("the backup ends early or is damaged, in %s", h.Name).Because(from.err)
	case err != nil:
		return err
	}
	in.members = append(in.members, Member{h.Name, h.Size, hexOf(sum)})
	return nil
}

// small reads a member of ours whole.
func (in *reading) small(h *tar.Header, limit int64) (raw []byte, err error) {
	if h.Size > limit {
		return nil, ErrDamaged.Textf("%s has %d bytes, more than %d", h.Name, h.Size, limit)
	}
	err = in.member(h, func(_ Member, r io.Reader) (err error) {
		raw, err = io.ReadAll(r)
		return err
	})
	return raw, err
}

// end holds what was read to the trailer.
func (in *reading) end(h *tar.Header) error {
	have := in.members
	raw, err := in.small(h, trailerBytesMax)
	if err != nil {
		return err
	}
	in.members = have
	var t trailer
	if err := json.Unmarshal(raw, &t); err != nil {
		return ErrDamaged.Textf("the backup's list of sums is damaged").Because(err)
	}
	if !slices.Equal(t.Members, have) {
		return ErrDamaged.Textf("the backup is damaged: %s", difference(t.Members, have))
	}
	if _, err := in.tar.Next(); !errors.Is(err, io.EOF) {
		return ErrDamaged.Textf("the backup is damaged: something is behind its end").Because(err)
	}
	return errEnd
}

func difference(want, have []Member) string {
	for i := range min(len(want), len(have)) {
		if want[i] != have[i] {
			return have[i].Name + " is not as it was written"
		}
	}
	return fmt.Sprintf("it should have %d files and has %d", len(want), len(have))
}

// strict remembers what went wrong with the archive itself.
type strict struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *strict) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// untilDone ends reading with a context.
type untilDone struct {
	ctx context.Context //nolint:containedctx // of one copy
	r   io.Reader
}

// Read implements io.Reader.
func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

func hexOf(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
