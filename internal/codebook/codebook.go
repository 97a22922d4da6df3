// Package codebook is the maths of codes: what turns a serial into the code that
// is printed, and what proves that a link or an inner code is ours. It does no
// I/O and stores nothing.
//
// Promise: under one key, serials 0..10^18-1 and codes of 18 digits are the same
// set in another order (FF1 of NIST SP 800-38G), so no two items ever share a
// code and none needs to be stored. TestItemsRoundTrip and FuzzItemsAgainstFF1
// pin it. Link tokens and inner codes are cut from HMAC-SHA-256 and are checked
// in constant time; TestDocumentedVectors holds them to docs/codebook.md.
//
// Invariant: a label ("chopmark/link/1"), a cut and a layout never change under
// one name, because marks that carry them are already printed.
//
// Everything here may be used by many goroutines at once, except Coder.
package codebook

import "github.com/chopmark/chopmark/internal/platform/fault"

// CodeDigits is the length of an item's code.
const CodeDigits = 18

// Code is what the public sees of an item: 18 ASCII digits. A Code comes from
// ParseCode or from Items; the zero value is no code.
type Code [CodeDigits]byte

// String is the code's 18 digits.
func (c Code) String() string { return string(c[:]) }

// ParseCode reads exactly 18 ASCII digits. Its fault says what is wrong without
// repeating the input, which is a stranger's and may be of any length.
func ParseCode(s string) (Code, error) {
	var c Code
	for i := range min(len(s), CodeDigits) {
		if s[i]-'0' > 9 {
			// Everything before byte i is one ASCII digit each, so bytes count characters.
			return Code{}, malformed("character %d is not an ASCII digit (0-9)", i+1)
		}
		c[i] = s[i]
	}
	if len(s) != CodeDigits {
		return Code{}, malformed("length is %d, should be %d digits", len(s), CodeDigits)
	}
	return c, nil
}

func malformed(format string, args ...any) error {
	return fault.Field("code.malformed", "code", format, args...)
}
