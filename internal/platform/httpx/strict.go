package httpx

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/platform/fault"
)

// strict goes through a body that has been decoded and refuses what the decoder lets
// pass: a name that an object has twice, of which only the last would count, a name that
// is a field's but for its case, and half a character, which would become another one.
func strict(raw []byte, into any) error {
	w := walk{raw: raw}
	t := reflect.TypeOf(into).Elem()
	if w.peek() == 'n' && t.Kind() == reflect.Struct {
		return fault.Field("input.bad_type", "body", "must be an object, not a JSON null")
	}
	if err := w.value(t); err != nil {
		return err
	}
	if w.halved {
		return ErrBadJSON.Textf("the body has half a character: a \\u of D800 to DFFF without its other half")
	}
	return nil
}

// walk is a place in well-formed JSON.
type walk struct {
	raw    []byte
	at     int
	halved bool // a surrogate stands alone
}

// peek is the next byte that is no white space.
func (w *walk) peek() byte {
	for w.at < len(w.raw) && strings.IndexByte(" \t\r\n", w.raw[w.at]) >= 0 {
		w.at++
	}
	if w.at == len(w.raw) {
		return 0
	}
	return w.raw[w.at]
}

// value passes over a value of a type; nil = of none that says which names there are.
func (w *walk) value(t reflect.Type) error {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t != nil && reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		t = nil
	}
	switch w.peek() {
	case '{':
		return w.object(t)
	case '[':
		return w.list(t)
	case '"':
		w.text()
	default: // a number, true, false or null
		for w.at < len(w.raw) && strings.IndexByte(",]} \t\r\n", w.raw[w.at]) < 0 {
			w.at++
		}
	}
	return nil
}

// text passes over a string and gives it with its quotes.
func (w *walk) text() []byte {
	from := w.at
	for w.at++; w.raw[w.at] != '"'; w.at++ {
		if w.raw[w.at] == '\\' {
			if r := w.escaped(w.at); utf16.IsSurrogate(r) {
				if utf16.DecodeRune(r, w.escaped(w.at+6)) == utf8.RuneError {
					w.halved = true
				} else {
					w.at += 6
				}
			}
			w.at++
		}
	}
	w.at++
	return w.raw[from:w.at]
}

// escaped is what a \uXXXX at a place stands for; -1 = there is none.
func (w *walk) escaped(at int) rune {
	if at+6 > len(w.raw) || w.raw[at] != '\\' || w.raw[at+1] != 'u' {
		return -1
	}
	r, err := strconv.ParseUint(string(w.raw[at+2:at+6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(r)
}

func (w *walk) list(t reflect.Type) error {
	if t != nil && t.Kind() == reflect.Slice {
		t = t.Elem()
	} else {
		t = nil
	}
	for w.at++; w.peek() != ']'; {
		if w.raw[w.at] == ',' {
			w.at++
		}
		if err := w.value(t); err != nil {
			return err
		}
	}
	w.at++
	return nil
}

func (w *walk) object(t reflect.Type) error {
	var fields map[string]reflect.Type
	if t != nil && t.Kind() == reflect.Struct {
		fields = fieldsOf(t)
	}
	seen := map[string]bool{}
	for w.at++; w.peek() != '}'; {
		if w.raw[w.at] == ',' {
			w.at++
			w.peek()
		}
		var name string
		if err := json.Unmarshal(w.text(), &name); err != nil {
			return ErrBadJSON.Because(err)
		}
		of, known := fields[name]
		switch {
		case seen[name]:
			return fault.Field("input.repeated_field", name, "is there twice")
		case fields != nil && !known:
			return fault.Field("input.unknown_field", name, "is not a field of this request")
		case fields == nil && t != nil && t.Kind() == reflect.Map:
			of = t.Elem()
		}
		seen[name] = true
		w.peek()
		w.at++ // the colon
		if err := w.value(of); err != nil {
			return err
		}
	}
	w.at++
	return nil
}

// fieldsOf are the names that a struct has in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous, name == "-", !f.IsExported():
		case name == "":
			fields[f.Name] = f.Type
		default:
			fields[name] = f.Type
		}
	}
	return fields
}
