// Package blobtest is the suite that holds every engine of blob to its contract.
package blobtest

import (
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/chopmark/chopmark/internal/platform/blob"
)

// Open opens one and the same empty place, each time as another process of the same
// machine would. The suite closes what it opens.
type Open func(t testing.TB) blob.Store

// Run holds an engine to the contract. place makes a new, empty place.
func Run(t *testing.T, place func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"SeenWhenWhole":         seenWhenWhole,
		"ResumeCutsTheTail":     resumeCutsTheTail,
		"CommitReplaces":        commitReplaces,
		"CommitAgain":           commitAgain,
		"RemoveTakesTheUpload":  removeTakesTheUpload,
		"NamesCannotEscape":     namesCannotEscape,
		"ReadFromAnywhere":      readFromAnywhere,
		"ManyAtOnce":            manyAtOnce,
		"LikeAMapOfWholeTexts":  likeAMap,
		"LargeFileIsSentWhole":  large,
		"EmptyFile":             empty,
		"OthersSeeWhatIsThere":  othersSee,
		"UnknownNameHasNoBytes": unknownName,
	} {
		t.Run(name, func(t *testing.T) { test(t, place(t)) })
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, o Open) blob.Store {
	t.Helper()
	s := o(t)
	t.Cleanup(func() { _ = s.Close() }) // a test may have closed it
	return s
}

func resume(t testing.TB, s blob.Store, name string, offset int64) *blob.Upload {
	t.Helper()
	u, err := s.Resume(t.Context(), name, offset)
	must(t, err)
	return u
}

func write(t testing.TB, u *blob.Upload, text string) {
	t.Helper()
	if n, err := io.WriteString(u, text); n != len(text) || err != nil {
		t.Fatalf("wrote %d bytes, %v", n, err)
	}
}

func put(t testing.TB, s blob.Store, name, text string) {
	t.Helper()
	u := resume(t, s, name, 0)
	write(t, u, text)
	must(t, u.Commit(t.Context()))
}

func wantText(t testing.TB, s blob.Store, name, want string) {
	t.Helper()
	f, err := s.Open(t.Context(), name)
	must(t, err)
	defer func() { _ = f.Close() }() // it was only read
	raw, err := io.ReadAll(f)
	must(t, err)
	if string(raw) != want {
		t.Fatalf("%s has %d bytes %.40q, want %d bytes %.40q", name, len(raw), raw, len(want), want)
	}
	if f.Size != int64(len(want)) {
		t.Fatalf("%s says %d bytes, has %d", name, f.Size, len(want))
	}
}

func wantUnknown(t testing.TB, s blob.Store, name string) {
	t.Helper()
	if f, err := s.Open(t.Context(), name); !errors.Is(err, blob.ErrUnknown) {
		t.Fatalf("Open(%q) = %v, %v; want it unknown", name, f, err)
	}
}

func seenWhenWhole(t *testing.T, o Open) {
	s, other := open(t, o), open(t, o)
	u := resume(t, s, "a.zip", 0)
	write(t, u, "hello ")
	must(t, u.Sync())
	for _, s := range []blob.Store{s, other} {
		wantUnknown(t, s, "a.zip")
		wantUnknown(t, s, "a.zip.part")
	}
	write(t, u, "world")
	must(t, u.Commit(t.Context()))
	for _, s := range []blob.Store{s, other} {
		wantText(t, s, "a.zip", "hello world")
		wantUnknown(t, s, "a.zip.part")
	}
}

func othersSee(t *testing.T, o Open) {
	s, other := open(t, o), open(t, o)
	put(t, s, "a", "mine")
	wantText(t, other, "a", "mine")
	put(t, other, "a", "theirs")
	wantText(t, s, "a", "theirs")
	must(t, s.Remove(t.Context(), "a"))
	wantUnknown(t, other, "a")
}

func unknownName(t *testing.T, o Open) {
	s := open(t, o)
	wantUnknown(t, s, "nothing")
	wantUnknown(t, s, "nothing here: 100% +&=?#ü.zip")
}

// resumeCutsTheTail: what was written after the last checkpoint is written again.
func resumeCutsTheTail(t *testing.T, o Open) {
	s := open(t, o)
	u := resume(t, s, "a", 0)
	write(t, u, "hello ")
	must(t, u.Sync())
	write(t, u, "lost")
	must(t, u.Close())
	must(t, s.Close())

	s = open(t, o)
	u = resume(t, s, "a", 6)
	write(t, u, "wor")
	must(t, u.Close())
	u = resume(t, s, "a", 9)
	write(t, u, "ld")
	must(t, u.Commit(t.Context()))
	wantText(t, s, "a", "hello world")
	if u, err := s.Resume(t.Context(), "a", 5); err == nil {
		t.Error("an upload was resumed of which nothing is there")
		_ = u.Close()
	}
	u = resume(t, s, "b", 0)
	write(t, u, "12345")
	must(t, u.Close())
	put(t, s, "b", "x") // anew
	wantText(t, s, "b", "x")
}

