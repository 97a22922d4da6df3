package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
)

// form is a request that is wrong in its form. # in its path is a digit drawn at
// random, @ a code of ours.
type form struct {
	path   string
	status int
	says   string // the error in the answer; "" = net/http answered before any of our code
	bare   bool   // a client that minds the rules of HTTP or of its peer cannot send it
}

const (
	api       = "/api/v1/codes/"
	eighteen  = "##################"
	seventeen = "#################"

	badCode = "code.malformed"
	unknown = "code.unknown"
	noRoute = "route.unknown"
)

// forms is what chopmark answers, tried on the real server: TestAgainstServer of
// cmd/hammer asks for all of it. What is not a code is 400, also before a token; a path
// that is no route is 404, and so is a token that is none, with the one refusal, whoever's code it
// stands behind; what cannot be a request at all net/http refuses with 400 or 431.
func forms() []form {
	fullwidth := strings.Repeat("%EF%BC%91", digits) // U+FF11
	arabic := strings.Repeat("%D9%A1", digits)       // U+0661
	var all []form
	for _, code := range []string{
		seventeen, eighteen + "#", "#", strings.Repeat("#", 10<<10), // too short, too long
		"abcdefghijklmnopqr", seventeen + "x", "0x" + eighteen[2:], "1e17", "-" + seventeen, seventeen + ".", // not digits
		fullwidth, arabic, "%F0%9F%8D%B5", "%FF%FE", // not ASCII, not UTF-8
		"%00", seventeen + "%00", eighteen + "%00", "%20", "%20" + seventeen, seventeen + "%20", eighteen + "%0A", "%2B" + seventeen, "@%20",
		eighteen + "%0D%0AX-Role:%20admin", eighteen + ";x", "#########%2F########", "..%2F..%2Fetc%2Fpasswd", "'%20OR%201=1--", "%3Cscript%3E",
	} {
		all = append(all, form{api + code + "/verify", http.StatusBadRequest, badCode, false},
			form{"/" + code, http.StatusBadRequest, badCode, false})
	}
	for _, token := range []string{"%00", "%20", "0", "##################A", strings.Repeat("#", 10<<10), fullwidth, "%2F", "%FF"} {
		all = append(all, form{"/@/" + token, http.StatusNotFound, unknown, false})
	}
	all = append(all,
		form{"/" + seventeen + "/0123456789ABCDEFGH", http.StatusBadRequest, badCode, false},
		form{api + "@/verify?token=%00", http.StatusNotFound, unknown, false},
		form{api + "../verify", http.StatusNotFound, noRoute, false},
		form{api + "@/verify?version=x", http.StatusBadRequest, "verify.bad_version", false},
		form{api + "@/verify?version=70000", http.StatusBadRequest, "verify.bad_version", false},
		form{api + "@/verify?tz=no/where", http.StatusBadRequest, "input.bad_zone", false},
	)
	for _, path := range []string{
		"/@/", "/" + eighteen + "/", "/@/x/y", "//", "//@", api + "/verify", api + "%2F/verify",
	} {
		all = append(all, form{path, http.StatusNotFound, noRoute, false})
	}
	return append(all,
		form{api + "%zz/verify", http.StatusBadRequest, "", true},
		form{"/######### ########", http.StatusBadRequest, "", true},
		form{api + "\x01/verify", http.StatusBadRequest, "", true},
		form{"*", http.StatusBadRequest, "", true},
		form{"/" + strings.Repeat("#", 32<<10), http.StatusRequestHeaderFieldsTooLarge, "", true},
	)
}

// appendForm writes a form's path.
func (s *Scan) appendForm(b []byte, f *form) []byte {
	for _, c := range []byte(f.path) {
		switch c {
		case '#':
			b = append(b, byte('0'+rand.IntN(10)))
		case '@':
			b = appendCode(b, s.codes[rand.IntN(len(s.codes))])
		default:
			b = append(b, c)
		}
	}
	return b
}

// judgeForm wants the answer of the form. A refusal that tells one code from another
// would help to guess, so it has the bytes of every other refusal.
func (s *Scan) judgeForm(f *form, a *Answer) error {
	switch {
	case f.says == unknown:
		return s.judgeRefusal(a)
	case a.Status != f.status:
		return fmt.Errorf("what is malformed must get %d; it answered %d %.300s", f.status, a.Status, bytes.TrimSpace(a.Body))
	case f.says != "" && (!json.Valid(a.Body) || !bytes.Contains(a.Body, []byte(`"error":"`+f.says+`"`))):
		return fmt.Errorf("what is malformed must get %s; it answered %d %.300s", f.says, a.Status, bytes.TrimSpace(a.Body))
	}
	return nil
}
