package keyset

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// The armour. Its header is authenticated with the keys.
const (
	exportTitle    = "CHOPMARK KEYSET 1"
	exportEnd      = "END"
	exportBytesMax = 2 * encodedBytesMax
	saltBytes      = 16
	nonceBytes     = 12
	lineChars      = 64

	// PassphraseCharsMin is the shortest passphrase.
	PassphraseCharsMin = 12
)

// kdf is Argon2id's cost. An import obeys the header, within bounds that a small
// machine can bear, since the header may be anybody's.
type kdf struct{ memoryKiB, passes, lanes uint32 }

var (
	exportKDF = kdf{64 << 10, 3, 1}
	kdfMin    = kdf{8 << 10, 1, 1}
	kdfMax    = kdf{256 << 10, 16, 4}
)

// What can be wrong with an import. Damage is told from a wrong passphrase by a
// checksum that needs none.
var (
	ErrPassphraseShort = fault.New(fault.Invalid, "keyset.passphrase_short",
		"the passphrase must have %d characters or more", PassphraseCharsMin)
	ErrPassphraseWrong = fault.New(fault.Denied, "keyset.passphrase_wrong",
		"the passphrase does not open this export, which is whole")
	ErrExportDamaged = fault.New(fault.Invalid, "keyset.export_damaged", "this is not a whole export of a keyset")
)

// Export encrypts the set under a passphrase: AES-256-GCM with a key by Argon2id,
// as text that survives mail and paper.
func Export(s *Set, passphrase string) ([]byte, error) {
	if utf8.RuneCountInString(passphrase) < PassphraseCharsMin {
		return nil, ErrPassphraseShort
	}
	plain, err := Encode(s)
	if err != nil {
		return nil, err
	}
	salt, nonce := make([]byte, saltBytes), make([]byte, nonceBytes)
	rand.Read(salt) // neither fails: crypto/rand ends the process first
	rand.Read(nonce)
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\nargon2id m=%d t=%d p=%d\nsalt %x\nnonce %x\n",
		exportTitle, exportKDF.memoryKiB, exportKDF.passes, exportKDF.lanes, salt, nonce)
	aead, err := exportKDF.aead(passphrase, salt)
	if err != nil {
		return nil, err
	}
	text := base64.StdEncoding.EncodeToString(aead.Seal(nil, nonce, plain, out.Bytes()))
	for len(text) > 0 {
		n := min(lineChars, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	fmt.Fprintf(&out, "%s %s\n", exportEnd, exportSum(out.String()))
	return out.Bytes(), nil
}

// Import reads what Export wrote. Line ends, empty lines and blanks around lines
// may have changed on the way.
func Import(data []byte, passphrase string) (*Set, error) {
	if utf8.RuneCountInString(passphrase) < PassphraseCharsMin {
		return nil, ErrPassphraseShort
	}
	e, err := parseExport(data)
	if err != nil {
		return nil, err
	}
	aead, err := e.kdf.aead(passphrase, e.salt)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, e.nonce, e.sealed, []byte(e.header))
	if err != nil {
		return nil, ErrPassphraseWrong
	}
	return Decode(plain)
}

// export is an armoured text taken apart.
type export struct {
	kdf         kdf
	salt, nonce []byte
	header      string
	sealed      []byte
}

func parseExport(data []byte) (e export, err error) {
	if len(data) > exportBytesMax {
		return e, ErrExportDamaged.Textf("an export is at most %d bytes", exportBytesMax)
	}
	var lines []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 || lines[0] != exportTitle {
		return e, ErrExportDamaged.Textf("the first line should be %q", exportTitle)
	}
	if len(lines) < 6 {
		return e, ErrExportDamaged.Textf("the export ends early")
	}
	last := len(lines) - 1
	body := strings.Join(lines[:last], "\n") + "\n"
	if sum, ok := strings.CutPrefix(lines[last], exportEnd+" "); !ok || sum != exportSum(body) {
		return e, ErrExportDamaged.Textf("the export is damaged: its checksum does not fit")
	}
	e.header = strings.Join(lines[:4], "\n") + "\n"
	if e.kdf, err = parseKDF(lines[1]); err != nil {
		return e, err
	}
	if e.salt, err = parseHex(lines[2], "salt ", saltBytes); err != nil {
		return e, err
	}
	if e.nonce, err = parseHex(lines[3], "nonce ", nonceBytes); err != nil {
		return e, err
	}
	if e.sealed, err = base64.StdEncoding.DecodeString(strings.Join(lines[4:last], "")); err != nil {
		return e, ErrExportDamaged.Textf("the export is damaged: it is not base 64")
	}
	return e, nil
}

// parseKDF refuses what would take this machine's memory or be no protection.
func parseKDF(line string) (k kdf, err error) {
	if _, err := fmt.Sscanf(line, "argon2id m=%d t=%d p=%d", &k.memoryKiB, &k.passes, &k.lanes); err != nil {
		return k, ErrExportDamaged.Textf("the second line does not name argon2id and its cost")
	}
	within := func(n, low, high uint32) bool { return low <= n && n <= high }
	if !within(k.memoryKiB, kdfMin.memoryKiB, kdfMax.memoryKiB) ||
		!within(k.passes, kdfMin.passes, kdfMax.passes) || !within(k.lanes, kdfMin.lanes, kdfMax.lanes) {
		return k, ErrExportDamaged.Textf("the cost of argon2id is outside m=%d..%d t=%d..%d p=%d..%d",
			kdfMin.memoryKiB, kdfMax.memoryKiB, kdfMin.passes, kdfMax.passes, kdfMin.lanes, kdfMax.lanes)
	}
	return k, nil
}

func parseHex(line, prefix string, size int) ([]byte, error) {
	text, ok := strings.CutPrefix(line, prefix)
	b, err := hex.DecodeString(text)
	if !ok || err != nil || len(b) != size {
		return nil, ErrExportDamaged.Textf("the line %q should have %d hex digits", prefix, 2*size)
	}
	return b, nil
}

func (k kdf) aead(passphrase string, salt []byte) (cipher.AEAD, error) {
	key := argon2.IDKey([]byte(passphrase), salt, k.passes, k.memoryKiB, uint8(k.lanes), 32)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("export keyset: %w", err)
	}
	return cipher.NewGCM(block)
}

// exportSum finds damage, not attackers: those the AEAD finds.
func exportSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:8])
}