func commitReplaces(t *testing.T, o Open) {
	s := open(t, o)
	for _, text := range []string{"first and long", "second"} {
		put(t, s, "a", text)
		wantText(t, s, "a", text)
	}
	u := resume(t, s, "a", 0)
	write(t, u, "unfinished")
	must(t, u.Sync())
	wantText(t, s, "a", "second") // the old file stays until the new one is whole
	must(t, u.Close())
}

// commitAgain: who does not know whether a file became visible makes it again.
func commitAgain(t *testing.T, o Open) {
	s := open(t, o)
	put(t, s, "a", "the same")
	put(t, s, "a", "the same")
	wantText(t, s, "a", "the same")
}

func removeTakesTheUpload(t *testing.T, o Open) {
	s := open(t, o)
	put(t, s, "a", "whole")
	put(t, s, "ab", "neighbour")
	u := resume(t, s, "a", 0)
	write(t, u, "begun")
	must(t, u.Close())
	for range 2 { // none is not an error
		must(t, s.Remove(t.Context(), "a"))
	}
	wantUnknown(t, s, "a")
	wantText(t, s, "ab", "neighbour")
	if u, err := s.Resume(t.Context(), "a", 1); err == nil {
		t.Error("a removed upload was resumed")
		_ = u.Close()
	}
}

func namesCannotEscape(t *testing.T, o Open) {
	s := open(t, o)
	for _, name := range []string{
		"", ".", "..", "../secret", "/etc/passwd", "sub/file", `sub\file`, `..\secret`, "a.part", "a\x00b", "sub/../../secret",
	} {
		wantUnknown(t, s, name)
		if u, err := s.Resume(t.Context(), name, 0); err == nil {
			t.Errorf("Resume(%q) succeeded", name)
			_ = u.Close()
		}
		must(t, s.Remove(t.Context(), name))
	}
	for _, name := range []string{"a b+c&d=e?f#g%2F.zip", "中文.zip", "..a", "-"} {
		put(t, s, name, name)
		wantText(t, s, name, name)
		must(t, s.Remove(t.Context(), name))
		wantUnknown(t, s, name)
	}
}

// readFromAnywhere is how a download goes on in the middle.
func readFromAnywhere(t *testing.T, o Open) {
	s := open(t, o)
	put(t, s, "a", "0123456789")
	f, err := s.Open(t.Context(), "a")
	must(t, err)
	defer func() { _ = f.Close() }() // it was only read
	for _, step := range []struct {
		offset int64
		whence int
		at     int64
		want   string
	}{{0, io.SeekEnd, 10, ""}, {0, io.SeekStart, 0, "012"}, {7, io.SeekStart, 7, "789"}, {-4, io.SeekEnd, 6, "67"}, {1, io.SeekStart, 1, "1"}} {
		at, err := f.Seek(step.offset, step.whence)
		must(t, err)
		got := make([]byte, len(step.want))
		if _, err := io.ReadFull(f, got); err != nil || at != step.at || string(got) != step.want {
			t.Errorf("at %d of %d: %q, %v; want %q at %d", step.offset, step.whence, got, err, step.want, step.at)
		}
	}
}

func empty(t *testing.T, o Open) {
	s := open(t, o)
	put(t, s, "a", "")
	wantText(t, s, "a", "")
}

// large is more than one part of a multipart upload.
func large(t *testing.T, o Open) {
	s := open(t, o)
	text := strings.Repeat("0123456789abcde\n", 40<<20/16) + "the end"
	put(t, s, "a", text)
	wantText(t, s, "a", text)
}

func manyAtOnce(t *testing.T, o Open) {
	s := open(t, o)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			name := string(rune('a' + i))
			text := strings.Repeat(name, 1000*i)
			u, err := s.Resume(t.Context(), name, 0)
			if err == nil {
				_, err = io.WriteString(u, text)
			}
			if err == nil {
				err = u.Commit(t.Context())
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 8 {
		name := string(rune('a' + i))
		wantText(t, s, name, strings.Repeat(name, 1000*i))
	}
}

// likeAMap compares random operations with a map of whole texts and one of unfinished
// ones.
func likeAMap(t *testing.T, o Open) {
	s := open(t, o)
	whole, begun := map[string]string{}, map[string]string{}
	names := []string{"a", "b", "c.zip"}
	rapid.Check(t, func(r *rapid.T) {
		for range rapid.IntRange(1, 12).Draw(r, "steps") {
			name := rapid.SampledFrom(names).Draw(r, "name")
			switch what := rapid.SampledFrom([]string{"write", "commit", "remove"}).Draw(r, "what"); what {
			case "write", "commit":
				offset := rapid.IntRange(0, len(begun[name])).Draw(r, "offset")
				text := rapid.StringMatching("[a-z]{0,9}").Draw(r, "text")
				u := resume(t, s, name, int64(offset))
				write(t, u, text)
				text = begun[name][:offset] + text
				if what == "commit" {
					must(t, u.Commit(t.Context()))
					whole[name] = text
					delete(begun, name)
				} else {
					must(t, u.Close())
					begun[name] = text
				}
			case "remove":
				must(t, s.Remove(t.Context(), name))
				delete(whole, name)
				delete(begun, name)
			}
			if text, ok := whole[name]; ok {
				wantText(t, s, name, text)
			} else {
				wantUnknown(t, s, name)
			}
		}
	})
}
