package batchfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"

	"github.com/chopmark/chopmark/internal/batch"
)

// rows is the text of a file, row by row, for one goroutine.
type rows struct {
	linker *batch.Linker
	json   bool
	inner  bool
	// awkward says that the public URL has a character that its format must escape.
	// Codes and tokens never have one, so all rows are alike.
	awkward bool
	url     []byte // scratch of awkward rows
}

// newRows makes the text of a batch's CSV or, with asJSON, NDJSON.
func newRows(linker *batch.Linker, asJSON bool) (*rows, error) {
	r := &rows{linker: linker, json: asJSON, inner: linker.HasInner()}
	url, err := linker.AppendURL(nil, 1, linker.AppendCode(nil, 1))
	if err != nil {
		return nil, err
	}
	if asJSON {
		quoted, err := json.Marshal(string(url))
		if err != nil {
			return nil, err
		}
		r.awkward = len(quoted) != len(url)+2
	} else {
		r.awkward = bytes.ContainsAny(url, "\",\r\n")
	}
	return r, nil
}

func (r *rows) clone() *rows {
	c := *r
	c.linker, c.url = r.linker.Clone(), nil
	return &c
}

func (r *rows) appendHeader(dst []byte) []byte {
	switch {
	case r.json:
		return dst
	case r.inner:
		return append(dst, "no,code,url,inner\n"...)
	default:
		return append(dst, "no,code,url\n"...)
	}
}

func (r *rows) appendRow(dst []byte, no int64) ([]byte, error) {
	if r.json {
		return r.appendJSON(dst, no)
	}
	dst = append(strconv.AppendInt(dst, no, 10), ',')
	start := len(dst)
	dst = r.linker.AppendCode(dst, no)
	code := dst[start:]
	dst, err := r.appendURL(append(dst, ','), no, code)
	if err == nil && r.inner {
		dst, err = r.linker.AppendInner(append(dst, ','), no)
	}
	return append(dst, '\n'), err
}

func (r *rows) appendJSON(dst []byte, no int64) ([]byte, error) {
	dst = strconv.AppendInt(append(dst, `{"no":`...), no, 10)
	dst = append(dst, `,"code":"`...)
	start := len(dst)
	dst = r.linker.AppendCode(dst, no)
	code := dst[start:]
	dst = append(dst, `","url":`...)
	var err error
	if r.awkward {
		dst, err = r.appendURL(dst, no, code)
	} else {
		dst, err = r.appendURL(append(dst, '"'), no, code)
		dst = append(dst, '"')
	}
	if err == nil && r.inner {
		dst, err = r.linker.AppendInner(append(dst, `,"inner":"`...), no)
		dst = append(dst, '"')
	}
	return append(dst, "}\n"...), err
}

// appendURL appends the link, quoted as the format wants it when that is needed.
func (r *rows) appendURL(dst []byte, no int64, code []byte) ([]byte, error) {
	if !r.awkward {
		return r.linker.AppendURL(dst, no, code)
	}
	var err error
	if r.url, err = r.linker.AppendURL(r.url[:0], no, code); err != nil {
		return dst, err
	}
	if r.json {
		quoted, err := json.Marshal(string(r.url))
		return append(dst, quoted...), err
	}
	dst = append(dst, '"')
	for _, c := range r.url {
		if c == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, c)
	}
	return append(dst, '"'), nil
}

// likeness tells whether another process would write the same rows: not when the
// public URL or a key was changed in between. A hash, since codes are not stored.
func (r *rows) likeness(no int64) (string, error) {
	text, err := r.appendRow(r.appendHeader(nil), no)
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), err
}
