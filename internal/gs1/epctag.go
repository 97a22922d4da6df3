package gs1

import (
	"strconv"
	"strings"
)

// A tag that a phone reads may say its EPC as the last segment of a link: "eh" and
// hexadecimal digits, or "ex" and base 64, of the binary encoding (EPCB 1.0, section 4.2;
// TDS 2.3, section 14). A header of eight bits says which; no compressed Digital Link
// begins so.
const (
	tagHex    = "eh"
	tagBase64 = "ex"
)

// tagForm is one of the encodings with a fixed partition into company prefix and
// reference (TDS, 14.6).
type tagForm struct {
	header     uint64
	scheme     string
	both       int        // bits of prefix and reference
	kind       serialKind // of the serial, or of the reference where the scheme has no serial
	serialBits int
	spare      int // zeros at the end
}

type serialKind uint8

const (
	noSerial      serialKind = iota
	integerSerial            // a number without leading zeros
	markedSerial             // digits behind a 1 (TDS, 14.3.6)
	textSerial               // seven bits a character, zeros behind it
	longReference            // the reference is such a text
	plainInteger             // the reference is such a number, without a fixed length
	sixBits                  // the reference has six bits a character, a zero behind it
)

// tagForms are the encodings of before TDS 2.0 that a Digital Link can say. Its others
// (gid, usdod, adi) are of things that have no key of GS1.
func tagForms() [19]tagForm {
	return [...]tagForm{
		{0x2C, "gdti", 41, integerSerial, 41, 0}, {0x2D, "gsrn", 58, noSerial, 0, 24}, {0x2E, "gsrnp", 58, noSerial, 0, 24},
		{0x30, "sgtin", 44, integerSerial, 38, 0}, {0x31, "sscc", 58, noSerial, 0, 24}, {0x32, "sgln", 41, integerSerial, 41, 0},
		{0x33, "grai", 44, integerSerial, 38, 0}, {0x34, "giai", 82, plainInteger, 0, 0}, {0x36, "sgtin", 44, textSerial, 140, 0},
		{0x37, "grai", 44, textSerial, 112, 0}, {0x38, "giai", 188, longReference, 0, 0}, {0x39, "sgln", 41, textSerial, 140, 0},
		{0x3A, "gdti", 41, markedSerial, 58, 0}, {0x3C, "cpi", 51, plainInteger, 31, 0}, {0x3D, "cpi", 0, sixBits, 40, 0},
		{0x3E, "gdti", 41, textSerial, 119, 0}, {0x3F, "sgcn", 41, markedSerial, 41, 0}, {0x40, "itip", 44, integerSerial, 38, 0},
		{0x41, "itip", 44, textSerial, 140, 0},
	}
}

// prefixBits are the bits of a company prefix of 12 to 6 digits, by the partition.
var prefixBits = [...]int{40, 37, 34, 30, 27, 24, 20}

// isTagPath reports whether a segment is of the form of an EPC.
func isTagPath(segment string) bool {
	digits, hex := strings.CutPrefix(segment, tagHex)
	if !hex {
		digits, hex = strings.CutPrefix(segment, tagBase64)
		return hex && digits != "" && strings.Trim(digits, base64Alphabet) == ""
	}
	return digits != "" && strings.Trim(digits, "0123456789abcdefABCDEF") == ""
}

// decompressTag reads such a segment.
func decompressTag(stem, segment, query string) (Link, error) {
	r := bitReader{bits: make([]byte, 0, len(segment)*6)}
	for i := len(tagHex); i < len(segment); i++ {
		if segment[:len(tagHex)] == tagHex {
			r.bits = appendBits(r.bits, uint64(unhex(segment[i])), 4)
		} else {
			r.bits = appendBits(r.bits, uint64(strings.IndexByte(base64Alphabet, segment[i])), 6)
		}
	}
	elements, err := r.readTag()
	if err != nil {
		return Link{}, err
	}
	if r.cut {
		return Link{}, badCompressed("ends within a value")
	}
	for _, bit := range r.bits[r.at:] {
		if bit != 0 {
			return Link{}, badCompressed("has more behind its end")
		}
	}
	l, err := LinkOf(elements)
	if err != nil {
		return Link{}, err
	}
	return l.withQuery(stem, "", query)
}

