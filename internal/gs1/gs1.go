// Package gs1 is the syntax of GS1: identifiers, their check digits and their
// place in a Digital Link. It does no I/O and knows nothing of what exists.
//
// Promise: what Parse accepts, String writes in one canonical form, and parsing
// that form gives the same value; nothing malformed gets through half-read.
// TestIDRoundTrip, TestEPCRoundTrip and the fuzz tests pin it.
//
// Sources: GS1 General Specifications (sections 3 and 7.9 to 7.11), GS1 Digital Link
// Standard: URI Syntax 1.6, the GS1 syntax dictionary, and the EPC Tag Data Standard
// (section 6) for URNs.
package gs1

import "github.com/chopmark/chopmark/internal/platform/fault"

// GTIN is a trade item's number in its 14-digit form with a true check digit.
// It comes from ParseGTIN or from an ID; the zero value is no GTIN.
type GTIN string

const gtinDigits = 14

// ParseGTIN reads a GTIN-8, -12, -13 or -14, verifies its check digit and pads
// it to 14 digits. Its fault names the field "gtin".
func ParseGTIN(s string) (GTIN, error) {
	switch len(s) {
	case 8, 12, 13, gtinDigits:
	default:
		return "", badGTIN("length is %d, should be 8, 12, 13 or 14 digits", len(s))
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return "", badGTIN("character %d is not an ASCII digit (0-9)", i+1)
		}
	}
	last := len(s) - 1
	if want := CheckDigit(s[:last]); s[last] != want {
		return "", badGTIN("check digit is %c, should be %c", s[last], want)
	}
	return GTIN("00000000000000"[len(s):] + s), nil
}

// String is the 14 digits.
func (g GTIN) String() string { return string(g) }

// CheckDigit is the ASCII check digit of the digits before it (General
// Specifications 7.9): from the right, weights 3 and 1 in turn. It serves GTIN,
// GLN and SSCC alike. The digits must be ASCII digits.
func CheckDigit(digits string) byte {
	sum := 0
	for i := range len(digits) {
		weight := 1
		if (len(digits)-i)%2 == 1 {
			weight = 3
		}
		sum += weight * int(digits[i]-'0')
	}
	return '0' + byte((10-sum%10)%10)
}

// ValidLot reports whether s can be a batch or lot number, AI (10): 1 to 20
// characters of character set 82.
func ValidLot(s string) bool { return valid82(s) }

// ValidSerial is the same for a serial number, AI (21), which has the same shape.
func ValidSerial(s string) bool { return valid82(s) }

func valid82(s string) bool {
	if len(s) < 1 || len(s) > 20 {
		return false
	}
	for i := range len(s) {
		if !in82(s[i]) {
			return false
		}
	}
	return true
}

// in82 is GS1 AI encodable character set 82 (General Specifications, figure
// 7.11-1): digits, letters and twenty punctuation marks.
func in82(c byte) bool {
	if isAlphanumeric(c) {
		return true
	}
	switch c {
	case '!', '"', '%', '&', '\'', '(', ')', '*', '+', ',', '-', '.', '/', ':', ';', '<', '=', '>', '?', '_':
		return true
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlphanumeric(c byte) bool {
	return isDigit(c) || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

func badGTIN(format string, args ...any) error {
	return fault.Field("gs1.bad_gtin", "gtin", format, args...)
}
