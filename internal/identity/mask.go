package identity

import "strings"

// Masks show enough of a datum to recognise it and not enough to use it. Every length
// is masked: what has an unusual one shows nothing (TestMasksHideEveryLength).

const hidden = "****"

// MaskPhone shows the first three and last four digits of an 11-digit number, and the
// last two of any other that is longer than seven.
func MaskPhone(s string) string {
	r := []rune(s)
	switch {
	case len(r) == 0:
		return ""
	case len(r) == 11:
		return string(r[:3]) + hidden + string(r[7:])
	case len(r) > 7:
		return hidden + string(r[len(r)-2:])
	}
	return hidden
}

// MaskIDNumber shows the first six and last four characters of an 18-character number.
func MaskIDNumber(s string) string {
	r := []rune(s)
	switch {
	case len(r) == 0:
		return ""
	case len(r) == 18:
		return string(r[:6]) + "********" + string(r[14:])
	}
	return hidden
}

// MaskEmail shows the first and last letter of a name of three or more, and the domain.
func MaskEmail(s string) string {
	name, domain, ok := strings.Cut(s, "@")
	if !ok {
		if s == "" {
			return ""
		}
		return hidden
	}
	r := []rune(name)
	if len(r) < 3 {
		return hidden + "@" + domain
	}
	return string(r[:1]) + hidden + string(r[len(r)-1:]) + "@" + domain
}

// MaskName shows the first character.
func MaskName(s string) string {
	r := []rune(s)
	if len(r) == 0 {
		return ""
	}
	if len(r) == 1 {
		return hidden
	}
	return string(r[:1]) + "**"
}
