package batchhttp_test

import (
	"bytes"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// malformed are codes that no one could ever have.
func malformed() []string {
	return []string{
		"12345678901234567", "1234567890123456789", "12345678901234567a", "abcdefghijklmnopqr", "%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96",
		"%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96%EF%BC%97%EF%BC%98%EF%BC%99%EF%BC%90%EF%BC%91%EF%BC%92%EF%BC%93%EF%BC%94%EF%BC%95%EF%BC%96%EF%BC%97%EF%BC%98",
		"12345678901234567%00", "%00", "%20123456789012345678", "123456789012345678%0a", "-12345678901234567", "1234567890123456.8", "12345678901234567%2F",
		"'%20or%201=1--", "..%2f..%2fetc%2fpasswd", "%3Cscript%3E", strings.Repeat("1", 10<<10), strings.Repeat("%31", 3<<10),
	}
}

// onCode are the routes that name a code.
func onCode(code string) []string {
	return []string{
		"GET /api/v1/codes/" + code, "GET /api/v1/codes/" + code + "/changes", "GET /api/v1/codes/" + code + "/link",
		"POST /api/v1/codes/" + code + "/reissue", "GET /api/v1/codes/" + code + "/qr.svg", "GET /api/v1/codes/" + code + "/qr.png",
	}
}

func (w *world) onCode(route string, headers ...string) *reply {
	w.t.Helper()
	method, target, _ := strings.Cut(route, " ")
	if method == http.MethodPost {
		return w.post(target, object{}, headers...)
	}
	return w.get(target, headers...)
}

func TestMalformedCodes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, code := range malformed() {
		for _, route := range onCode(code) {
			r := w.onCode(route).fails(400, "code.malformed").has(`"field":"code"`).lacks("script", "passwd").head("Cache-Control", "no-store")
			if len(r.body) > 1000 {
				t.Errorf("%.60s: the answer has %d bytes", route, len(r.body))
			}
		}
	}
}

// TestOneRefusal holds every route to one body for what is not ours: digits that
// do not verify, and to strangers the codes of display marks.
func TestOneRefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	display := w.codes(w.batch(product, "B", 3, object{"mark": "display", "rotate_every": "1h"}), 1)[0]
	const want = `{"code":404,"message":"this code is not known","error":"code.unknown","data":null}` + "\n"
	for _, code := range []string{"000000000000000000", "999999999999999999", "123456789012345678"} {
		for _, route := range onCode(code) {
			if r := w.onCode(route).fails(404, "code.unknown").head("Cache-Control", "no-store").head("Vary", "Accept, Accept-Language"); r.body != want {
				t.Errorf("%s: %q", route, r.body)
			}
		}
	}
	for _, target := range []string{"/api/v1/codes/" + display + "/qr.svg", "/api/v1/codes/" + display + "/qr.png"} {
		if r := w.get(target, "Authorization: ").fails(404, "code.unknown"); r.body != want {
			t.Errorf("%s: %q", target, r.body)
		}
		w.get(target, "Authorization: Bearer nonsense").fails(401, "auth.required")
		w.get(target).ok().head("Cache-Control", "no-store")
	}
}

func TestCode(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	brand, product := w.brand("Acme")
	b := w.batch(product, "B", 10, object{"rotate_every": "1h", "expires_at": "2026-03-02T00:00:00Z", "production_date": "2026-02-27", "inner_code": true})
	code := w.codes(b, 3)[2]
	r := w.get("/api/v1/codes/"+code+"?tz=Asia/Shanghai").ok().has(
		`"code":"`+code+`"`, `"no":3`, `"state":"encoded"`, `"changed":null`, `"expired":false`, `"version":1`, `"inner_code":true`,
		`"inner_first_at":null`, `"expires_at_local":"2026-03-02T08:00:00+08:00"`, `"rotate_every":"1h"`)
	if r.number("brand_id") != brand || r.number("product_id") != product {
		t.Errorf("brand or product in %s", r.body)
	}
	r.lacks("serial", "token", "first_serial", "key_")
	w.post("/api/v1/codes/state", object{
		"select": object{"codes": []string{code}}, "to": "active", "reason": "packed", "place": "Moutai", "at": "2026-03-01T08:00:00+08:00",
	}).ok()
	w.get("/api/v1/codes/"+code).ok().has(`"state":"active"`, `"place":"Moutai"`, `"reason":"packed"`, `"at":"2026-03-01T00:00:00Z"`)
	w.pass(24 * time.Hour)
	w.get("/api/v1/codes/" + code).ok().has(`"expired":true`)
	for _, route := range onCode(code)[:4] {
		w.onCode(route, "Authorization: ").fails(401, "auth.required")
	}
}

