// Package fault is the one error language: a kind (what a caller can do about it),
// a stable code (what a program may match) and a text (what a person reads).
//
// An error without a fault is internal: logged once at the edge, shown as nothing.
package fault

import (
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Kind classes a fault by what the caller can do about it.
type Kind uint8

// The kinds, each with the one HTTP status that it stands for.
const (
	Internal Kind = iota
	Invalid
	Unauthenticated
	Denied
	NotFound
	Method
	Conflict
	Gone
	TooLarge
	Unsupported
	Mismatch
	Limited
	Unavailable
)

var kinds = [...]struct {
	name   string
	status int
}{
	Internal:        {"internal", http.StatusInternalServerError},
	Invalid:         {"invalid", http.StatusBadRequest},
	Unauthenticated: {"unauthenticated", http.StatusUnauthorized},
	Denied:          {"denied", http.StatusForbidden},
	NotFound:        {"not found", http.StatusNotFound},
	Method:          {"method", http.StatusMethodNotAllowed},
	Conflict:        {"conflict", http.StatusConflict},
	Gone:            {"gone", http.StatusGone},
	TooLarge:        {"too large", http.StatusRequestEntityTooLarge},
	Unsupported:     {"unsupported", http.StatusUnsupportedMediaType},
	Mismatch:        {"mismatch", http.StatusUnprocessableEntity},
	Limited:         {"limited", http.StatusTooManyRequests},
	Unavailable:     {"unavailable", http.StatusServiceUnavailable},
}

// HTTPStatus is the status that the kind answers with.
func (k Kind) HTTPStatus() int { return kinds[k].status }

// String is the kind's name.
func (k Kind) String() string { return kinds[k].name }

// Detail says what is wrong with one field of the input.
type Detail struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// Error is a fault. Two faults are the same for errors.Is when their codes are.
type Error struct {
	Kind       Kind
	Code       string // stable, unique in the binary: "batch.too_large"
	Text       string
	Details    []Detail
	RetryAfter time.Duration // for Limited and Unavailable; 0 = not said
	cause      error
}

// New makes a fault.
func New(kind Kind, code, format string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Text: fmt.Sprintf(format, args...)}
}

// Field makes an Invalid fault about one field of the input.
func Field(code, field, format string, args ...any) *Error {
	e := New(Invalid, code, format, args...)
	e.Details = []Detail{{Field: field, Reason: e.Text}}
	e.Text = field + ": " + e.Text
	return e
}

// Error implements error.
func (e *Error) Error() string {
	if e.cause != nil {
		return e.Code + ": " + e.Text + ": " + e.cause.Error()
	}
	return e.Code + ": " + e.Text
}

// Is makes errors.Is compare stable codes.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code
}

// Unwrap gives the cause, which is for the log only and never shown.
func (e *Error) Unwrap() error { return e.cause }

// Because returns a copy of e that carries its cause.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Textf returns a copy of e with another text: the code stays what programs match.
func (e *Error) Textf(format string, args ...any) *Error {
	c := *e
	c.Text = fmt.Sprintf(format, args...)
	return &c
}

// After returns a copy of e that says when to come back.
func (e *Error) After(wait time.Duration) *Error {
	c := *e
	c.RetryAfter = wait
	return &c
}

// With returns a copy of e with details about the input's fields.
func (e *Error) With(details ...Detail) *Error {
	c := *e
	c.Details = append(append([]Detail(nil), e.Details...), details...)
	return &c
}

// From finds the fault in err's chain. ok is false for internal errors.
func From(err error) (e *Error, ok bool) {
	ok = errors.As(err, &e)
	return e, ok
}

// KindOf is the kind of err; Internal when it carries no fault.
func KindOf(err error) Kind {
	if e, ok := From(err); ok {
		return e.Kind
	}
	return Internal
}
