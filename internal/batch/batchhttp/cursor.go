package batchhttp

import (
	"encoding/base64"
	"encoding/json"
	"net/http"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// cursorBytesMax is longer than any cursor that is given out.
const cursorBytesMax = 256

// position is where a list goes on, in the list's own terms.
type position struct {
	List string `json:"l"`           // a cursor of one list is none of another
	No   int64  `json:"n"`           // an id, a number, or microseconds since 1970
	ID   string `json:"i,omitempty"` // what tells equal numbers apart
}

// cursor is the opaque form of a position.
func (p position) cursor() *string {
	raw, err := json.Marshal(p)
	if err != nil {
		panic(err) // cannot be: three plain fields
	}
	text := base64.RawURLEncoding.EncodeToString(raw)
	return &text
}

// startOf reads ?cursor=, whose number is at most most; ok is false at the beginning
// of the list.
func startOf(r *http.Request, list string, most int64) (p position, ok bool, _ error) {
	text := r.URL.Query().Get("cursor")
	if text == "" {
		return position{}, false, nil
	}
	bad := fault.Field("input.bad_cursor", "cursor", "is not a cursor of this list")
	if len(text) > cursorBytesMax {
		return position{}, false, bad
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || json.Unmarshal(raw, &p) != nil || p.List != list || p.No < 0 || p.No > most {
		return position{}, false, bad
	}
	return p, true, nil
}

// page cuts a list that was asked for one more than limit, and tells the cursor
// after its last entry; nil at the end of the list.
func page[T any](all []T, limit int, after func(T) position) ([]T, *string) {
	if len(all) <= limit {
		return all, nil
	}
	all = all[:limit]
	return all, after(all[limit-1]).cursor()
}

// each turns a list into what is answered; an empty one is [] and not null.
func each[T, V any](all []T, view func(T) V) []V {
	out := make([]V, 0, len(all))
	for _, one := range all {
		out = append(out, view(one))
	}
	return out
}
