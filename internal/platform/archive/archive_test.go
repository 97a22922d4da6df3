package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/zstd"
)

type content struct{ name, text string }

// sample has a member that is empty, one that packs well and one that does not.
func sample() []content {
	noise := make([]byte, 3000)
	from := rand.NewChaCha8([32]byte{1})
	_, _ = from.Read(noise) // never fails
	return []content{{"a/one", ""}, {"a/two", strings.Repeat("two ", 2000)}, {"b/three", string(noise)}}
}

func pack(t *testing.T, members []content) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := Create(t.Context(), &out, map[string]int{"format": 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if err := w.Add(m.name, int64(len(m.text)), strings.NewReader(m.text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// unpack gives the manifest and the members of an archive.
func unpack(ctx context.Context, raw []byte, knows func(string) bool) (got []content, _ error) {
	_, err := Read(ctx, bytes.NewReader(raw), Consumer{
		Manifest: func(raw []byte) error {
			got = append(got, content{ManifestName, string(raw)})
			return nil
		},
		Knows: knows,
		Member: func(m Member, r io.Reader) error {
			text, err := io.ReadAll(r)
			got = append(got, content{m.Name, string(text)})
			return err
		},
	})
	return got, err
}

func anything(string) bool { return true }

func want() []content { return append([]content{{ManifestName, `{"format":1}`}}, sample()...) }

func TestReadGivesWhatWasWritten(t *testing.T) {
	t.Parallel()
	raw := pack(t, sample())
	got, err := unpack(t.Context(), raw, anything)
	if err != nil || !cmp.Equal(got, want(), cmp.AllowUnexported(content{})) {
		t.Errorf("%v, %d members", err, len(got))
	}
	// who does not read a member gets it checked all the same
	members, err := Read(t.Context(), bytes.NewReader(raw), Consumer{
		Manifest: func([]byte) error { return nil }, Knows: anything, Member: func(Member, io.Reader) error { return nil },
	})
	if err != nil || len(members) != 4 || members[2].Bytes != 8000 || len(members[2].SHA256) != 64 {
		t.Errorf("%v, %+v", err, members)
	}
}

// plain is an archive unpacked to its tar, and repack the reverse.
func plain(t *testing.T, raw []byte) []byte {
	t.Helper()
	z, err := zstd.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// repack also makes the file's own sum fit.
func repack(t *testing.T, text []byte) []byte {
	t.Helper()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return seal(z.EncodeAll(text, nil))
}

func seal(packed []byte) []byte {
	sum := sha256.Sum256(packed)
	return append(append(packed, sealHead...), sum[:]...)
}

// TestTruncated cuts the file at each byte, and a tar that is packed anew, so that
// only our own sums can tell, at each border of a member.
func TestTruncated(t *testing.T) {
	t.Parallel()
	raw := pack(t, sample())
	for n := range raw {
		if _, err := unpack(t.Context(), raw[:n], anything); !errors.Is(err, ErrDamaged) {
			t.Fatalf("the first %d of %d bytes: %v", n, len(raw), err)
		}
	}
	text := plain(t, raw)
	if _, err := unpack(t.Context(), repack(t, text), anything); err != nil {
		t.Fatalf("packed anew and whole: %v", err)
	}
	cuts := 0
	trailer := bytes.Index(text, []byte(trailerName))
	for at := 0; at <= trailer; at += 512 { // the head of a member is a block of its own
		if at > 0 && at != trailer && !isHead(text[at:]) {
			continue
		}
		cuts++
		for _, end := range []int{0, 1024} { // as if it broke off, and as if it ended there
			if _, err := unpack(t.Context(), repack(t, append(bytes.Clone(text[:at]), make([]byte, end)...)), anything); !errors.Is(err, ErrDamaged) {
				t.Errorf("cut before %.20q, %d bytes of end: %v", text[at:], end, err)
			}
		}
	}
	if cuts != 5 { // before the manifest, three members and the trailer
		t.Errorf("%d borders were tried", cuts)
	}
	if _, err := unpack(t.Context(), seal(append(bytes.Clone(raw), repack(t, []byte("more"))...)), anything); !errors.Is(err, ErrDamaged) {
		t.Errorf("something behind the end: %v", err)
	}
}

func isHead(block []byte) bool { return bytes.Equal(block[257:262], []byte("ustar")) }

// TestFlipped turns over bits of the file, and bytes of a tar that is packed anew
// with a sum that fits. There, what no reader looks at may differ.
func TestFlipped(t *testing.T) {
	t.Parallel()
	raw := pack(t, sample())
	for i := range 8 * len(raw) {
		bad := bytes.Clone(raw)
		bad[i/8] ^= 1 << (i % 8)
		if _, err := unpack(t.Context(), bad, anything); !errors.Is(err, ErrDamaged) {
			t.Errorf("bit %d: %v", i, err)
		}
	}
	text, refused := plain(t, raw), 0
	for i := 0; i < len(text); i += 13 {
		bad := bytes.Clone(text)
		bad[i] ^= 0x20
		got, err := unpack(t.Context(), repack(t, bad), anything)
		switch {
		case errors.Is(err, ErrDamaged):
			refused++
		case err != nil || !cmp.Equal(got, want(), cmp.AllowUnexported(content{})):
			t.Errorf("byte %d of the tar: %v, and something else came out", i, err)
		}
	}
	if refused < len(text)/13/2 {
		t.Errorf("only %d were refused", refused)
	}
}

// TestNames plants members that no archive may have.
func TestNames(t *testing.T) {
	t.Parallel()
	knows := func(name string) bool { return strings.HasPrefix(name, "a/") && !strings.Contains(name, "..") }
	build := func(heads ...tar.Header) []byte {
		var out bytes.Buffer
		w := tar.NewWriter(&out)
		for _, h := range heads {
			if h.Mode = 0o600; h.Typeflag == tar.TypeReg {
				h.Size = 2
			}
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
			if h.Typeflag == tar.TypeReg {
				if _, err := w.Write([]byte("{}")); err != nil {
					t.Fatal(err)
				}
			}
		}
		return repack(t, out.Bytes())
	}
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name} }
	manifest := file(ManifestName)
	for name, heads := range map[string][]tar.Header{
		"leads out":             {manifest, file("../evil")},
		"leads out below":       {manifest, file("a/../../evil")},
		"from the root":         {manifest, file("/etc/evil")},
		"unknown":               {manifest, file("b/c")},
		"link":                  {manifest, {Typeflag: tar.TypeSymlink, Name: "a/link", Linkname: "/etc"}},
		"hard link":             {manifest, {Typeflag: tar.TypeLink, Name: "a/link", Linkname: "manifest.json"}},
		"folder":                {manifest, {Typeflag: tar.TypeDir, Name: "a/dir/"}},
		"device":                {manifest, {Typeflag: tar.TypeChar, Name: "a/null"}},
		"twice":                 {manifest, file("a/b"), file("a/b")},
		"two manifests":         {manifest, manifest},
		"no manifest":           {file("a/b")},
		"manifest at the end":   {file("a/b"), manifest},
		"trailer at the begin":  {file(trailerName)},
		"trailer of nothing":    {manifest, file(trailerName)},
		"something behind":      {manifest, file(trailerName), file("a/b")},
		"no trailer":            {manifest, file("a/b")},
		"manifest is no member": {},
	} {
		var unpacked []string
		_, err := Read(t.Context(), bytes.NewReader(build(heads...)), Consumer{
			Manifest: func([]byte) error { return nil }, Knows: knows,
			Member: func(m Member, _ io.Reader) error {
				unpacked = append(unpacked, m.Name)
				return nil
			},
		})
		if !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		for _, n := range unpacked {
			if n != "a/b" {
				t.Errorf("%s: %q was given out", name, n)
			}
		}
	}
	if _, err := unpack(t.Context(), pack(t, []content{{"b/c", "x"}}), knows); !errors.Is(err, ErrDamaged) {
		t.Errorf("an unknown name in a whole archive: %v", err)
	}
}

func TestAddTellsOfShortMembers(t *testing.T) {
	t.Parallel()
	w, err := Create(t.Context(), io.Discard, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Add("a", 10, strings.NewReader("short")); !errors.Is(err, io.EOF) {
		t.Errorf("a file that became shorter: %v", err)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if w, err = Create(t.Context(), io.Discard, 1); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.AddFile("f", file), w.Close()); err != nil {
		t.Error(err)
	}
	if err := w.AddFile("g", file+"x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestContextEndsIt(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Create(ctx, io.Discard, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("writing: %v", err)
	}
	if _, err := unpack(ctx, pack(t, sample()), anything); !errors.Is(err, context.Canceled) {
		t.Errorf("reading: %v", err)
	}
	failure := fmt.Errorf("no room")
	_, err := Read(t.Context(), bytes.NewReader(pack(t, sample())), Consumer{
		Manifest: func([]byte) error { return nil }, Knows: anything, Member: func(Member, io.Reader) error { return failure },
	})
	if !errors.Is(err, failure) || errors.Is(err, ErrDamaged) {
		t.Errorf("the consumer's own failure: %v", err)
	}
}
