package keyset

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
)

const passphrase = "correct horse battery"

func mustExport(t testing.TB, s *Set, passphrase string) []byte {
	t.Helper()
	data, err := Export(s, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestExportImport(t *testing.T) {
	t.Parallel()
	s := mustRotate(t, newSet(), Link, start, 0)
	data := mustExport(t, s, passphrase)
	if !bytes.HasPrefix(data, []byte("CHOPMARK KEYSET 1\nargon2id m=65536 t=3 p=1\nsalt ")) {
		t.Errorf("the header is %q", data[:60])
	}
	if leaked(s, string(data)) != nil || bytes.Contains(data, []byte("key_")) {
		t.Error("an export shows what is in it")
	}
	for line := range strings.Lines(string(data)) {
		if len(line) > 81 || strings.Trim(line, "\n") == "" || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("line %q would not survive mail", line)
		}
	}
	mailed := "\r\n  " + strings.ReplaceAll(string(data), "\n", " \r\n\r\n")
	for name, text := range map[string]string{"as written": string(data), "through mail": mailed} {
		if got, err := Import([]byte(text), passphrase); err != nil || !got.Equal(s) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if bytes.Equal(mustExport(t, s, passphrase), data) {
		t.Error("two exports share salt and nonce")
	}
}

func TestPassphrase(t *testing.T) {
	t.Parallel()
	s := newSet()
	for _, short := range []string{"", "elevenchars", "锁锁锁锁锁锁锁锁锁锁锁"} {
		if data, err := Export(s, short); !errors.Is(err, ErrPassphraseShort) || data != nil {
			t.Errorf("Export under %q: %v", short, err)
		}
		if _, err := Import(nil, short); !errors.Is(err, ErrPassphraseShort) {
			t.Errorf("Import under %q: %v", short, err)
		}
	}
	data := mustExport(t, s, "twelve chars")
	for _, wrong := range []string{"twelve chars ", "Twelve chars", passphrase} {
		if _, err := Import(data, wrong); !errors.Is(err, ErrPassphraseWrong) {
			t.Errorf("Import under %q: %v, want ErrPassphraseWrong", wrong, err)
		}
	}
}

// TestImportFindsDamage: damage is named as damage, before a passphrase is tried.
func TestImportFindsDamage(t *testing.T) {
	t.Parallel()
	data := mustExport(t, newSet(), passphrase)
	step := max(1, len(data)/200)
	for i := 0; i < len(data)-1; i += step {
		bad := bytes.Clone(data)
		bad[i] ^= 1
		wantExportDamaged(t, bad, fmt.Sprintf("byte %d changed", i))
		wantExportDamaged(t, data[:i], fmt.Sprintf("cut to %d bytes", i))
	}
	lines := strings.SplitAfter(string(data), "\n")
	lines[5], lines[6] = lines[6], lines[5]
	wantExportDamaged(t, []byte(strings.Join(lines, "")), "lines swapped")
	wantExportDamaged(t, bytes.Repeat([]byte("A"), exportBytesMax+1), "too large")
	wantExportDamaged(t, bytes.Replace(data, []byte("KEYSET 1"), []byte("KEYSET 2"), 1), "another version")
}

func wantExportDamaged(t *testing.T, data []byte, name string) {
	t.Helper()
	if _, err := Import(data, passphrase); !errors.Is(err, ErrExportDamaged) {
		t.Errorf("%s: %v, want ErrExportDamaged", name, err)
	}
}

// resum gives a changed export the checksum of a whole one, as an attacker would.
func resum(text string) []byte {
	body := text[:strings.LastIndex(text, exportEnd+" ")]
	return []byte(body + exportEnd + " " + exportSum(body) + "\n")
}

// TestImportBoundsTheCost: a header decides nothing about this machine's memory.
func TestImportBoundsTheCost(t *testing.T) {
	t.Parallel()
	data := string(mustExport(t, newSet(), passphrase))
	const cost = "m=65536 t=3 p=1"
	for _, other := range []string{
		"m=4194304 t=3 p=1", "m=262145 t=3 p=1", "m=8191 t=3 p=1", "m=0 t=3 p=1",
		"m=65536 t=0 p=1", "m=65536 t=17 p=1", "m=65536 t=4294967295 p=1",
		"m=65536 t=3 p=0", "m=65536 t=3 p=5", "m=65536 t=3 p=257", "m=-1 t=3 p=1",
		"m=99999999999999999999 t=3 p=1", "", "scrypt",
	} {
		wantExportDamaged(t, resum(strings.Replace(data, cost, other, 1)), "cost "+other)
	}
	// What is within the bounds is tried, and found out: the header is authenticated.
	for _, other := range []string{"m=65536 t=2 p=1", "m=65536 t=3 p=1 x=1"} {
		if _, err := Import(resum(strings.Replace(data, cost, other, 1)), passphrase); !errors.Is(err, ErrPassphraseWrong) {
			t.Errorf("cost %s: %v, want ErrPassphraseWrong", other, err)
		}
	}
	nonce := strings.Index(data, "\nnonce ") + len("\nnonce ")
	for name, text := range map[string]string{
		"short nonce": data[:nonce] + data[nonce+2:],
		"odd nonce":   data[:nonce] + data[nonce+1:],
		"no nonce":    strings.Replace(data, "\nnonce ", "\nnounce ", 1),
		"not base 64": strings.Replace(data, "\n"+exportEnd, "!\n"+exportEnd, 1),
	} {
		wantExportDamaged(t, resum(text), name)
	}
	other := strings.Replace(data, data[nonce:nonce+24], hex.EncodeToString(make([]byte, 12)), 1)
	if _, err := Import(resum(other), passphrase); !errors.Is(err, ErrPassphraseWrong) {
		t.Errorf("another nonce: %v", err)
	}
}

func FuzzParseExport(f *testing.F) {
	data := mustExport(f, newSet(), passphrase)
	f.Add(data)
	f.Add(resum(strings.Replace(string(data), "t=3", "t=16", 1)))
	f.Add([]byte("CHOPMARK KEYSET 1\n\n\n\n\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := parseExport(data)
		if err != nil {
			if !errors.Is(err, ErrExportDamaged) {
				t.Fatal(err)
			}
			return
		}
		if e.kdf.memoryKiB > kdfMax.memoryKiB || len(e.salt) != saltBytes || len(e.nonce) != nonceBytes {
			t.Fatalf("out of bounds: %+v", e.kdf)
		}
	})
}
