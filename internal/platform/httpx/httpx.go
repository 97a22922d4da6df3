// Package httpx is the edge's common ground: one envelope, one way to read a body,
// one way to answer an error, and a router that labels, limits and logs.
//
// Handlers return errors; Fail turns a fault into its status and stable code, and
// anything else into a 500 that tells nothing and is logged once.
package httpx

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/ids"
	"github.com/chopmark/chopmark/internal/platform/fault"
)

// Faults that any route may answer.
var (
	ErrNotJSON      = fault.New(fault.Unsupported, "input.not_json", "the body must be application/json")
	ErrBadJSON      = fault.New(fault.Invalid, "input.bad_json", "the body is not well-formed JSON")
	ErrBodyTooLarge = fault.New(fault.TooLarge, "input.too_large", "the body is larger than this route takes")
	ErrNoRoute      = fault.New(fault.NotFound, "route.unknown", "there is nothing at this path")
	ErrMethod       = fault.New(fault.Method, "route.method", "this path does not take this method")
	ErrNoAuth       = fault.New(fault.Unauthenticated, "auth.required", "needs Authorization: Bearer and a valid key")
	ErrBadIdemKey   = fault.New(fault.Invalid, "idempotency.bad_key", "Idempotency-Key must have 1 to 255 printable characters")
)

const (
	// BodyMax is the usual limit of a request body.
	BodyMax = 1 << 20
	// BodyMaxList is the limit of bodies that carry up to 100,000 codes.
	BodyMaxList = 4 << 20
	idemKeyMax  = 255
)

// Envelope is the form of every answer on our own routes.
type Envelope struct {
	Code    int            `json:"code"`
	Message string         `json:"message"`
	Error   string         `json:"error,omitempty"`
	Details []fault.Detail `json:"details,omitempty"`
	Data    any            `json:"data"`
}

// OK answers 200 with data.
func OK(w http.ResponseWriter, data any) error {
	return writeJSON(w, http.StatusOK, Envelope{Code: http.StatusOK, Message: "success", Data: data})
}

// Bytes answers with a body that is made already. An error is the client's leaving.
func Bytes(w http.ResponseWriter, status int, contentType string, body []byte) error {
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, err := w.Write(body)
	return ignoreGone(err)
}

// JSON answers what has no envelope, because another standard gives its form.
func JSON(w http.ResponseWriter, status int, body any) error { return writeJSON(w, status, body) }

func writeJSON(w http.ResponseWriter, status int, body any) error {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	return Bytes(w, status, "application/json; charset=utf-8", buf.Bytes())
}

// ignoreGone drops the error of a client that has left: nobody is there to tell.
func ignoreGone(err error) error {
	if err != nil {
		return errClientGone
	}
	return nil
}

var errClientGone = errors.New("httpx: the client has gone")

// Fail answers an error in the envelope.
func Fail(w http.ResponseWriter, r *http.Request, log *slog.Logger, err error) {
	if errors.Is(err, errClientGone) {
		return
	}
	f, ok := fault.From(err)
	if !ok {
		log.ErrorContext(r.Context(), "request failed", "request_id", RequestID(w), "method", r.Method, "error", err)
		f = fault.New(fault.Internal, "internal", "internal error")
	}
	RetryAfter(w, f)
	w.Header()["Cache-Control"] = []string{"no-store"} // also where the answer would have been kept
	if f.Kind == fault.Unauthenticated {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	status := f.Kind.HTTPStatus()
	if err := writeJSON(w, status, Envelope{Code: status, Message: f.Text, Error: f.Code, Details: f.Details}); err != nil && !errors.Is(err, errClientGone) {
		log.ErrorContext(r.Context(), "answer failed", "request_id", RequestID(w), "error", err)
	}
}

// RetryAfter says when to come back, where the fault does.
func RetryAfter(w http.ResponseWriter, f *fault.Error) {
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int((f.RetryAfter+time.Second-1)/time.Second)))
	}
}

// Decode reads a JSON body of at most limit bytes, without unknown fields and without
// any that is there twice. The raw body is given too: it is what an idempotency key is bound to.
func Decode(w http.ResponseWriter, r *http.Request, limit int64, into any) (raw []byte, _ error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" && !strings.HasSuffix(kind, "+json") {
		return nil, ErrNotJSON
	}
	raw, err = io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return nil, ErrBodyTooLarge.Textf("the body is larger than the %d bytes that this route takes", limit)
	}
	if err != nil {
		return nil, ErrBadJSON.Because(err)
	}
	if !utf8.Valid(raw) {
		return nil, ErrBadJSON.Textf("the body is not UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return nil, explain(err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, ErrBadJSON.Textf("something follows the JSON value")
	}
	if err := strict(raw, into); err != nil {
		return nil, err
	}
	return raw, nil
}

// explain says what is wrong with a body, field by field where that is known.
func explain(err error) error {
	var badType *json.UnmarshalTypeError
	var badSyntax *json.SyntaxError
	switch {
	case errors.As(err, &badType):
		field := badType.Field
		if field == "" {
			field = "body"
		}
		return fault.Field("input.bad_type", field, "must be %s, not a JSON %s", jsonName(badType.Type.Kind().String()), badType.Value)
	case errors.As(err, &badSyntax):
		return ErrBadJSON.Textf("the body is not well-formed JSON at byte %d", badSyntax.Offset)
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		field, uerr := strconv.Unquote(name)
		if uerr != nil {
			field = name
		}
		return fault.Field("input.unknown_field", field, "is not a field of this request")
	}
	return ErrBadJSON.Because(err)
}

func jsonName(kind string) string {
	switch {
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number in its range"
	case kind == "slice":
		return "a list"
	case kind == "struct" || kind == "map" || kind == "ptr":
		return "an object"
	case kind == "bool":
		return "true or false"
	default:
		return "a " + kind
	}
}

// Request builds the identity of a mutation from its Idempotency-Key header.
func Request(r *http.Request, principal string, raw []byte) (ids.Request, error) {
	key := r.Header.Get("Idempotency-Key")
	if _, given := r.Header["Idempotency-Key"]; !given {
		return ids.Request{}, nil
	}
	if len(key) >= 2 && key[0] == '"' && key[len(key)-1] == '"' {
		key = key[1 : len(key)-1]
	}
	if key == "" || len(key) > idemKeyMax || strings.ContainsFunc(key, func(c rune) bool { return c < 0x20 || c > 0x7e }) {
		return ids.Request{}, ErrBadIdemKey
	}
	return ids.Request{
		Key:  sha256.Sum256([]byte(strings.Join([]string{principal, r.Method, r.URL.Path, key}, "\x00"))),
		Body: sha256.Sum256(raw),
	}, nil
}

// Page reads ?limit= (1..most, usual when absent).
func Page(r *http.Request, usual, most int) (limit int, _ error) {
	text := r.URL.Query().Get("limit")
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, fault.Field("input.bad_limit", "limit", "must be between 1 and %d", most)
	}
	return n, nil
}

// Zone reads ?tz= or the Time-Zone header; nil when neither is given.
func Zone(r *http.Request) (*time.Location, error) {
	name := r.URL.Query().Get("tz")
	if name == "" {
		name = r.Header.Get("Time-Zone")
	}
	if name == "" {
		return nil, nil //nolint:nilnil // no zone asked for is an answer
	}
	if len(name) > 64 || name == "Local" {
		return nil, errBadZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, errBadZone
	}
	return zone, nil
}

var errBadZone = fault.Field("input.bad_zone", "tz", "is not a time zone such as Asia/Shanghai")