func (r *bitReader) readTag() ([]Element, error) {
	header := r.take(8)
	if ais, plus := plusOf(header); ais != nil {
		return r.readPlus(ais, plus)
	}
	for _, f := range tagForms() {
		if f.header == header {
			return r.readPartitioned(f)
		}
	}
	return nil, badCompressed("has the header %02X, which stands for nothing that a Digital Link can say", header)
}

// readPartitioned reads an encoding of before TDS 2.0.
func (r *bitReader) readPartitioned(f tagForm) ([]Element, error) {
	s, _ := schemeOf("id", f.scheme)
	r.take(3) // what kind of package it is
	partition := int(r.take(3))
	if partition >= len(prefixBits) {
		return nil, badCompressed("has a company prefix of no known length")
	}
	prefix, err := r.readNumber(prefixDigitsMax-partition, prefixBits[partition])
	if err != nil {
		return nil, badCompressed("has a company prefix that is too large")
	}
	key, err := r.readTagKey(f, s, prefix, f.both-prefixBits[partition])
	if err != nil {
		return nil, err
	}
	if s.piece {
		piece, err1 := r.readNumber(2, 7)
		total, err2 := r.readNumber(2, 7)
		if err1 != nil || err2 != nil {
			return nil, badCompressed("has a piece of more than two digits")
		}
		key += piece + total
	}
	serial, err := r.readTagSerial(f)
	if err != nil {
		return nil, err
	}
	for range f.spare {
		if r.take(1) != 0 {
			return nil, badCompressed("has more behind its end")
		}
	}
	var all []Element
	if s.serial == s.key {
		key, serial = key+serial, ""
	}
	if all, err = addElement(all, s.key, key); err != nil || serial == "" || s.serial == "254" && serial == "0" {
		return all, err // extension 0 is none (TDS, section 6.3.3)
	}
	return addElement(all, s.serial, serial)
}

// readTagKey reads the reference and puts it together with the prefix.
func (r *bitReader) readTagKey(f tagForm, s scheme, prefix string, width int) (string, error) {
	switch f.kind {
	case plainInteger:
		return prefix + strconv.FormatUint(r.take(width), 10), nil
	case longReference:
		text, err := r.readPadded(width)
		return prefix + text, err
	case sixBits:
		for c := r.take(6); c != 0; c = r.take(6) {
			if c < 0x20 {
				c |= 0x40
			}
			prefix += string(rune(c)) //nolint:perfsprint // a few digits
		}
		return prefix, nil
	}
	digits := s.digits - len(prefix)
	reference := ""
	if v := r.take(width); digits > 0 {
		reference = strconv.FormatUint(v, 10)
		reference = strings.Repeat("0", max(0, digits-len(reference))) + reference
	}
	if len(reference) != digits {
		return "", badCompressed("has a reference of more than %d digits", digits)
	}
	return s.keyOf(prefix, reference)
}

func (r *bitReader) readTagSerial(f tagForm) (string, error) {
	if f.serialBits == 0 {
		return "", nil
	}
	if f.kind == textSerial {
		return r.readPadded(f.serialBits)
	}
	text := strconv.FormatUint(r.take(f.serialBits), 10)
	if f.kind != markedSerial {
		return text, nil
	}
	if text[0] != '1' {
		return "", badCompressed("has a serial that does not begin with its mark")
	}
	return text[1:], nil
}

// readPadded reads characters of seven bits and the zeros behind them.
func (r *bitReader) readPadded(width int) (string, error) {
	end := r.at + width
	var b strings.Builder
	for end-r.at >= 7 {
		c := byte(r.take(7))
		if c == 0 {
			break
		}
		b.WriteByte(c)
	}
	for r.at < end {
		if r.take(1) != 0 {
			return "", badCompressed("has a text with a hole")
		}
	}
	return b.String(), nil
}
