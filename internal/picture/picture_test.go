package picture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"
)

const secret = "30.2741N 120.1551E Jane's phone"

func picture() image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, 40, 24))
	for i := range m.Pix {
		m.Pix[i] = byte(i * 7)
	}
	m.Set(3, 4, color.White)
	return m
}

func jpegWith(t *testing.T, segments ...string) []byte {
	t.Helper()
	var plain bytes.Buffer
	if err := jpeg.Encode(&plain, picture(), nil); err != nil {
		t.Fatal(err)
	}
	out := bytes.Clone(plain.Bytes()[:2])
	for _, s := range segments {
		out = append(out, 0xff, s[0])
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(s)+1)), s[1:]...)
	}
	return append(out, plain.Bytes()[2:]...)
}

// exif is an EXIF segment that is turned so, and tells more.
func exif(turned byte) string {
	return "\xe1Exif\x00\x00II\x2a\x00\x08\x00\x00\x00\x02\x00" +
		"\x0f\x01\x02\x00\x04\x00\x00\x00Acme" + "\x12\x01\x03\x00\x01\x00\x00\x00" + string([]byte{turned, 0, 0, 0}) + "\x00\x00\x00\x00" + secret
}

func pngWith(t *testing.T, kind, text string) []byte {
	t.Helper()
	var plain bytes.Buffer
	if err := png.Encode(&plain, picture()); err != nil {
		t.Fatal(err)
	}
	const head = 8 + 25
	chunk := binary.BigEndian.AppendUint32(nil, uint32(len(text)))
	chunk = append(chunk, kind+text...)
	chunk = binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk[4:]))
	return append(append(bytes.Clone(plain.Bytes()[:head]), chunk...), plain.Bytes()[head:]...)
}

func webpWith(t *testing.T, chunks string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString("UklGRh4AAABXRUJQVlA4TBEAAAAvAAAAAAfQ//73v/+BiOh/AAA=")
	if err != nil {
		t.Fatal(err)
	}
	raw = append(raw, chunks...)
	binary.LittleEndian.PutUint32(raw[4:], uint32(len(raw)-8))
	return raw
}

// TestPictures: what is kept is the picture, pixel for pixel, and nothing that tells of who
// took it; a JPEG stays turned as it was.
func TestPictures(t *testing.T) {
	t.Parallel()
	exifChunk := "EXIF" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(secret)))) + secret
	if len(secret)%2 == 1 {
		exifChunk += "\x00"
	}
	for name, c := range map[string]struct {
		raw  []byte
		kind Kind
	}{
		"jpeg":                 {jpegWith(t, exif(6), "\xfe"+secret, "\xe2MPF\x00"+secret), JPEG},
		"jpeg with a tail":     {append(jpegWith(t), secret...), JPEG},
		"png":                  {pngWith(t, "tEXt", "Author\x00"+secret), PNG},
		"png with EXIF":        {pngWith(t, "eXIf", secret), PNG},
		"png with a tail":      {append(pngWith(t, "tEXt", "a\x00b"), secret...), PNG},
		"webp":                 {webpWith(t, exifChunk), WebP},
		"webp with a tail":     {append(webpWith(t, ""), secret...), WebP},
		"webp that shows more": {webpWith(t, "XMP "+"\x02\x00\x00\x00hi"), WebP},
	} {
		clean, kind, err := Clean(c.raw)
		if err != nil || kind != c.kind {
			t.Errorf("%s: %v, %v", name, kind, err)
			continue
		}
		if bytes.Contains(clean, []byte("Jane")) || bytes.Contains(clean, []byte("Acme")) || bytes.Contains(clean, []byte("XMP")) {
			t.Errorf("%s still tells of who took it", name)
		}
		if again, _, err := Clean(clean); err != nil || !bytes.Equal(again, clean) {
			t.Errorf("%s: what is clean is cleaned again: %v", name, err)
		}
		if c.kind == WebP {
			continue // the standard library cannot read it
		}
		want, _, err1 := image.Decode(bytes.NewReader(c.raw))
		got, _, err2 := image.Decode(bytes.NewReader(clean))
		if err1 != nil || err2 != nil || got.Bounds() != want.Bounds() {
			t.Fatalf("%s: %v, %v", name, err1, err2)
		}
		for y := range want.Bounds().Dy() {
			for x := range want.Bounds().Dx() {
				if got.At(x, y) != want.At(x, y) {
					t.Fatalf("%s: pixel %d,%d has changed", name, x, y)
				}
			}
		}
	}
	for turned := range byte(9) {
		clean, _, err := Clean(jpegWith(t, exif(turned)))
		want := turned
		if turned == 0 {
			want = 1
		}
		got := byte(1)
		if at := bytes.Index(clean, []byte("Exif")); at >= 0 {
			got = orientation(clean[at:])
		}
		if err != nil || got != want {
			t.Errorf("turned %d: is %d, %v", turned, got, err)
		}
	}
}

// TestRefusals: what is no picture, or too much of one, is refused with its reason.
func TestRefusals(t *testing.T) {
	t.Parallel()
	huge := pngWith(t, "tEXt", "")
	binary.BigEndian.PutUint32(huge[16:], 20_000)
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	moving := webpWith(t, "")
	moving = append(moving[:12:12], append([]byte("VP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00\x00\x00"), moving[12:]...)...)
	binary.LittleEndian.PutUint32(moving[4:], uint32(len(moving)-8))
	whole := jpegWith(t)
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing known": {[]byte("<svg onload=alert(1)>"), ErrKind}, "gif": {[]byte("GIF89a\x01\x00\x01\x00"), ErrKind},
		"cut": {whole[:len(whole)-10], ErrDamaged}, "a start alone": {whole[:3], ErrDamaged},
		"png cut": {pngWith(t, "tEXt", "x")[:60], ErrDamaged}, "too many pixels": {huge, ErrDamaged}, "moving": {moving, ErrDamaged},
		"webp cut": {webpWith(t, "")[:30], ErrDamaged}, "webp of no picture": {[]byte("RIFF\x04\x00\x00\x00WEBP\x00"), ErrDamaged},
	} {
		if _, _, err := Clean(c.raw); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func FuzzClean(f *testing.F) {
	f.Add([]byte("\xff\xd8\xff\xe0\x00\x04ab\xff\xd9"))
	f.Add([]byte(pngMagic + "\x00\x00\x00\x00IEND\xaeB`\x82"))
	f.Add([]byte("RIFF\x1e\x00\x00\x00WEBPVP8L\x11\x00\x00\x00/" + strings.Repeat("\x00", 17)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		clean, kind, err := Clean(raw)
		if err != nil {
			return
		}
		if again, k, err := Clean(clean); err != nil || k != kind || !bytes.Equal(again, clean) {
			t.Errorf("what is clean is %s, then %s, %v", kind, k, err)
		}
	})
}
