package verifyhttp

import (
	"net/url"
	"strings"
)

// maybeCompressed reports whether a segment may be a compressed Digital Link: it has
// letters, and is longer than a mistyped code.
func maybeCompressed(segment string) bool {
	const shortest = 8
	return len(segment) >= shortest && strings.Trim(segment, "0123456789 -") != ""
}

// unescaped reads one segment of an escaped path, which the server has checked.
func unescaped(segment string) string {
	if text, err := url.PathUnescape(segment); err == nil {
		return text
	}
	return segment
}

// reserved are first segments that are no codes, so that a browser's own requests
// and mistyped routes get a plain 404.
func reserved(first string) bool {
	switch first {
	case "api", "epcis", "console", "debug", ".well-known", "favicon.ico", "robots.txt", "livez", "readyz", "health", "ready", "metrics", "demo", "scan", "signin", "complaint":
		return true
	}
	return strings.HasPrefix(first, "apple-touch-icon")
}
