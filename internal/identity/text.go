package identity

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// checkName is the rule for a short text that people read: one line, nothing that
// a terminal, a log or a table would act upon.
func checkName(field, s string) error {
	switch {
	case strings.TrimSpace(s) == "":
		return fault.Field("input.required", field, "is needed")
	case len(s) > nameMax:
		return fault.Field("input.too_long", field, "has %d bytes, at most %d are allowed", len(s), nameMax)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(c rune) bool { return unicode.IsControl(c) || c == '\u2028' || c == '\u2029' }):
		return fault.Field("input.bad_text", field, "must be one line of text")
	}
	return nil
}

// checkReason is checkName for a reason that may be left out.
func checkReason(s string) error {
	if s == "" {
		return nil
	}
	if len(s) > reasonMax {
		return fault.Field("input.too_long", "reason", "has %d bytes, at most %d are allowed", len(s), reasonMax)
	}
	return checkName("reason", s[:min(len(s), nameMax)])
}

// isOrigin reports whether s is an origin as browsers write it.
func isOrigin(s string) bool {
	u, err := url.Parse(s)
	return err == nil && len(s) <= nameMax && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" &&
		s == u.Scheme+"://"+strings.ToLower(u.Host)
}
