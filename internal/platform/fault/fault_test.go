package fault

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFaultsAreTheirCodes(t *testing.T) {
	t.Parallel()
	gone := New(Gone, "x.gone", "it is %s", "gone")
	wrapped := fmt.Errorf("look at shelf 7: %w", gone.Because(io.ErrUnexpectedEOF).Textf("other words").With(Detail{"f", "r"}))
	if !errors.Is(wrapped, gone) || !errors.Is(wrapped, New(Internal, "x.gone", "")) {
		t.Error("a fault is not its own code's")
	}
	if errors.Is(wrapped, New(Gone, "x.other", "it is gone")) {
		t.Error("a fault is another code's")
	}
	if !errors.Is(wrapped, io.ErrUnexpectedEOF) {
		t.Error("the cause is lost")
	}
	f, ok := From(wrapped)
	if !ok || f.Code != "x.gone" || KindOf(wrapped) != Gone || f.Text != "other words" {
		t.Errorf("From = %+v, %v", f, ok)
	}
	if got := gone.Error(); got != "x.gone: it is gone" {
		t.Errorf("Error() = %q", got)
	}
	if got := gone.Because(io.EOF).Error(); got != "x.gone: it is gone: EOF" {
		t.Errorf("Error() with a cause = %q", got)
	}
}

func TestWithoutAFaultItIsInternal(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, io.EOF, fmt.Errorf("wrapped: %w", io.EOF)} {
		if f, ok := From(err); ok || KindOf(err) != Internal {
			t.Errorf("%v: %v, %s", err, f, KindOf(err))
		}
	}
}

// TestCopiesLeaveTheOriginal matters because faults are package variables.
func TestCopiesLeaveTheOriginal(t *testing.T) {
	t.Parallel()
	original := Field("x.bad", "name", "has %d bytes", 5)
	if original.Error() != "x.bad: name: has 5 bytes" {
		t.Errorf("Error() = %q", original)
	}
	kept := *original
	kept.Details = append([]Detail(nil), original.Details...)
	a := original.With(Detail{"a", "1"})
	b := original.With(Detail{"b", "2"})
	_, _ = original.Because(io.EOF), original.Textf("other")
	if diff := cmp.Diff(kept.Details, original.Details); diff != "" || original.Text != kept.Text || errors.Unwrap(original) != nil {
		t.Errorf("the original was changed: %+v", original)
	}
	if len(a.Details) != 2 || len(b.Details) != 2 || a.Details[1].Field != "a" || b.Details[1].Field != "b" {
		t.Errorf("details %v and %v", a.Details, b.Details)
	}
}

func TestKindsHaveTheirStatus(t *testing.T) {
	t.Parallel()
	want := map[Kind]int{
		Internal: 500, Invalid: 400, Unauthenticated: 401, Denied: 403, NotFound: 404, Method: 405, Conflict: 409, Gone: 410,
		TooLarge: 413, Unsupported: 415, Mismatch: 422, Limited: 429, Unavailable: 503,
	}
	seen := map[string]bool{}
	for kind, status := range want {
		if kind.HTTPStatus() != status || http.StatusText(status) == "" {
			t.Errorf("%s answers with %d, want %d", kind, kind.HTTPStatus(), status)
		}
		if seen[kind.String()] || kind.String() == "" {
			t.Errorf("kind %d has the name %q, which is another's or none", kind, kind)
		}
		seen[kind.String()] = true
	}
	if len(kinds) != len(want) {
		t.Errorf("%d kinds, %d tested", len(kinds), len(want))
	}
}
