package codebook

import (
	"bytes"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func seed() (s [32]byte) {
	for i := range s {
		s[i] = byte(i)
	}
	return s
}

// TestLabelVectors holds the implementation and docs/label-signature.md to each other. The
// vectors come from a second implementation, in another language.
func TestLabelVectors(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/label-signature.md")
	if err != nil {
		t.Fatal(err)
	}
	signer := NewLabelSigner(seed())
	if !strings.Contains(string(doc), "key id `"+signer.Key().ID().String()+"`") {
		t.Errorf("the document does not name the key %s", signer.Key().ID())
	}
	none := func(s string) string { return strings.TrimPrefix(s, "—") }
	moment := func(s string) time.Time {
		if s = none(s); s == "" {
			return time.Time{}
		}
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return time.Unix(n, 0).UTC()
	}
	rows := 0
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "| "), " | ")
		if len(cells) != 6 || !strings.HasPrefix(cells[5], "`") {
			continue
		}
		rows++
		code, err := ParseCode(cells[0])
		if err != nil {
			t.Fatal(err)
		}
		claims := LabelClaims{moment(cells[1]), none(cells[2]), none(cells[4]), moment(cells[3])}
		want := strings.Trim(cells[5], "`")
		if got := string(signer.Batch(claims).AppendSignature(nil, code)); got != want {
			t.Errorf("signature of %v = %s", cells[:5], got)
		}
		l, err := ParseLabel(code, strings.ToLower(want))
		if err != nil || !signer.Key().Check(l) || l.LabelClaims != claims {
			t.Errorf("%v is read as %+v, %v", cells[:5], l, err)
		}
	}
	if rows != 5 {
		t.Errorf("%d vectors, want 5", rows)
	}
}

func someLabel(t *rapid.T) (Code, LabelClaims) {
	var code Code
	for i := range code {
		code[i] = '0' + byte(rapid.IntRange(0, 9).Draw(t, "digit"))
	}
	at := func(name string) time.Time { return time.Unix(rapid.Int64Range(0, 1<<40-1).Draw(t, name), 0).UTC() }
	c := LabelClaims{IssuedAt: at("issued")}
	if rapid.Bool().Draw(t, "gtin?") {
		c.GTIN = rapid.StringMatching(`[0-9]{14}`).Draw(t, "gtin")
	}
	if rapid.Bool().Draw(t, "expires?") {
		c.Expires = at("expires")
	}
	c.Lot = string(rapid.SliceOfN(rapid.Byte(), 0, LotBytesMax).Draw(t, "lot"))
	return code, c
}

// TestLabelRoundTrip: what was signed is read back and verifies; with any one character changed it does not.
func TestLabelRoundTrip(t *testing.T) {
	t.Parallel()
	signer := NewLabelSigner(seed())
	rapid.Check(t, func(t *rapid.T) {
		code, c := someLabel(t)
		text := signer.Batch(c).AppendSignature(nil, code)
		l, err := ParseLabel(code, string(text))
		if err != nil || l.LabelClaims != c || !signer.Key().Check(l) {
			t.Fatalf("%+v is read as %+v, %v", c, l, err)
		}
		at := rapid.IntRange(0, len(text)-1).Draw(t, "at")
		text[at] = crockford[(int(crockfordValue[text[at]])+rapid.IntRange(0, 30).Draw(t, "by"))%32]
		if l, err := ParseLabel(code, string(text)); err == nil && signer.Key().Check(l) {
			t.Fatalf("verifies with character %d changed", at)
		}
	})
}

// TestLabelRefusals: nothing that AppendSignature cannot have written is read.
func TestLabelRefusals(t *testing.T) {
	t.Parallel()
	code := Code([]byte("692931865931847536"))
	head := (&LabelClaims{IssuedAt: time.Unix(1, 0), GTIN: "09506000134352", Lot: "L"}).appendHead(nil, LabelKeyID{1})
	enc := func(head []byte) string {
		return string(appendBase32(nil, append(bytes.Clone(head), make([]byte, 64)...)))
	}
	change := func(at int, to byte) []byte { c := bytes.Clone(head); c[at] = to; return c }
	if _, err := ParseLabel(code, enc(head)); err != nil {
		t.Fatalf("the good one is refused: %v", err)
	}
	for name, text := range map[string]string{
		"empty": "", "short": "00", "not base 32": strings.Replace(enc(head), "0", "U", 1), "long": strings.Repeat("0", 10_000),
		"format 0": enc(change(0, 0x05)), "format 2": enc(change(0, 0x25)), "unknown flag": enc(change(0, 0x1d)),
		"flag without field": enc(change(0, 0x17)), "field without flag": enc(change(0, 0x11)),
		"GTIN of 15 digits": enc(change(10, 0xff)), "lot of none": enc(change(16, 0)[:17]), "lot beyond the end": enc(change(16, 9)),
		"left-over bits": enc(head)[:len(enc(head))-1] + "1", "a character more": enc(head) + "0",
	} {
		if l, err := ParseLabel(code, text); !errors.Is(err, ErrLabel) {
			t.Errorf("%s: read as %+v, %v", name, l, err)
		}
	}
}

