package lane

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// headersMax is more than any browser sends; a request with more is net/http's.
const headersMax = 48

// request is the http.Request that a connection reuses. Its texts are strings of their
// own, so a handler may keep them; it must not change the header.
type request struct {
	http     http.Request
	template http.Request
	url      url.URL
	header   http.Header
	values   [headersMax]string
	host     string
	known    []byte // the lines behind the first, which header holds
}

func (q *request) init(c net.Conn) {
	q.header = make(http.Header, 16)
	ctx := context.WithValue(context.Background(), http.LocalAddrContextKey, c.LocalAddr())
	q.template = *(&http.Request{
		Method: http.MethodGet, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: q.header, Body: http.NoBody, URL: &q.url, RemoteAddr: c.RemoteAddr().String(),
	}).WithContext(ctx)
}

// parse reads a head that ends in an empty line; false = it is net/http's.
func (q *request) parse(head []byte, takes func(string) bool) bool {
	line, rest, _ := bytes.Cut(head, crlf)
	target, ok := targetOf(line)
	if !ok {
		return false
	}
	path, query, _ := bytes.Cut(target, question)
	if !plain(path, pathBytes) || !plain(query, queryBytes) || len(query) == 0 && len(path) != len(target) || !takes(string(path)) {
		return false
	}
	// A browser sends the same lines over and over on a connection: they are read once.
	if len(q.known) == 0 || !bytes.Equal(q.known, rest) {
		clear(q.header)
		q.host, q.known = "", q.known[:0]
		if !q.headers(string(rest), rest) {
			return false
		}
		q.known = append(q.known, rest...)
	}
	uri := string(target)
	q.http = q.template
	q.http.RequestURI, q.http.Host = uri, q.host
	q.url = url.URL{Path: uri[:len(path)]}
	if len(query) > 0 {
		q.url.RawQuery = uri[len(path)+1:]
	}
	return true
}

var (
	crlf     = []byte("\r\n")
	question = []byte("?")
)

func targetOf(line []byte) ([]byte, bool) {
	target, ok := bytes.CutPrefix(line, []byte("GET "))
	if !ok {
		return nil, false
	}
	target, ok = bytes.CutSuffix(target, []byte(" HTTP/1.1"))
	// "//" would be read as a host, and dots as steps, by whoever resolves it
	return target, ok && len(target) > 0 && target[0] == '/' && !bytes.Contains(target, []byte("//")) && !bytes.Contains(target, []byte("/."))
}

// headers reads the lines after the first; text and raw are the same.
func (q *request) headers(text string, raw []byte) bool {
	for n := 0; ; n++ {
		end := bytes.IndexByte(raw, '\r')
		if end < 0 || raw[end+1] != '\n' {
			return false
		}
		if end == 0 {
			return len(raw) == len(crlf) && q.host != ""
		}
		if n == headersMax || !q.field(n, text[:end]) {
			return false
		}
		text, raw = text[end+2:], raw[end+2:]
	}
}

// field takes one "Name: value".
func (q *request) field(n int, line string) bool {
	colon := strings.IndexByte(line, ':')
	if colon <= 0 || !plain(line[:colon], nameBytes) {
		return false
	}
	name, value := line[:colon], strings.Trim(line[colon+1:], " \t")
	if !plain(value, valueBytes) {
		return false
	}
	name = canonical(name)
	switch name {
	case "Host":
		if q.host != "" || !plain(value, hostBytes) || value == "" {
			return false
		}
		q.host = value
		return true
	case "Connection":
		if !strings.EqualFold(value, "keep-alive") {
			return false
		}
	case "Content-Length", "Transfer-Encoding", "Expect", "Upgrade", "Trailer", "Te", "Http2-Settings", "Keep-Alive", "Proxy-Connection":
		return false
	}
	if old, twice := q.header[name]; twice {
		q.header[name] = append(slices.Clip(old), value)
		return true
	}
	q.values[n] = value
	q.header[name] = q.values[n : n+1 : n+1]
	return true
}

// canonical is the name as net/http keys it. Names that every browser sends in one
// of two spellings are answered without looking at each letter.
func canonical(name string) string {
	if known, ok := usual[name]; ok {
		return known
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

var usual = func() map[string]string {
	m := map[string]string{}
	for _, name := range []string{
		"Host", "User-Agent", "Accept", "Accept-Language", "Accept-Encoding", "Connection", "Cookie", "Referer", "Cache-Control",
		"Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Sec-Fetch-User", "Upgrade-Insecure-Requests", "X-Request-Id",
		"X-Forwarded-For", "X-Forwarded-Proto", "X-Real-Ip", "Traceparent", "Time-Zone", "Pragma", "Origin", "Authorization",
	} {
		m[name], m[strings.ToLower(name)] = name, name
	}
	m["X-Real-IP"], m["X-Request-ID"] = "X-Real-Ip", "X-Request-Id"
	return m
}()

// bytesOf is a set of bytes, a bit for each.
type bytesOf [4]uint64

func (s bytesOf) has(c byte) bool { return s[c>>6]>>(c&63)&1 != 0 }

func set(chars string, ranges ...[2]byte) (s bytesOf) {
	for i := range len(chars) {
		s[chars[i]>>6] |= 1 << (chars[i] & 63)
	}
	for _, r := range ranges {
		for c := r[0]; c <= r[1]; c++ {
			s[c>>6] |= 1 << (c & 63)
		}
	}
	return s
}

var (
	digit, upper, lower = [2]byte{'0', '9'}, [2]byte{'A', 'Z'}, [2]byte{'a', 'z'}

	pathBytes  = set("/-_.~", digit, upper, lower)
	queryBytes = set("/-_.~=&%+:,", digit, upper, lower)
	nameBytes  = set("-_", digit, upper, lower)
	hostBytes  = set("-.:[]", digit, upper, lower)
	valueBytes = set("\t", [2]byte{' ', '~'})
)

func plain[T string | []byte](text T, allowed bytesOf) bool {
	for i := range len(text) {
		if !allowed.has(text[i]) {
			return false
		}
	}
	return true
}
