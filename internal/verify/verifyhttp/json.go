package verifyhttp

import (
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/chopmark/chopmark/internal/codebook"
	"github.com/chopmark/chopmark/internal/verify"
)

// appendAnswer writes the envelope of a verdict. Its fields are those of
// docs/openapi.yaml (Verification), in their order.
func appendAnswer(b []byte, status int, code codebook.Code, a *verify.Answer, product []byte, zone *time.Location) []byte {
	b = append(b, `{"code":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	if status == 200 {
		b = append(b, `,"message":"success"`...)
	} else {
		b = append(b, `,"message":"this code is `...)
		b = append(b, a.Verdict.String()...)
		b = append(b, `","error":"code.`...)
		b = append(b, a.Verdict.String()...)
		b = append(b, '"')
	}
	b = append(b, `,"data":{"valid":`...)
	if a.Verdict == verify.Unconfirmed {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendBool(b, a.Verdict.Valid())
	}
	b = append(b, `,"verdict":"`...)
	b = append(b, a.Verdict.String()...)
	b = append(b, `","reasons":[`...)
	for i, r := range a.Reasons {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, r)
	}
	b = append(b, `],"code":"`...)
	b = append(b, code[:]...)
	b = append(b, `","version":`...)
	b = strconv.AppendUint(b, uint64(a.Version), 10)
	b = append(b, product...)
	if !a.SoldAt.IsZero() {
		b = appendTime(b, `"sold_at"`, a.SoldAt, zone)
		b = append(b, `,"place":`...)
		b = appendString(b, place(a.SoldIn))
	}
	b = append(b, `}},"first_scan":{`...)
	b = appendTime(b, `"at"`, a.Seen.FirstAt, zone)
	b = append(b, `,"place":`...)
	b = appendString(b, place(a.Seen.FirstIn))
	b = append(b, `},"scan_count":`...)
	b = strconv.AppendInt(b, a.Seen.Count, 10)
	b = append(b, ',')
	b = appendTime(b, `"expires_at"`, a.Item.ExpiresAt, zone)
	if a.Verdict == verify.Sold || !a.SoldAt.IsZero() || a.SoldIn != "" {
		b = append(b, `,"sold":{`...)
		b = appendTime(b, `"at"`, a.SoldAt, zone)
		b = append(b, `,"place":`...)
		b = append(appendString(b, place(a.SoldIn)), '}')
	}
	b = appendInner(b, a.Inner, zone)
	if !a.Since.IsZero() {
		b = append(b, ',')
		b = appendTime(b, `"superseded_since"`, a.Since, zone)
	}
	b = append(b, `,"counted":`...)
	b = strconv.AppendBool(b, a.Counted)
	if a.Partial || a.Seen.Partial {
		b = append(b, `,"partial":true`...)
	}
	if a.Partial { // of changes; which scans are missing nobody can date
		b = append(b, ',')
		b = appendTime(b, `"as_of"`, a.AsOf, zone)
	}
	return append(b, "}}\n"...)
}

func place(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

// appendProduct is the part that a batch's items share; what is particular about a
// sale follows it.
func appendProduct(b []byte, a *verify.Answer) []byte {
	b = append(b, `,"product_info":{"name":`...)
	b = appendString(b, a.Text.Name)
	b = append(b, `,"brand":`...)
	b = appendString(b, a.Text.Brand)
	b = append(b, `,"batch_no":`...)
	b = appendString(b, a.Item.BatchNo)
	b = append(b, `,"production_date":`...)
	b = appendNullable(b, a.Item.ProductionDate)
	b = append(b, `},"trace_info":{"production":{"batch_no":`...)
	b = appendString(b, a.Item.BatchNo)
	b = append(b, `,"production_date":`...)
	b = appendNullable(b, a.Item.ProductionDate)
	return append(b, `},"logistics":{},"sales":{`...)
}

func appendInner(b []byte, in *verify.InnerAnswer, zone *time.Location) []byte {
	if in == nil || !in.Asked && in.FirstAt.IsZero() {
		return b
	}
	b = append(b, `,"inner":{`...)
	if in.Asked {
		b = append(b, `"ok":`...)
		b = strconv.AppendBool(b, in.OK)
		b = append(b, `,"tries_left":`...)
		b = strconv.AppendInt(b, int64(in.TriesLeft), 10)
		b = append(b, ',')
	}
	b = appendTime(b, `"first_at"`, in.FirstAt, zone)
	return append(b, '}')
}

// appendTime writes "key":time, null for the zero time, and the local copy beside
// it when a zone was asked for.
func appendTime(b []byte, key string, t time.Time, zone *time.Location) []byte {
	b = append(append(b, key...), ':')
	if t.IsZero() {
		return append(b, "null"...)
	}
	b = append(t.UTC().AppendFormat(append(b, '"'), time.RFC3339Nano), '"')
	if zone != nil {
		b = append(b, ',')
		b = append(append(b, key[:len(key)-1]...), `_local":"`...)
		b = append(t.In(zone).AppendFormat(b, time.RFC3339Nano), '"')
	}
	return b
}

func appendNullable(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// appendString writes a JSON string. Texts are valid UTF-8 when they are stored;
// what is not is replaced here all the same.
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == '\u2028' || r == '\u2029' {
				b = append(b, `\u202`...)
				b = append(b, hex[r&0xf])
			} else {
				b = utf8.AppendRune(b, r)
			}
			i += size
			continue
		}
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c < 0x20 || c == '<' || c == '>' || c == '&' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}