// TestJudge walks through the verdicts without a server.
func TestJudge(t *testing.T) {
	t.Parallel()
	signer, alien := NewLabelSigner(seed()), NewLabelSigner([32]byte{1})
	now := time.Unix(1_800_000_000, 0).UTC()
	code := Code([]byte("692931865931847536"))
	label := func(s *LabelSigner, c LabelClaims, as Code) *Label {
		l, err := ParseLabel(as, string(s.Batch(c).AppendSignature(nil, code)))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	key := PublishedKey{LabelKey: signer.Key(), Name: "key_1", Since: now.Add(-time.Hour)}
	ended, ending := key, key
	ended.Until, ending.Until = now, now.Add(time.Second)
	fresh := LabelClaims{IssuedAt: now}
	other := code
	other[0] ^= 1
	for name, c := range map[string]struct {
		key  PublishedKey
		l    *Label
		want Judgement
	}{
		"issued":          {key, label(signer, fresh, code), Issued},
		"key ends later":  {ending, label(signer, fresh, code), Issued},
		"key revoked":     {ended, label(signer, fresh, code), KeyRevoked},
		"key unknown":     {key, label(alien, fresh, code), KeyUnknown},
		"other code":      {key, label(signer, fresh, other), Forged},
		"forged, revoked": {ended, label(signer, fresh, other), Forged},
		"expires later":   {key, label(signer, LabelClaims{Expires: now.Add(time.Second)}, code), Issued},
		"expired":         {key, label(signer, LabelClaims{Expires: now}, code), Expired},
	} {
		raw, err := EncodeKeys([]PublishedKey{c.key}, now)
		if err != nil {
			t.Fatal(err)
		}
		keys, err := DecodeKeys(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := Judge(keys, c.l, now); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if listed := strings.Contains(string(raw), "revoked_at"); listed != c.key.Revoked(now) {
			t.Errorf("%s: revocation is listed: %v", name, listed)
		}
	}
	for name, raw := range map[string]string{
		"nothing": "", "no keys": "{}", "short key": `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"56475aa7","x":"AA"}]}`,
		"other name": `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"00000000","x":"A6EHv_POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg"}]}`,
	} {
		if _, err := DecodeKeys([]byte(raw)); !errors.Is(err, ErrKeyDocument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseLabel(f *testing.F) {
	signer := NewLabelSigner(seed())
	code := Code([]byte("692931865931847536"))
	f.Add(string(signer.Batch(LabelClaims{GTIN: "09506000134352", Lot: "L"}).AppendSignature(nil, code)))
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ParseLabel(code, text)
		if err != nil {
			return
		}
		if again := l.appendHead(nil, l.KeyID); !bytes.Equal(again, l.head) {
			t.Errorf("%q has another spelling: %x, %x", text, l.head, again)
		}
	})
}

func BenchmarkLabelSign(b *testing.B) {
	signer := NewLabelSigner(seed()).Batch(LabelClaims{GTIN: "09506000134352", Lot: "L2026-07"})
	var dst []byte
	for b.Loop() {
		dst = signer.AppendSignature(dst[:0], Code([]byte("692931865931847536")))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "labels/s")
}

// BenchmarkLabelOffline is a whole offline check, from the link's text to the verdict.
func BenchmarkLabelOffline(b *testing.B) {
	signer := NewLabelSigner(seed())
	code := Code([]byte("692931865931847536"))
	text := string(signer.Batch(LabelClaims{GTIN: "09506000134352", Lot: "L2026-07"}).AppendSignature(nil, code))
	keys := []PublishedKey{{LabelKey: signer.Key()}}
	for b.Loop() {
		l, err := ParseLabel(code, text)
		if err != nil || Judge(keys, l, time.Unix(0, 0)) != Issued {
			b.Fatal("is not issued")
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "checks/s")
}