func TestLinkAndReissue(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	rotating := w.codes(w.batch(product, "B", 10, object{"rotate_every": "1h"}), 1)[0]
	fixed := w.codes(w.batch(product, "C", 10, nil), 1)[0]
	first := w.get("/api/v1/codes/"+rotating+"/link?tz=Asia/Shanghai").ok().
		has(`"version":1`, `"epoch_ends_at":"2026-03-01T09:30:15.123456Z"`, `"epoch_ends_at_local":"2026-03-01T17:30`)
	if want := publicURL + "/" + rotating + "/" + first.text("token"); first.text("url") != want {
		t.Errorf("url %s, want %s", first.text("url"), want)
	}
	w.pass(time.Hour)
	if second := w.get("/api/v1/codes/" + rotating + "/link").ok(); second.text("token") == first.text("token") {
		t.Error("the token stayed for an hour")
	}
	before := w.get("/api/v1/codes/" + fixed + "/link").ok().has(`"epoch_ends_at":null`)
	w.pass(time.Hour)
	if again := w.get("/api/v1/codes/" + fixed + "/link").ok(); again.text("token") != before.text("token") {
		t.Error("the token of a link that does not rotate changed")
	}
	w.post("/api/v1/codes/"+fixed+"/reissue", object{"reason": "torn"}).ok().has(`"code":"`+fixed+`"`, `"version":2`)
	w.send(http.MethodPost, "/api/v1/codes/"+fixed+"/reissue", nil).ok().has(`"version":3`)
	w.post("/api/v1/codes/"+fixed+"/reissue", object{"reason": strings.Repeat("r", 257)}).fails(400, "input.too_long")
	after := w.get("/api/v1/codes/" + fixed + "/link").ok().has(`"version":3`)
	if after.text("token") == before.text("token") {
		t.Error("the token survived a reissue")
	}
	w.get("/api/v1/codes/"+fixed).ok().has(`"version":3`, `"state":"encoded"`)
	w.get("/api/v1/codes/"+fixed+"/changes?tz=Asia/Shanghai").ok().has(`"kind":"reissued"`, `"reason":"torn"`, `"version":2`, `"version":3`, `"reverts":null`, `"actor":"Alice of the line"`)
	if got := w.events(); !slices.Contains(got, "code.state_changed reissued") {
		t.Errorf("events %q", got)
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	codes := w.codes(w.batch(product, "B", 10, nil), 2)
	w.get("/api/v1/codes/" + codes[0] + "/changes").ok().has(`"changes":[]`)
	w.state("active", codes...).ok()
	void := w.state("void", codes[0]).ok()
	w.post("/api/v1/codes/state", object{"reverts": void.text("change_id"), "reason": "not that one"}).ok()
	r := w.get("/api/v1/codes/" + codes[0] + "/changes").ok()
	r.has(`"kind":"void"`, `"reverts":"`+void.text("change_id")+`"`, `"reason":"not that one"`)
	var kinds []string
	for _, c := range r.list("changes") {
		kinds = append(kinds, c.(object)["kind"].(string))
	}
	if want := []string{"active", "void", "active"}; !slices.Equal(kinds, want) {
		t.Errorf("kinds %v, want %v", kinds, want)
	}
	w.get("/api/v1/codes/"+codes[1]+"/changes").ok().lacks("void", "not that one")
}

func TestMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	code := w.codes(w.batch(product, "B", 10, object{"rotate_every": "1h"}), 1)[0]
	const stranger = "Authorization: "
	svg := w.get("/api/v1/codes/"+code+"/qr.svg", stranger).ok().head("Content-Type", "image/svg+xml").head("Access-Control-Allow-Origin", "*")
	svg.has("<svg ", code)
	w.pass(5 * time.Hour)
	if again := w.get("/api/v1/codes/"+code+"/qr.svg", stranger).ok(); again.body != svg.body {
		t.Error("a print mark changed with time")
	}
	for size, want := range map[string]int{"": 512, "?size=64": 64, "?size=2048": 2048} {
		r := w.get("/api/v1/codes/"+code+"/qr.png"+size, stranger).ok().head("Content-Type", "image/png").head("Cache-Control", "no-store")
		image, err := png.Decode(bytes.NewReader([]byte(r.body)))
		if err != nil {
			t.Fatal(err)
		}
		if image.Bounds().Dx() != want {
			t.Errorf("size %q gives %d pixels", size, image.Bounds().Dx())
		}
	}
	for query, code400 := range map[string]string{"size=63": "mark.bad_size", "size=2049": "mark.bad_size", "size=-1": "mark.bad_size", "size=big": "input.bad_number", "size=99999999999": "input.bad_number"} {
		w.get("/api/v1/codes/"+code+"/qr.png?"+query, stranger).fails(400, code400)
	}
	display := w.codes(w.batch(product, "D", 10, object{"rotate_every": "1h", "mark": "display"}), 1)[0]
	now := w.get("/api/v1/codes/" + display + "/qr.svg").ok()
	w.pass(time.Hour)
	if next := w.get("/api/v1/codes/" + display + "/qr.svg").ok(); next.body == now.body {
		t.Error("a display mark stayed for an hour")
	}
}

// TestSignedMarks: the signed link is for who may see the brand; anybody else gets the plain one.
func TestSignedMarks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	signed := w.codes(w.batch(product, "B", 10, object{"label_signature": true}), 1)[0]
	w.get("/api/v1/codes/" + signed).ok().has(`"label_signature":true`)
	own, stranger := w.get("/api/v1/codes/"+signed+"/qr.svg").ok(), w.get("/api/v1/codes/"+signed+"/qr.svg", "Authorization: ").ok()
	if len(own.body) < 2*len(stranger.body) {
		t.Errorf("symbols of %d and %d bytes", len(own.body), len(stranger.body))
	}
}

// TestPublicAnswersTellNoActor asks everything that a stranger may ask.
func TestPublicAnswersTellNoActor(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, product := w.brand("Acme")
	b := w.batch(product, "B", 10, nil)
	code := w.codes(b, 1)[0]
	w.state("active", code).ok()
	for _, target := range []string{"/api/v1/codes/" + code + "/qr.svg"} {
		w.get(target, "Authorization: ").ok().lacks("Alice", "line 1", b, "actor")
	}
	for _, r := range w.rt.Routes() {
		method, target, _ := strings.Cut(r, " ")
		if method != http.MethodGet || strings.Contains(target, "qr.") || strings.Contains(target, "files") || strings.Contains(target, "images") {
			continue
		}
		w.get(target, "Authorization: ").fails(401, "auth.required")
	}
}
